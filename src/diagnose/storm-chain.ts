import type { Finding, Link } from '../model/finding.ts';
import { valueOr } from '../model/observed.ts';
import { type CauseNode, causesOf, type HeldCause } from './causes.ts';
import type { Facts } from './facts.ts';
import { spanOf } from './span.ts';
import { stallsOf } from './stall-facts.ts';
import { churnOf, loopingPods } from './storm-facts.ts';
import { agoNs, describeDuration } from './time.ts';

/** Whether there is a storm or stalls that a chain is worth, even where no pod is down. */
export function hasStorm(findings: readonly Finding[]): boolean {
  return findings.some((each) => /^SW40[1-3]$/.test(each.code) && each.severity !== 'info');
}

/** The links of churn and of stalls, with the causes that hold for each; none where neither is worth a warning. */
export function stormLinks(facts: Facts, findings: readonly Finding[]): Link[] {
  const mine = findings.filter((each) => each.code === 'SW401' || each.code === 'SW402');
  if (mine.every((each) => each.severity === 'info')) return [];
  const nodes = causeNodes(facts, findings);
  return mine.map((finding) => {
    const node = nodes.find((each) => each.code === finding.code);
    const [best, ...others] = node === undefined ? [] : causesOf(node, nodes);
    return {
      ...timesOf(facts, finding.code),
      text: finding.why.replace(/\.$/, ''),
      evidence: finding.evidence[0]?.text ?? '',
      code: finding.code,
      ...(best === undefined ? {} : { because: describeCause(best) }),
      ...(others.length === 0 ? {} : { others: others.slice(0, 3).map(otherCause) }),
    };
  });
}

/** Why a cause holds, in words: `SW302: the sidecars of … (pod longhorn-system/x; 2 min later)`. */
export function describeCause({ cause, rule, shared, lagNs }: HeldCause): string {
  const when = lagNs === null ? [] : [lagNs > 0n ? `${describeDuration(lagNs)} later` : 'at the same time'];
  const what = shared === undefined ? [] : [`shared: ${shared}`];
  const proof = [...what, ...when].join('; ');
  return `${cause.code}: ${rule.because}${proof === '' ? '' : ` (${proof})`}`;
}

/** A cause as the one that is only possible. */
export function otherCause(held: HeldCause): { code: string; text: string; decidedBy: string } {
  return { code: held.cause.code, text: describeCause(held), decidedBy: held.rule.decidedBy };
}

/** The findings and the signs of the kernel as what can cause and be caused; the axis is the time since boot. */
export function causeNodes(facts: Facts, findings: readonly Finding[]): CauseNode[] {
  const byCode = Map.groupBy(findings, (each) => each.code);
  const ofFindings = [...byCode].map(([code, group]): CauseNode => {
    return { id: code, code, ...spanOnAxis(facts, code), objects: objectsOf(facts, code, group) };
  });
  const log = facts.snapshot.kernelLog === undefined ? undefined : valueOr(facts.snapshot.kernelLog, undefined);
  const ofKernel = (log?.troubles ?? []).flatMap(({ kind, first, last }): CauseNode[] => {
    if (kind !== 'nfs-silent' && kind !== 'undervoltage') return [];
    const [startNs, endNs] = [first, last].map((each) => (each.monotonicUs ?? 0n) * 1_000n);
    const objects = new Set(kind === 'nfs-silent' ? ['hung:tasks'] : []);
    return [{ id: kind, code: kind, startNs: startNs ?? null, endNs: endNs ?? null, objects }];
  });
  return [...ofFindings, ...ofKernel];
}

function objectsOf(facts: Facts, code: string, group: readonly Finding[]): Set<string> {
  const pods = group.flatMap((each) => each.pods);
  const objects = new Set(pods.map((each) => `pod:${each}`));
  if (/^SW(?:201|10[1249])$/.test(code)) objects.add('end:of the last boot');
  if (/^SW3\d\d$/.test(code)) {
    for (const each of pods) objects.add(`sidecars:${each.slice(0, each.indexOf('/'))}`);
    for (const { object } of group) objects.add(`driver:${object.name}`);
  }
  if (code === 'SW401') {
    objects.add('task:runc');
    for (const { pod, container } of churnOf(facts).loops) {
      if (isSidecar(container)) objects.add(`sidecars:${pod.slice(0, pod.indexOf('/'))}`);
    }
  }
  if (code === 'SW402') {
    const stalls = stallsOf(facts);
    if (stalls?.log.tasks.some(({ task }) => isOfContainers(task))) objects.add('task:runc');
    if (stalls?.troubles.some(({ kind }) => kind === 'hung-task')) objects.add('hung:tasks');
  }
  return objects;
}

/** The names of the CSI sidecars (kubernetes-csi), which charts and operators keep, with or without a prefix. */
export function isSidecar(container: string): boolean {
  return /(?:^|-)(?:attacher|provisioner|resizer|snapshotter|driver-registrar|liveness-?probe|health-monitor-controller)$/.test(
    container,
  );
}

/** Whether a task belongs to the making and ending of containers. */
export function isOfContainers(task: string): boolean {
  return /^(?:runc|crun|youki|containerd-shim|conmon|containerd)\b/.test(task);
}

function spanOnAxis(facts: Facts, code: string): Pick<CauseNode, 'startNs' | 'endNs'> {
  const { node } = facts;
  if (node === undefined) return { startNs: null, endNs: null };
  // The last boot's end is before this axis begins.
  if (code === 'SW201' || code === 'SW202') return { startNs: 0n, endNs: 0n };
  if (code === 'SW402') {
    const stalls = stallsOf(facts);
    const startNs = stalls === undefined ? null : (stalls.first.monotonicUs ?? 0n) * 1_000n;
    return { startNs, endNs: null };
  }
  if (code === 'SW401') return { startNs: churnStartNs(facts), endNs: null };
  return { startNs: null, endNs: null };
}

/** Since when containers loop, as far as logs and dates reach. */
function churnStartNs(facts: Facts): bigint | null {
  const { node, snapshot, sandboxById } = facts;
  if (node === undefined) return null;
  const loops = new Set(churnOf(facts).loops.map((each) => `${each.podUid} ${each.container}`));
  const logged = [
    ...(valueOr(snapshot.kubeletLog, undefined)?.backOffs ?? []).flatMap((each) =>
      loops.has(`${each.podUid} ${each.container}`) ? [each.first] : [],
    ),
    ...(valueOr(snapshot.runtimeLog, undefined)?.creations ?? []).flatMap((each) =>
      loops.has(`${sandboxById.get(each.sandboxId)?.uid} ${each.container}`) ? [each.first] : [],
    ),
  ];
  const ages = logged.flatMap((each) => agoNs(each, node) ?? []);
  // kubelet counts on over reboots, so the attempts of a container do not say since when it loops in this boot.
  const oldest = ages.toSorted((a, b) => (a < b ? 1 : -1))[0];
  return oldest === undefined ? null : node.uptimeNs - oldest;
}

function timesOf(facts: Facts, code: string): Pick<Link, 'at' | 'agoNs' | 'lastedNs'> {
  const { node } = facts;
  const none = { at: null, agoNs: null, lastedNs: null };
  if (node === undefined) return none;
  if (code === 'SW402') return spanOf(facts, stallsOf(facts)?.troubles ?? []);
  const startNs = churnStartNs(facts);
  if (startNs === null || loopingPods(churnOf(facts).loops).length === 0) return none;
  const ago = node.uptimeNs - startNs;
  return { at: null, agoNs: ago, lastedNs: ago };
}
