import type { Link } from '../../model/finding.ts';
import type { Incident, Timeline, TimelineBoot } from '../../model/incident.ts';
import { limits } from '../../model/limits.ts';
import { causesOf, type HeldCause, pathTo } from '../causes.ts';
import { isStallKind, thousands } from '../stall-facts.ts';
import { reasonsFrom } from '../storm-chain.ts';
import { describeDuration } from '../time.ts';
import { type Episode, episodesOf } from './episodes.ts';
import { loopRate, normalOf } from './rates.ts';

/** What a timeline means: what fed what, whether it is a loop, and what ends it. Pure. */
export function readIncident(timeline: Timeline): Incident {
  const episodes = episodesOf(timeline);
  const causes = new Map(episodes.map((each) => [each.id, causesOf(each, episodes)]));
  const rounds = roundsOf(episodes, causes);
  const loop = rounds.at(-1) ?? [];
  const chain = episodes.map((each) => linkOf(each, causes.get(each.id) ?? [], loop));
  const state =
    timeline.boots.length === 0 ? 'nothing-read' : loop.length > 0 ? 'loop' : episodes.length > 0 ? 'trouble' : 'quiet';
  return {
    verdict: verdictOf(timeline, episodes, state, rounds),
    state,
    chain,
    loop: loop.map((each) => episodes.indexOf(each)),
    rounds: rounds.length,
    breaks: breaksOf(timeline, episodes, state),
    normal: normalOf(timeline),
  };
}

/**
 * The closed rounds, oldest first: dead sandboxes of one boot that led, by causes that hold, to dead sandboxes of a
 * later one. A round is the path between them, its shortest one.
 */
function roundsOf(episodes: readonly Episode[], causes: ReadonlyMap<string, readonly HeldCause[]>): Episode[][] {
  const byId = new Map(episodes.map((each) => [each.id, each]));
  const ghosts = episodes.filter((each) => each.code === 'SW101');
  const causesIn = (of: Episode) =>
    (causes.get(of.id) ?? []).flatMap((held) => {
      const cause = byId.get(held.cause.id);
      return cause === undefined || held.possible ? [] : [{ cause }];
    });
  return ghosts.flatMap((end) => {
    const path = pathTo(end, causesIn, (each) => each.code === 'SW101' && each.bootId !== end.bootId);
    return path === undefined ? [] : [path];
  });
}

/** In a loop the cause that closes it goes first; the others are shown too. */
function linkOf(episode: Episode, held: readonly HeldCause[], loop: readonly Episode[]): Link {
  const before = loop[loop.indexOf(episode) - 1];
  const inLoop = before === undefined ? undefined : held.find((each) => each.cause.id === before.id);
  const named = inLoop === undefined ? held : [inLoop, ...held.filter((each) => each !== inLoop)];
  const { at, lastedNs, text, evidence, code } = episode;
  return {
    at,
    agoNs: null,
    lastedNs,
    text,
    evidence,
    ...(/^SW\d{3}$/.test(code) ? { code } : {}),
    ...reasonsFrom(named),
  };
}

function verdictOf(
  timeline: Timeline,
  episodes: readonly Episode[],
  state: Incident['state'],
  rounds: readonly Episode[][],
): string {
  const { boots } = timeline;
  if (state === 'nothing-read') {
    return (
      'Nothing could be read of this time: no boot has a line in it. Keep the journal over reboots ' +
      '(Storage=persistent in journald.conf), run it as root, or look further back (--since).'
    );
  }
  const facts = factsOf(boots);
  const spanned = boots.reduce((sum, each) => sum + (each.last.monotonicUs ?? 0n) * 1_000n, 0n);
  const resets = boots.filter((each) => each.end === 'unclean').length;
  const head = `${count(boots.length, 'boot', 'boots')}, ${describeDuration(spanned)} of running`;
  if (state === 'quiet') {
    const ends = boots.length === 1 ? '' : ', all ended in order';
    return `Quiet: ${head}${ends}; no dead sandboxes, no crash loops, no stalls, no freeze.`;
  }
  if (state === 'trouble') {
    if (facts.length > 0) return `${head}; ${facts.join('; ')}. No loop: none of it leads back to its beginning.`;
    return `${head}; ${count(episodes.length, 'thing', 'things')} to see, nothing that hurt pods.`;
  }
  const [first, last] = [rounds.at(-1)?.[0], rounds.at(-1)?.at(-1)];
  const took =
    first === undefined || last === undefined || first.startNs === null || last.startNs === null
      ? ''
      : `, ${describeDuration(last.startNs - first.startNs)} later`;
  return (
    `A loop that feeds itself (${count(rounds.length, 'closed round', 'closed rounds')}, ` +
    `${count(resets, 'reset', 'resets')}): ${facts.join('; ')}. Each reset made what led to the next one${took}.`
  );
}

