import { describeDuration } from '../../diagnose/time.ts';
import type { Link } from '../../model/finding.ts';
import type { Incident, Timeline, TimelineBoot } from '../../model/incident.ts';
import { version } from '../../model/version.ts';
import { esc, page } from './html.ts';
import { incidentCss } from './incident-style.ts';
import { loopPicture, mostOf, ratesPicture, shortNumber } from './incident-svg.ts';
import { describeEvent, EVENTS, endWords, otherSigns } from './incident-text.ts';
import { formatDate } from './time.ts';

/** The incident as one page that can be sent around: it needs no network and runs nothing. */
export function incidentHtml(incident: Incident, timeline: Timeline, madeAtNs: bigint): string {
  const host = timeline.hostname === undefined ? '' : ` on ${timeline.hostname}`;
  const body = [
    '<header>',
    `<p class="soft">Incident${esc(host)}, since ${esc(formatDate(timeline.sinceNs))}</p>`,
    `<h1 class="${incident.state}">${esc(incident.verdict)}</h1>`,
    '</header>',
    '<main>',
    ...endings(incident),
    ...picture(incident),
    ...rates(timeline, incident),
    ...chain(incident),
    ...boots(timeline),
    ...list(
      'What else the kernel said',
      timeline.boots.flatMap((boot) => otherSigns(boot).map((each) => `Boot ${boot.bootId.slice(0, 8)}: ${each}`)),
    ),
    ...list(
      'What the kernel kept of crashes',
      timeline.crashes.map((each) => `${formatDate(each.wallNs)} ${each.file}: ${each.text}`),
    ),
    ...list(
      'What Sandwarden did',
      timeline.healed.map((each) => `${formatDate(each.wallNs)} ${each.text}`),
    ),
    ...list('What the cluster says of this node', (timeline.events ?? []).slice(-EVENTS).map(describeEvent)),
    ...list(
      'Not read',
      timeline.gaps.map((each) => `${each.source}: ${each.message}${each.hint === '' ? '' : ` (${each.hint})`}`),
    ),
    '</main>',
    '<footer>',
    '<p class="soft">Dates are by the wall clock of each boot, which may have been wrong; the order is by boot and by',
    "the kernel's own count.",
    `Read by Sandwarden ${esc(version)} from a journal that ends ${esc(formatDate(madeAtNs))}.</p>`,
    '</footer>',
  ];
  return page({ title: `Incident${host}: ${incident.verdict}`, css: incidentCss, body: body.join('\n') });
}

function endings({ breaks }: Incident): string[] {
  if (breaks.length === 0) return [];
  const items = breaks.map((each) => `<li>${withCode(each)}</li>`);
  return ['<h2>What ends it</h2>', '<ul>', ...items, '</ul>'];
}

/** Our own words: `…` is code in them. */
function withCode(text: string): string {
  return esc(text).replace(/`([^`]+)`/g, '<code>$1</code>');
}

function picture(incident: Incident): string[] {
  if (incident.loop.length < 2) return [];
  const caption = 'Each box led to the next one; the last one made the first one again.';
  return ['<h2>The loop</h2>', '<figure>', loopPicture(incident), `<figcaption>${caption}</figcaption>`, '</figure>'];
}

function rates(timeline: Timeline, { normal }: Incident): string[] {
  const kinds = (['made', 'stalls'] as const).filter((kind) => mostOf(timeline, kind) > 0);
  const [first, last] = [timeline.boots[0], timeline.boots.at(-1)];
  if (kinds.length === 0 || !first || !last) return [];
  const frozen = timeline.boots.some((each) => each.freezes.length > 0);
  const usual = normal.perMinute > 0 ? `, normal is ${shortNumber(normal.perMinute)}` : '';
  const words = { made: `containers made a minute${usual}`, stalls: 'stalls of the kernel an hour' } as const;
  const figures = kinds.flatMap((kind) => [
    '<figure>',
    ratesPicture(timeline, kind, `rates-${kind}`),
    `<div class="ends"><span>${esc(formatDate(first.first.wallNs))}</span>`,
    `<span>${esc(formatDate(last.last.wallNs))}</span></div>`,
    `<figcaption><span class="key ${kind}">${words[kind]}, at most ${shortNumber(mostOf(timeline, kind))}</span>`,
    frozen ? ' <span class="key frozen">the API did not answer</span></figcaption>' : '</figcaption>',
    '</figure>',
  ]);
  return ['<h2>Rates over time</h2>', ...figures];
}

function chain({ chain: links, loop }: Incident): string[] {
  if (links.length === 0) return [];
  const items = links.map((link, index) => `<li>${linkText(link, loop.includes(index))}</li>`);
  return ['<h2>What fed what, oldest first</h2>', '<ol class="chain">', ...items, '</ol>'];
}

function linkText(link: Link, inLoop: boolean): string {
  const date = link.at === null ? '' : formatDate(link.at.wallNs);
  const machine = date.replace(' ', 'T');
  const lasted = link.lastedNs === null ? '' : ` <span class="soft">for ${describeDuration(link.lastedNs)}</span>`;
  const words = [...(link.code === undefined ? [] : [link.code]), ...(inLoop ? ['part of the loop'] : [])];
  const tags = words.map((each) => `<span class="tag">${esc(each)}</span>`).join(' ');
  return [
    date === '' ? '' : `<p><time datetime="${esc(machine)}">${esc(date)}</time>${lasted}</p>`,
    `<p><strong>${esc(link.text)}</strong> ${tags}</p>`,
    link.evidence === '' ? '' : `<p class="soft">${esc(link.evidence)}</p>`,
    link.because === undefined ? '' : `<p>Because of ${esc(link.because)}.</p>`,
    ...(link.others ?? []).map((each) => `<p>Or of ${esc(each.text)}. What decides: ${esc(each.decidedBy)}.</p>`),
  ].join('');
}

function boots(timeline: Timeline): string[] {
  if (timeline.boots.length === 0) return [];
  const head = ['Boot', 'From', 'Lived', 'Ended', 'Dead sandboxes', 'Looping containers', 'Made', 'Stalls', 'Frozen'];
  return [
    '<h2>Boots</h2>',
    '<div class="scroll" role="region" aria-label="Boots" tabindex="0">',
    '<table>',
    `<thead><tr>${head.map((each) => `<th scope="col">${each}</th>`).join('')}</tr></thead>`,
    '<tbody>',
    ...timeline.boots.map(row),
    '</tbody>',
    '</table>',
    '</div>',
  ];
}

function row(boot: TimelineBoot): string {
  const frozen = boot.freezes.reduce((sum, each) => sum + each.lastedNs, 0n);
  const cells = [
    formatDate(boot.first.wallNs),
    describeDuration((boot.last.monotonicUs ?? 0n) * 1_000n),
    endWords[boot.end],
    String(boot.ghosts?.holders ?? 0),
    String(boot.loops.length),
    boot.creationsFrom === 'none' ? 'not known' : String(boot.creations),
    String(boot.hours.reduce((sum, each) => sum + each.stalls, 0)),
    frozen === 0n ? 'no' : describeDuration(frozen),
  ];
  const name = `<th scope="row"><code>${esc(boot.bootId.slice(0, 8))}</code></th>`;
  return `<tr>${name}${cells.map((each) => `<td>${esc(each)}</td>`).join('')}</tr>`;
}

function list(title: string, texts: readonly string[]): string[] {
  if (texts.length === 0) return [];
  return [`<h2>${title}</h2>`, '<ul>', ...texts.map((each) => `<li>${esc(each)}</li>`), '</ul>'];
}
