import type { Finding, Link } from '../model/finding.ts';
import { type CauseNode, causesOf, type HeldCause, pathTo } from './causes.ts';
import type { Facts } from './facts.ts';
import { spanOf } from './span.ts';
import { stallsOf } from './stall-facts.ts';
import { churnOf, churnStartNs, loopingPods } from './storm-facts.ts';
import { describeDuration } from './time.ts';

/** Whether there is a storm or stalls that a chain is worth, even where no pod is down. */
export function hasStorm(findings: readonly Finding[]): boolean {
  return findings.some((each) => /^SW40[1-3]$/.test(each.code) && each.severity !== 'info');
}

/** The links of churn and of stalls, with the causes that hold for each; none where neither is worth a warning. */
export function stormLinks(facts: Facts, findings: readonly Finding[], nodes: readonly CauseNode[]): Link[] {
  const mine = findings.filter((each) => each.code === 'SW401' || each.code === 'SW402');
  if (mine.every((each) => each.severity === 'info')) return [];
  return mine.map((finding) => ({
    ...timesOf(facts, finding.code),
    text: finding.why.replace(/\.$/, ''),
    evidence: finding.evidence[0]?.text ?? '',
    code: finding.code,
    ...reasonsOf(
      nodes.find((each) => each.id === finding.code),
      nodes,
    ),
  }));
}

/** Why something happened, and what else it may have come of. What is only possible is never said to be the reason. */
export function reasonsOf(node: CauseNode | undefined, nodes: readonly CauseNode[]): Pick<Link, 'because' | 'others'> {
  if (node === undefined) return {};
  const causes = (of: CauseNode) => causesOf(of, nodes).filter((each) => !each.possible);
  const isBehind = (far: CauseNode, near: CauseNode) =>
    pathTo(near, causes, (each) => each.id === far.id) !== undefined;
  // Ten dead sandboxes of one kind are one candidate; thousands of them would be compared with each other.
  const byKind = Map.groupBy(causesOf(node, nodes), ({ cause, possible }) => `${cause.code} ${possible ?? ''}`);
  const held = [...byKind.values()].flatMap(([first]) => first ?? []);
  // What led to a cause is told of with that cause, and is no other candidate beside it.
  return reasonsFrom(held.filter(({ cause }) => !held.some((near) => !near.possible && isBehind(cause, near.cause))));
}

/** The same of causes that are found already, the one that is to be named first. */
export function reasonsFrom(held: readonly HeldCause[]): Pick<Link, 'because' | 'others'> {
  const best = held.find((each) => !each.possible);
  const others = [...Map.groupBy(held, (each) => each.cause.code)].flatMap(([code, [first]]) =>
    code === best?.cause.code || first === undefined ? [] : first,
  );
  return {
    ...(best === undefined ? {} : { because: describeCause(best) }),
    ...(others.length === 0 ? {} : { others: others.slice(0, 3).map(otherCause) }),
  };
}

/** Why a cause holds, in words: `SW302: the sidecars of … (pod longhorn-system/x; 2 min later)`. */
function describeCause({ cause, rule, shared, possible, lagNs }: HeldCause): string {
  const later = cause.sinceBoot === true ? 'after the boot' : 'later';
  const when = lagNs === null ? [] : [lagNs > 0n ? `${describeDuration(lagNs)} ${later}` : 'at the same time'];
  const what = shared === undefined ? [] : [`${possible ? 'perhaps shared' : 'shared'}: ${shared}`];
  const proof = [...what, ...when].join('; ');
  return `${cause.code}: ${rule.because}${proof === '' ? '' : ` (${proof})`}`;
}

/** A cause as the one that is only possible. */
function otherCause(held: HeldCause): NonNullable<Link['others']>[number] {
  return { code: held.cause.code, text: describeCause(held), decidedBy: held.rule.decidedBy };
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
