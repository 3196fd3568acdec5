import { perMinute } from '../../diagnose/incident/rates.ts';
import { countsInWords, isStallKind } from '../../diagnose/stall-facts.ts';
import { describeDuration } from '../../diagnose/time.ts';
import type { Link } from '../../model/finding.ts';
import type { Incident, NodeEvent, Timeline, TimelineBoot } from '../../model/incident.ts';
import { hang } from './layout.ts';
import { marksOf, type Paint, paint, type Style, shown } from './style.ts';
import { formatDate } from './time.ts';

/** The incident as a person reads it: the verdict, what fed what, what ends it, then boot by boot. */
export function incidentText(incident: Incident, timeline: Timeline, style: Style): string {
  const lines = hang(paint(style, verdictPaint[incident.state], shown(style, incident.verdict)), style.width, '', '');
  if (incident.chain.length > 0) lines.push('', ...chainLines(incident, style));
  if (incident.breaks.length > 0) lines.push('', title('What ends it', style), ...items(incident.breaks, style));
  for (const boot of timeline.boots) lines.push('', ...bootLines(boot, style));
  const normal = incident.normal.perMinute > 0 ? `${incident.normal.perMinute.toFixed(1)} a minute, ` : '';
  if (timeline.boots.some((each) => each.creationsFrom !== 'none')) {
    const text = `Normal creations of this node: ${normal}${incident.normal.from}.`;
    lines.push('', ...hang(paint(style, 'dim', shown(style, text)), style.width, '', ''));
  }
  if (timeline.crashes.length > 0) {
    const kept = timeline.crashes.map((each) => `${formatDate(each.wallNs)} ${each.file}: ${each.text}`);
    lines.push('', title('What the kernel kept of crashes (pstore)', style), ...items(kept, style));
  }
  if (timeline.healed.length > 0) {
    const done = timeline.healed.map((each) => `${formatDate(each.wallNs)} ${each.text}`);
    lines.push('', title('What Sandwarden did', style), ...items(done, style));
  }
  const events = (timeline.events ?? []).slice(-EVENTS).map(describeEvent);
  if (events.length > 0) lines.push('', title('What the cluster says of this node', style), ...items(events, style));
  if (timeline.gaps.length > 0) {
    lines.push('', title('Not read', style));
    for (const { source, message, hint } of timeline.gaps) {
      lines.push(...hang(`${shown(style, source)}: ${shown(style, message)}`, style.width, '  ', '    '));
      if (hint !== '') lines.push(...hang(shown(style, hint), style.width, `    ${marksOf(style).arrow} `));
    }
  }
  const clock =
    `Since ${formatDate(timeline.sinceNs)}. Dates are by the wall clock of each boot, which may have been wrong; the ` +
    "order is by boot and by the kernel's own count.";
  lines.push('', ...hang(paint(style, 'dim', shown(style, clock)), style.width, '', ''));
  return `${lines.join('\n')}\n`;
}

/** The newest so many events are written out. */
export const EVENTS = 20;

/** An event in one line. */
export function describeEvent({ lastNs, count, type, reason, message }: NodeEvent): string {
  return `${formatDate(lastNs)} ${type} ${reason}${count > 1 ? ` (${count} times)` : ''}: ${message}`;
}

const verdictPaint: Readonly<Record<Incident['state'], Paint>> = {
  loop: ['bold', 'red'],
  trouble: ['bold', 'yellow'],
  quiet: ['bold', 'green'],
  'nothing-read': ['bold', 'yellow'],
};

function title(text: string, style: Style): string {
  return paint(style, 'bold', text);
}

function items(texts: readonly string[], style: Style): string[] {
  return texts.flatMap((each) => hang(shown(style, each), style.width, '  ', '    '));
}

function chainLines({ chain, loop }: Incident, style: Style): string[] {
  const head = loop.length > 0 ? 'What fed what (* is the loop)' : 'What happened, oldest first';
  const lines = [title(head, style)];
  chain.forEach((link, index) => {
    const mark = loop.includes(index) ? '* ' : '  ';
    lines.push(...hang(headOf(link, style), style.width, mark, '    '));
    const because = link.because === undefined ? [] : [`because of ${link.because}`];
    const others = (link.others ?? []).map((each) => `or of ${each.text}; what decides: ${each.decidedBy}`);
    for (const each of [link.evidence, ...because, ...others]) {
      if (each === '') continue;
      lines.push(...hang(shown(style, each), style.width, '    ', '      ').map((line) => paint(style, 'dim', line)));
    }
  });
  return lines;
}

