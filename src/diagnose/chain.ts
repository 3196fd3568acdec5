import type { Finding, Link } from '../model/finding.ts';
import { valueOr } from '../model/observed.ts';
import { bootClock } from './boot-clock.ts';
import { causeNodes, isOfEarlierBoot, standingRefusals } from './cause-nodes.ts';
import { type CauseNode, ghostCodes } from './causes.ts';
import { cgroupLinks, crashLoop, endsInBackOff, isOfCgroups } from './cgroup-chain.ts';
import { oldestFirst } from './chain-order.ts';
import { csiLinks, endsTheChain } from './csi-chain.ts';
import type { Facts } from './facts.ts';
import { describeKubelet } from './ghost-finding.ts';
import { spanOf } from './span.ts';
import { hasStorm, reasonsOf, stormLinks } from './storm-chain.ts';
import { agoNs, describeDate, describeDuration } from './time.ts';

/**
 * The causal chain behind the findings, oldest first. Each link is there because a source says so; a link that no
 * source supports is left out rather than guessed.
 */
export function buildChain(facts: Facts, findings: readonly Finding[]): Link[] {
  const errors = findings.filter((each) => each.severity === 'error');
  if (errors.length === 0 && !hasStorm(findings)) return [];
  const codes = new Set(errors.map((each) => each.code));
  const nodes = causeNodes(facts, findings);
  const links: (Link | undefined)[] = [
    ...(hasGhost(codes)
      ? [endOfLastBoot(facts), clockBehind(facts), ghosts(facts, codes, nodes), kubeletStart(facts)]
      : []),
    networkDown(facts, codes),
    stopFails(facts, codes, errors),
    hungRequest(facts, codes, errors),
    ...(codes.has('SW105') || codes.has('SW701') ? [runtimeDown(facts, errors)] : []),
    refused(facts, nodes),
    ...cgroupLinks(facts, errors),
    ...csiLinks(facts, findings, nodes),
    ...stormLinks(facts, findings, nodes),
    crashLoop(facts, errors),
  ];
  const ends = endsTheChain(findings, nodes);
  const down = endsInBackOff(facts, errors) ? undefined : podsDown(errors);
  const there = oldestFirst(links.filter((each): each is Link => each !== undefined));
  if (down !== undefined) there.push(down);
  const isOf = (code: string) => (ghostCodes.includes(code) ? ghostCodes : [code]);
  const last = there.findIndex((each) => isOf(ends?.code ?? '').includes(each.code ?? 'none'));
  return there.map((link, index) => (index === last && ends !== undefined ? { ...link, ends: ends.text } : link));
}

function hasGhost(codes: ReadonlySet<string>): boolean {
  return ghostCodes.some((code) => codes.has(code));
}

function endOfLastBoot(facts: Facts): Link | undefined {
  const last = valueOr(facts.snapshot.boots, []).at(-2);
  if (last === undefined || last.end === 'unknown' || last.end === 'running') return undefined;
  return {
    at: { wallNs: last.lastNs, bootId: last.bootId },
    agoNs: null,
    lastedNs: null,
    text:
      last.end === 'unclean'
        ? 'the last boot ended without a shutdown: power cut, reset or freeze'
        : 'the last boot was shut down cleanly',
    evidence: `last journal entry of boot ${last.bootId.slice(0, 8)}: ${describeDate(last.lastNs)}`,
  };
}

function clockBehind(facts: Facts): Link | undefined {
  const clock = bootClock(facts);
  if (clock === undefined || facts.node === undefined) return undefined;
  return {
    at: null,
    agoNs: facts.node.uptimeNs,
    lastedNs: null,
    text: `the node booted with its clock at least ${describeDuration(clock.behindNs)} behind`,
    evidence: clock.evidence,
  };
}

function ghosts(facts: Facts, codes: ReadonlySet<string>, nodes: readonly CauseNode[]): Link | undefined {
  const blocking = facts.cures.flatMap((cure) => cure.ghosts);
  if (blocking.length === 0 || facts.node === undefined) return undefined;
  const earlier = blocking.every((each) => isOfEarlierBoot(each.sandbox.createdAtNs, facts) === true);
  const future = blocking.filter((each) => facts.node !== undefined && each.sandbox.createdAtNs > facts.node.wallNs);
  const code = [...codes].find((each) => blocking.some((ghost) => ghost.code === each));
  const dated = future.length > 0 ? `, ${future.length} of them dated after now` : '';
  return {
    at: null,
    agoNs: earlier ? runtimeStartAgoNs(facts) : null,
    lastedNs: null,
    text: `${count(blocking.length, 'dead sandbox', 'dead sandboxes')} came back with the runtime${dated}`,
    evidence: `NotReady in the listing, blocking; ${facts.kept.length} more NotReady block nothing`,
    ...(code === undefined ? {} : { code }),
    ...reasonsOf(
      nodes.find((each) => each.code === code),
      nodes,
    ),
  };
}

