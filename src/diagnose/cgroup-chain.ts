import type { Finding, Link } from '../model/finding.ts';
import { limits } from '../model/limits.ts';
import type { BackOff, UnaskedStop } from '../model/records.ts';
import { describePod } from '../model/sandbox.ts';
import { lastPart, stopsOf, treeOf } from './cgroup-facts.ts';
import { describeParties, sliceName } from './controller-fight.ts';
import { flapsOf } from './controller-flaps.ts';
import type { Facts } from './facts.ts';
import { spanOf } from './span.ts';
import { describeDuration, isCurrent } from './time.ts';
import { shortList, times } from './words.ts';

/** Whether a finding tells of cgroups alone: the pods it names start, and are killed again. */
export function isOfCgroups({ code }: Finding): boolean {
  return /^SW(5\d\d|601)$/.test(code);
}

/** The links from where the processes are to what kubelet does, oldest first; none without an error of cgroups. */
export function cgroupLinks(facts: Facts, errors: readonly Finding[]): Link[] {
  if (!errors.some(isOfCgroups)) return [];
  const links = [
    pastSystemd(errors),
    outside(errors),
    empty(errors),
    ...fights(facts, errors),
    lost(facts, errors),
    killed(facts, errors),
  ];
  return links.filter((each): each is Link => each !== undefined);
}

const noMoment = { at: null, agoNs: null, lastedNs: null } as const;

/** Where it begins: the setting that makes runc work past systemd. */
function pastSystemd(errors: readonly Finding[]): Link | undefined {
  const mine = errors.filter((each) => each.code === 'SW503');
  const [first] = mine;
  if (first === undefined) return undefined;
  return {
    ...noMoment,
    text: `${shortList(mine.map((each) => each.object.name))} makes cgroups past systemd, which kubelet uses`,
    evidence: first.evidence[0]?.text ?? '',
    code: 'SW503',
  };
}

function outside(errors: readonly Finding[]): Link | undefined {
  const mine = errors.filter((each) => each.code === 'SW510');
  if (mine.length === 0) return undefined;
  return {
    ...noMoment,
    text: `the runtime put the processes of ${podsOf(mine)} outside of their slices`,
    evidence: mine[0]?.evidence[0]?.text ?? '',
    code: 'SW510',
  };
}

function empty(errors: readonly Finding[]): Link | undefined {
  const mine = errors.filter((each) => each.code === 'SW508');
  if (mine.length === 0) return undefined;
  return {
    ...noMoment,
    text: `the runtime left the slices of ${podsOf(mine)} empty`,
    evidence: mine[0]?.evidence[0]?.text ?? '',
    code: 'SW508',
  };
}

/** Who takes it away and who puts it back, where somebody watched. */
function fights(facts: Facts, errors: readonly Finding[]): Link[] {
  return flapsOf(facts).flatMap((flap): Link[] => {
    const { controller, path, takers, putters, seen } = flap;
    if (seen.how === 'stops') return [];
    const spans = seen.how === 'changes' ? [seen.fight] : [seen];
    // Pods that were killed before the watch began say that the fight is older than the watch: since when, nobody saw.
    const moment = spanOf(facts, spans);
    const killed = spanOf(facts, killsOf(facts, errors)).agoNs;
    const isOlder = killed !== null && moment.agoNs !== null && killed > moment.agoNs;
    const back = putters.length === 0 ? '' : `; ${describeParties(putters)} puts it back`;
    const seenHow = seen.how === 'changes' ? `${times(seen.fight.gone)} while it was watched` : 'seen by fanotify';
    return [
      {
        ...(isOlder ? noMoment : moment),
        text: `${describeParties(takers)} takes ${controller} away from ${sliceName(path)}${back}`,
        evidence: seenHow,
        code: 'SW502',
      },
    ];
  });
}

/** What is missing at this moment; it comes and goes. */
function lost(facts: Facts, errors: readonly Finding[]): Link | undefined {
  const mine = errors.filter((each) => each.code === 'SW501');
  const tree = treeOf(facts);
  if (mine.length === 0 || tree === undefined) return undefined;
  const uids = new Set(mine.map((each) => each.object.id));
  const pods = tree.pods.filter((each) => uids.has(each.uid) && each.missing.length > 0);
  const [first] = pods;
  if (first === undefined) return undefined;
  return {
    ...noMoment,
    text: `${lastPart(first.lostAt ?? first.path)} does not hand ${first.missing.join(' and ')} down any more`,
    evidence: mine[0]?.evidence[0]?.text ?? '',
    code: 'SW501',
  };
}

/** The silent stops of the pods that are stopped again and again. */
function killsOf(facts: Facts, errors: readonly Finding[]): UnaskedStop[] {
  const uids = new Set(errors.filter((each) => each.code === 'SW601').map((each) => each.object.id));
  return [...facts.pods.values()].filter((view) => uids.has(view.uid)).flatMap((view) => stopsOf(facts, view) ?? []);
}

function killed(facts: Facts, errors: readonly Finding[]): Link | undefined {
  const stops = killsOf(facts, errors);
  if (stops.length === 0) return undefined;
  const times = stops.reduce((sum, each) => sum + each.count, 0);
  const pods = stops.map((each) => describePod(each.pod)).sort();
  return {
    ...spanOf(facts, stops),
    text: `kubelet stopped healthy pods ${times} times and made their sandboxes anew, without saying why`,
    evidence: `no probe, deletion, eviction or changed sandbox explains it: ${shortList(pods)}`,
    code: 'SW601',
  };
}

/** The end of it: to kubelet a container that is stopped again and again is one that fails. */
export function crashLoop(facts: Facts, errors: readonly Finding[]): Link | undefined {
  const backOffs = backOffsOf(facts, errors);
  if (backOffs.length === 0) return undefined;
  const longest = Math.max(...backOffs.map((each) => each.delayMs));
  const pods = [...new Set(backOffs.map((each) => describePod(each.pod)))].sort();
  return {
    ...spanOf(facts, backOffs),
    text: 'kubelet takes the stops for crashes and waits before it starts them again: CrashLoopBackOff',
    evidence: `back-off of up to ${describeDuration(BigInt(longest) * 1_000_000n)}: ${shortList(pods)}`,
  };
}

function backOffsOf({ node, snapshot }: Facts, errors: readonly Finding[]): BackOff[] {
  const uids = new Set(errors.filter((each) => each.code === 'SW601').map((each) => each.object.id));
  const log = snapshot.kubeletLog;
  return (log.known ? (log.value.backOffs ?? []) : []).filter(({ podUid, last }) => {
    return uids.has(podUid) && node !== undefined && isCurrent(last, node, limits.killsCurrentForMs);
  });
}

/** Whether the chain ends at CrashLoopBackOff: then that link is of every pod that is down. */
export function endsInBackOff(facts: Facts, errors: readonly Finding[]): boolean {
  const waiting = new Set(backOffsOf(facts, errors).map((each) => describePod(each.pod)));
  return waiting.size > 0 && errors.every((each) => each.pods.every((pod) => waiting.has(pod)));
}

function podsOf(findings: readonly Finding[]): string {
  const pods = new Set(findings.flatMap((each) => each.pods)).size;
  return `${pods} ${pods === 1 ? 'pod' : 'pods'}`;
}
