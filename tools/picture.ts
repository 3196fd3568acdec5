/**
 * Makes docs/images/*.svg from what `sandwarden demo` really prints, with its colours, drawn as a terminal would
 * draw it: `node tools/picture.ts`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { incidentText } from '../src/cli/render/incident-text.ts';
import { readIncident } from '../src/diagnose/incident/incident.ts';
import { loopStory } from '../test/helpers/timelines.ts';

const root = resolve(import.meta.dirname, '..');
const COLUMNS = 96;
const CELL = { width: 8.4, height: 19, size: 14 };
const PADDING = 18;
const BAR = 34;

/** The colours of SGR 30–37 and 90–97, on the dark background of the picture. */
const palette: Readonly<Record<number, string>> = {
  31: '#ff6b68',
  32: '#7ec96f',
  33: '#e5c07b',
  34: '#61afef',
  35: '#c678dd',
  36: '#56b6c2',
  37: '#d5d8df',
  90: '#7f8593',
};
const FOREGROUND = '#d5d8df';
const FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const BACKGROUND = '#1b1e26';

interface Pen {
  colour: string;
  bold: boolean;
  dim: boolean;
}

/** Text with SGR colours as an SVG that looks like a terminal. */
export function terminalSvg(text: string, title: string): string {
  const lines = text.replace(/\n+$/, '').split('\n');
  const columns = Math.max(COLUMNS, ...lines.map((line) => stripVTControlCharacters(line).length));
  const width = Math.ceil(columns * CELL.width + 2 * PADDING);
  const height = Math.ceil(lines.length * CELL.height + 2 * PADDING + BAR);
  const pen: Pen = { colour: FOREGROUND, bold: false, dim: false };
  const rows = lines.map((line, row) => lineSvg(line, BAR + PADDING + row * CELL.height + CELL.size, pen));
  const dots = ['#ff5f57', '#febc2e', '#28c840'].map(
    (colour, index) => `<circle cx="${PADDING + 4 + index * 20}" cy="18" r="6" fill="${colour}"/>`,
  );
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escapeXml(title)}">
<title>${escapeXml(title)}</title>
<rect width="${width}" height="${height}" rx="9" fill="${BACKGROUND}"/>
${dots.join('')}
<g fill="#7f8593" font-family="system-ui, sans-serif" font-size="13" text-anchor="middle">
<text x="${width / 2}" y="23">${escapeXml(title)}</text>
</g>
<g font-family="${FONTS}" font-size="${CELL.size}" xml:space="preserve">
${rows.filter((each) => each !== '').join('\n')}
</g>
</svg>
`;
}

function lineSvg(line: string, y: number, pen: Pen): string {
  const parts: string[] = [];
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: SGR sequences are what is drawn
  for (const piece of line.split(/(\u001b\[[0-9;]*m)/)) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
    const codes = /^\u001b\[([0-9;]*)m$/.exec(piece)?.[1];
    if (codes !== undefined) {
      for (const code of codes.split(';')) turn(pen, Number(code || 0));
      continue;
    }
    if (piece.trim() !== '') parts.push(pieceSvg(piece, column, y, pen));
    column += piece.length;
  }
  return parts.join('');
}

function pieceSvg(piece: string, column: number, y: number, pen: Pen): string {
  const indent = piece.length - piece.trimStart().length;
  const x = (PADDING + (column + indent) * CELL.width).toFixed(1);
  const words = piece.trim();
  // textLength holds the columns in place whatever font the reader has.
  const length = (words.length * CELL.width).toFixed(1);
  const style = `${pen.bold ? ' font-weight="bold"' : ''}${pen.dim ? ' opacity="0.65"' : ''}`;
  return `<text x="${x}" y="${y}" textLength="${length}" fill="${pen.colour}"${style}>${escapeXml(words)}</text>`;
}

function turn(pen: Pen, code: number): void {
  if (code === 0) Object.assign(pen, { colour: FOREGROUND, bold: false, dim: false });
  else if (code === 1) pen.bold = true;
  else if (code === 2) pen.dim = true;
  else if (code === 22) Object.assign(pen, { bold: false, dim: false });
  else if (code === 39) pen.colour = FOREGROUND;
  else pen.colour = palette[code] ?? pen.colour;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

if (import.meta.main) {
  const folder = join(root, 'docs', 'images');
  mkdirSync(folder, { recursive: true });
  const [check = '', heal = ''] = demo().split(/(?=^.*\$ sandwarden heal)/m);
  const pictures = { check: `$ sandwarden demo\n${check}`, heal, incident: incident() };
  for (const [name, text] of Object.entries(pictures)) {
    writeFileSync(join(folder, `${name}.svg`), terminalSvg(text, `sandwarden ${name}`));
    process.stdout.write(`picture  docs/images/${name}.svg\n`);
  }
}

/** The loop of a story, as far as its picture shall go: what ends it, not the rates. */
function incident(): string {
  const style = { colour: true, unicode: true, width: COLUMNS };
  const text = incidentText(readIncident(loopStory()), loopStory(), style);
  return `$ sandwarden incident\n${text.slice(0, text.search(/\n\n\S*Boot /))}`;
}

/** What the demonstration prints, with colours. */
function demo(): string {
  const env = { ...process.env, FORCE_COLOR: '1', COLUMNS: String(COLUMNS), LC_ALL: 'C.UTF-8', TERM: 'xterm-256color' };
  const args = [join(root, 'src', 'main.ts'), 'demo', '--fast'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the demonstration ended with ${status}: ${stderr}`);
  return stdout;
}