/** When the runtime listed them anew; unknown where it was started again after kubelet: not then they came back. */
function runtimeStartAgoNs(facts: Facts): bigint | null {
  const { node, snapshot } = facts;
  if (node === undefined) return null;
  const process = valueOr(snapshot.processes, undefined)?.runtimeStartedUptimeNs;
  const logged = valueOr(snapshot.runtimeLog, undefined)?.startedAt;
  const started = process !== undefined ? node.uptimeNs - process : logged === undefined ? null : agoNs(logged, node);
  const kubelet = kubeletStartAgoNs(facts);
  return started !== null && (kubelet === null || kubelet <= started) ? started : null;
}

function kubeletStartAgoNs({ node, snapshot }: Facts): bigint | null {
  const process = valueOr(snapshot.kubelet, undefined)?.startedUptimeNs;
  const logged = valueOr(snapshot.kubeletLog, undefined)?.startedAt;
  if (node === undefined) return null;
  if (process !== undefined) return node.uptimeNs - process;
  return logged === undefined ? null : agoNs(logged, node);
}

function kubeletStart(facts: Facts): Link | undefined {
  const kubelet = valueOr(facts.snapshot.kubelet, undefined);
  const started = kubeletStartAgoNs(facts);
  if (started === null) return undefined;
  const byDate = facts.orders.length === 1 && facts.orders[0] === 'by-date';
  return {
    at: null,
    agoNs: started,
    lastedNs: null,
    text: `${describeKubelet(facts)} started${byDate ? '; for it the latest date is the newest sandbox' : ''}`,
    evidence: kubelet?.versionFrom === undefined ? `pid ${kubelet?.pid ?? '?'}` : `version from ${kubelet.versionFrom}`,
  };
}

function networkDown(facts: Facts, codes: ReadonlySet<string>): Link | undefined {
  if (!codes.has('SW703')) return undefined;
  const runtime = valueOr(facts.snapshot.runtime, undefined);
  return {
    at: null,
    agoNs: null,
    lastedNs: null,
    text: 'the runtime has no working CNI configuration',
    evidence: runtime?.networkMessage ?? 'NetworkReady is false',
    code: 'SW703',
  };
}

function stopFails(facts: Facts, codes: ReadonlySet<string>, errors: readonly Finding[]): Link | undefined {
  if (!codes.has('SW106')) return undefined;
  const failed = (valueOr(facts.snapshot.kubeletLog, undefined)?.stopFailed ?? []).filter(
    (each) => each.during === 'sync',
  );
  const mine = errors.filter((each) => each.code === 'SW106');
  return {
    ...spanOf(facts, failed),
    text: `${count(mine.length, 'dead sandbox', 'dead sandboxes')} cannot be stopped; kubelet makes none beside them`,
    evidence: mine[0]?.evidence[0]?.text ?? '',
    code: 'SW106',
  };
}

function hungRequest(facts: Facts, codes: ReadonlySet<string>, errors: readonly Finding[]): Link | undefined {
  if (!codes.has('SW103')) return undefined;
  const mine = errors.filter((each) => each.code === 'SW103');
  const timedOut = valueOr(facts.snapshot.kubeletLog, undefined)?.runTimedOut ?? [];
  return {
    ...spanOf(facts, timedOut),
    text: `${count(mine.length, 'RunPodSandbox has', 'RunPodSandbox have')} not ended inside the runtime`,
    evidence: mine[0]?.evidence.find((each) => each.source === 'processes')?.text ?? mine[0]?.evidence[1]?.text ?? '',
    code: 'SW103',
  };
}

function runtimeDown(facts: Facts, errors: readonly Finding[]): Link | undefined {
  const finding = errors.find((each) => each.code === 'SW105') ?? errors.find((each) => each.code === 'SW701');
  if (finding === undefined) return undefined;
  const log = valueOr(facts.snapshot.runtimeLog, undefined);
  return {
    ...spanOf(facts, [...(log?.duplicates ?? []), ...(log?.fatal ?? [])]),
    text: 'the container runtime does not come up',
    evidence: finding.evidence.at(-1)?.text ?? '',
    code: finding.code,
  };
}

function refused(facts: Facts, nodes: readonly CauseNode[]): Link | undefined {
  const standing = [...facts.pods.values()].flatMap((view) => view.errors);
  const errors = standingRefusals(facts);
  if (errors.length === 0) return undefined;
  const times = errors.reduce((sum, each) => sum + each.count, 0);
  return {
    ...spanOf(facts, errors),
    text: `the runtime refused kubelet ${count(times, 'time', 'times')}: the name is reserved`,
    evidence: standing[0]?.text ?? '',
    ...reasonsOf(
      nodes.find((each) => each.code === 'refused'),
      nodes,
    ),
  };
}

function podsDown(errors: readonly Finding[]): Link | undefined {
  const pods = [...new Set(errors.flatMap((each) => each.pods))].sort();
  if (pods.length === 0) return undefined;
  const shown = pods.slice(0, 4).join(', ');
  return {
    at: null,
    agoNs: 0n,
    lastedNs: null,
    text: `${count(pods.length, 'pod does', 'pods do')} not ${errors.every(isOfCgroups) ? 'stay up' : 'run'}`,
    evidence: pods.length > 4 ? `${shown} and ${pods.length - 4} more` : shown,
  };
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