/** The figures of the verdict, in the order of the loop. */
function factsOf(boots: readonly TimelineBoot[]): string[] {
  const unclean = boots.filter((each) => each.end === 'unclean').length;
  const ghosts = boots.flatMap((each) => each.ghosts?.holders ?? []);
  const looping = boots.filter((each) => each.loops.length > 0);
  const worst = looping.toSorted((a, b) => b.loops.length - a.loops.length || loopRate(b) - loopRate(a))[0];
  const stalls = boots.reduce((sum, boot) => sum + stallsIn(boot), 0);
  const freezes = boots.flatMap((each) => each.freezes);
  const frozen = freezes.reduce((sum, each) => sum + each.lastedNs, 0n);
  const drivers = [...new Set(boots.flatMap((each) => each.drivers.map((one) => one.driver)))];
  const rate = worst === undefined ? 0 : loopRate(worst);
  return [
    ...(unclean === 0 ? [] : [`${count(unclean, 'boot', 'boots')} ended without a shutdown`]),
    ...(ghosts.length === 0 ? [] : [`${ghosts.join(', then ')} dead sandboxes held names`]),
    ...(drivers.length === 0 ? [] : [`CSI driver ${drivers.slice(0, 2).join(', ')} was not there`]),
    ...(worst === undefined
      ? []
      : [
          `${count(new Set(worst.loops.map((each) => each.pod)).size, 'pod', 'pods')} crash-looped` +
            (rate < 0.05 ? '' : ` (${rate.toFixed(rate < 10 ? 1 : 0)} containers a minute)`),
        ]),
    ...(stalls === 0 ? [] : [`the kernel stalled ${thousands(stalls)} ${stalls === 1 ? 'time' : 'times'}`]),
    ...(freezes.length === 0 ? [] : [`the API froze for ${describeDuration(frozen)}`]),
  ];
}

function stallsIn({ kernel }: TimelineBoot): number {
  return kernel.troubles.reduce((sum, each) => sum + (isStallKind(each.kind) ? each.count : 0), 0);
}

function breaksOf(timeline: Timeline, episodes: readonly Episode[], state: Incident['state']): string[] {
  const last = timeline.boots.at(-1);
  const has = (code: string) => episodes.some((each) => each.code === code);
  return [
    ...(last?.ghosts === undefined
      ? []
      : ['now: `sandwarden heal` removes exactly the dead sandboxes that block pods']),
    ...(state === 'loop' || (has('SW101') && has('SW201'))
      ? ['for good: `sandwarden install`, which does it at each boot, before kubelet starts']
      : []),
    ...(has('SW202') ? ['the clock: the boot hook turns it forward before the runtime starts'] : []),
    ...(has('SW401') && !has('SW101') ? ['the crash loops: see what those pods end of'] : []),
    ...(has('SW402') && !has('SW401') ? ['the stalls: the tasks that the kernel names, the disk, the power'] : []),
    ...(timeline.crashes.length > 0 ? ['the crashes: what the kernel kept of them (pstore) names the place'] : []),
    ...(has('SW201') && !has('SW101') ? [`the resets: the last lines of each boot (journalctl -b ID -n ${TAIL})`] : []),
  ];
}

const TAIL = limits.freezeFailures * 20;

function count(number: number, one: string, many: string): string {
  return `${thousands(number)} ${number === 1 ? one : many}`;
}
