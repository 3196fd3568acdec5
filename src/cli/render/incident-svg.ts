import { Axis } from '../../diagnose/incident/axis.ts';
import { perMinute } from '../../diagnose/incident/rates.ts';
import { describeDuration } from '../../diagnose/time.ts';
import type { Incident, Timeline, TimelineBoot, TimelineHour } from '../../model/incident.ts';
import { esc } from './html.ts';
import { formatDate } from './time.ts';

const WIDTH = 310;
const LEFT = 28;
const LINE = 17;
const GAP = 22;
/** What fits into a box at 13 px, in characters of a proportional font. */
const FITS = 37;

/** The loop as boxes from the dead sandboxes down, and an arrow from the last back to the first. */
export function loopPicture({ chain, loop }: Incident): string {
  const links = loop.flatMap((index) => chain[index] ?? []);
  // The last link is the first one again, one boot later: the arrow goes there.
  const round = links.slice(0, -1);
  let y = 6;
  const tops: number[] = [];
  const parts = round.map((link, index) => {
    const words = broken(link.text, FITS, 4);
    const when = link.at === null ? '' : formatDate(link.at.wallNs);
    const lasted = link.lastedNs === null ? '' : `, for ${describeDuration(link.lastedNs)}`;
    const height = LINE * (words.length + 1) + 10;
    const top = y;
    tops.push(top + height / 2);
    y += height + GAP;
    const arrow = index === round.length - 1 ? '' : arrowDown(top + height);
    return [
      `<rect class="box${index === 0 ? ' first' : ''}" x="${LEFT}" y="${top}" width="${WIDTH - LEFT - 4}" `,
      `height="${height}" rx="5"/>`,
      `<text class="when" x="${LEFT + 10}" y="${top + 17}">${esc(when + lasted)}</text>`,
      ...words.map(
        (each, n) => `<text class="words" x="${LEFT + 10}" y="${top + 17 + LINE * (n + 1)}">${esc(each)}</text>`,
      ),
      arrow,
    ].join('');
  });
  const [first = 0, last = 0] = [tops[0], tops.at(-1)];
  const back =
    `<path class="arrow back" d="M${LEFT} ${last} H14 Q6 ${last} 6 ${last - 8} V${first + 8} Q6 ${first} 14 ${first} ` +
    `H${LEFT - 8}"/><path class="tip back" d="M${LEFT} ${first} l-9 -5 v10 z"/>`;
  const text = round.map((each) => each.text).join('; then ');
  return [
    `<svg class="ring" viewBox="0 0 ${WIDTH} ${y - GAP + 6}" role="img" aria-labelledby="ring-title ring-text">`,
    '<title id="ring-title">The loop</title>',
    `<desc id="ring-text">${esc(`${text}; and from there to the beginning again.`)}</desc>`,
    ...parts,
    back,
    '</svg>',
  ].join('');
}

/** One kind of bar over the time of all boots: `made` or `stalls`, the freezes as bands, the boots as a line below. */
export function ratesPicture(timeline: Timeline, kind: 'made' | 'stalls', id: string): string {
  const axis = new Axis(timeline);
  const [from, to] = rangeOf(timeline, axis);
  const span = Math.max(to - from, 1);
  const x = (ns: bigint) => ((Number(ns) - from) / span) * 1_000;
  const valueIn = (boot: TimelineBoot, hour: TimelineHour) => (kind === 'made' ? perMinute(boot, hour) : hour.stalls);
  const most = mostOf(timeline, kind);
  const bars = timeline.boots.flatMap((boot) => {
    return boot.hours.flatMap((hour) => {
      const value = valueIn(boot, hour);
      if (value <= 0 || most <= 0) return [];
      const start = axis.at({ ...boot.first, monotonicUs: BigInt(hour.hour) * 3_600_000_000n });
      const width = Math.max((3.6e12 / span) * 1_000 - 0.5, 0.5);
      const height = (value / most) * 90;
      return [
        `<rect class="${kind}" x="${fixed(x(start))}" y="${fixed(96 - height)}" width="${fixed(width)}" ` +
          `height="${fixed(height)}"/>`,
      ];
    });
  });
  const bands = timeline.boots.flatMap((boot) =>
    boot.freezes.map((each) => {
      const [a, b] = [x(axis.at(each.first)), x(axis.at(each.last))];
      return `<rect class="frozen" x="${fixed(a)}" y="0" width="${fixed(Math.max(b - a, 2))}" height="96"/>`;
    }),
  );
  const boots = timeline.boots.map((boot) => {
    const [a, b] = [x(axis.at(boot.first)), x(axis.at(boot.last))];
    return `<rect class="boot" x="${fixed(a)}" y="97" width="${fixed(Math.max(b - a - 2, 1))}" height="3"/>`;
  });
  const title = kind === 'made' ? 'Containers made a minute, by hour' : 'Stalls of the kernel, by hour';
  return [
    `<svg class="rates" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-labelledby="${id}">`,
    `<title id="${id}">${title}; at most ${shortNumber(most)}</title>`,
    ...bands,
    ...bars,
    ...boots,
    '</svg>',
  ].join('');
}

/** The highest bar of a picture. */
export function mostOf({ boots }: Timeline, kind: 'made' | 'stalls'): number {
  const values = boots.flatMap((boot) =>
    boot.hours.map((each) => (kind === 'made' ? perMinute(boot, each) : each.stalls)),
  );
  return values.reduce((a, b) => Math.max(a, b), 0);
}

/** `9.5`, `24`, `1191`. */
export function shortNumber(value: number): string {
  return value < 10 ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value));
}

function rangeOf({ boots }: Timeline, axis: Axis): [number, number] {
  const ends = boots.flatMap((each) => [Number(axis.at(each.first)), Number(axis.at(each.last))]);
  return ends.length === 0 ? [0, 1] : [Math.min(...ends), Math.max(...ends)];
}

function arrowDown(from: number): string {
  const x = LEFT + (WIDTH - LEFT) / 2;
  return (
    `<path class="arrow" d="M${x} ${from} V${from + GAP - 8}"/>` +
    `<path class="tip" d="M${x} ${from + GAP} l-5 -9 h10 z"/>`
  );
}

/** At most `count` lines; what does not fit ends in an ellipsis, and is in the list below the picture. */
function broken(text: string, most: number, count: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').flatMap((each) => each.match(new RegExp(`.{1,${most}}`, 'gu')) ?? [])) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < most) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  if (lines.length <= count) return lines;
  return [...lines.slice(0, count - 1), `${lines[count - 1]?.slice(0, most - 1)}…`];
}

function fixed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}