function headOf(link: Link, style: Style): string {
  return [
    ...(link.at === null ? [] : [paint(style, 'cyan', formatDate(link.at.wallNs))]),
    ...(link.lastedNs === null ? [] : [paint(style, 'red', `+${describeDuration(link.lastedNs)}:`)]),
    shown(style, link.text),
    ...(link.code === undefined ? [] : [paint(style, 'dim', `[${link.code}]`)]),
  ].join(' ');
}

/** How a boot ended, in words. */
export const endWords: Readonly<Record<TimelineBoot['end'], string>> = {
  clean: 'shut down in order',
  unclean: 'ended without a shutdown',
  running: 'is running',
  unknown: 'the journal ends here',
};

function bootLines(boot: TimelineBoot, style: Style): string[] {
  const lived = describeDuration((boot.last.monotonicUs ?? 0n) * 1_000n);
  const head =
    `${paint(style, 'bold', `Boot ${boot.bootId.slice(0, 8)}`)} from ${formatDate(boot.first.wallNs)}, ` +
    `${lived}: ${endWords[boot.end]}`;
  const lines = hang(head, style.width, '', '  ');
  if (boot.creations > 0) {
    const from = `counted in the log of ${boot.creationsFrom}`;
    lines.push(...rates('created', boot, (hour) => perMinute(boot, hour), `a minute, ${from}`, style));
  }
  if (boot.hours.some((each) => each.stalls > 0)) {
    lines.push(...rates('stalls ', boot, (hour) => hour.stalls, 'an hour', style));
  }
  for (const each of otherSigns(boot)) lines.push(...hang(shown(style, each), style.width, '  ', '    '));
  return lines;
}

/** What the kernel said in a boot besides stalls, a line of each kind: OOM kills, undervoltage and the like. */
export function otherSigns({ kernel }: Pick<TimelineBoot, 'kernel'>): string[] {
  const others = kernel.troubles.filter((each) => !isStallKind(each.kind));
  return others.map((each) => {
    const last = each.count > 1 ? ` to ${formatDate(each.last.wallNs)}` : '';
    return `${countsInWords([each])}, ${formatDate(each.first.wallNs)}${last}: ${each.text}`;
  });
}

/** A row of bars over the life of the boot, with what the highest one stands for. */
function rates(
  name: string,
  boot: TimelineBoot,
  valueIn: (hour: TimelineBoot['hours'][number]) => number,
  unit: string,
  style: Style,
): string[] {
  const room = Math.max(style.width - 12, 12);
  const columns = barsOf(boot, valueIn, Math.min(room, 72));
  const most = Math.max(...columns);
  const marks = style.unicode ? ' ▁▂▃▄▅▆▇█' : ' .:-=+*#%@';
  const bars = columns
    .map((value) => marks[value === 0 ? 0 : Math.ceil((value / most) * (marks.length - 1))] ?? ' ')
    .join('')
    .trimEnd();
  const each = columns.length < hoursOf(boot) ? `; one mark is ${(hoursOf(boot) / columns.length).toFixed(1)} h` : '';
  return [
    `  ${name} ${paint(style, 'magenta', bars)}`,
    ...hang(`at most ${most < 10 ? most.toFixed(1) : Math.round(most)} ${unit}${each}`, style.width, '          '),
  ];
}

/** The values of all hours of a boot, thinned to at most `most` columns (each the highest of its hours). */
export function barsOf(
  boot: TimelineBoot,
  valueIn: (hour: TimelineBoot['hours'][number]) => number,
  most: number,
): number[] {
  const hours = hoursOf(boot);
  const columns = new Array<number>(Math.min(hours, most)).fill(0);
  for (const each of boot.hours) {
    const column = Math.min(Math.floor((each.hour * columns.length) / hours), columns.length - 1);
    columns[column] = Math.max(columns[column] ?? 0, valueIn(each));
  }
  return columns;
}

function hoursOf(boot: TimelineBoot): number {
  return Math.max(Math.floor(Number(boot.last.monotonicUs ?? 0n) / 3.6e9), boot.hours.at(-1)?.hour ?? 0) + 1;
}
