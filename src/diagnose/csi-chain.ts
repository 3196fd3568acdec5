import type { Finding, Link } from '../model/finding.ts';
import { describePod } from '../model/sandbox.ts';
import { causesOf } from './causes.ts';
import { type BackedOff, backedOff } from './csi-facts.ts';
import type { Facts } from './facts.ts';
import { causeNodes, describeCause, otherCause } from './storm-chain.ts';
import { shortList } from './words.ts';

/** The links from the node plugin that cannot start to the pods that wait for volumes, oldest first. */
export function csiLinks(facts: Facts, findings: readonly Finding[]): Link[] {
  if (!findings.some((each) => /^SW30[1-6]$/.test(each.code) && each.severity === 'error')) return [];
  const links = [
    first(findings, 'SW302'),
    first(findings, 'SW301'),
    sidecars(facts, findings),
    stuck(findings),
    waiting(findings),
  ];
  return links
    .filter((each): each is Link => each !== undefined)
    .map((link) => ({ ...link, ...causeOf(facts, findings, link.code ?? '') }));
}

const noMoment = { at: null, agoNs: null, lastedNs: null } as const;

function first(findings: readonly Finding[], code: string): Link | undefined {
  const mine = findings.filter((each) => each.code === code);
  const [finding] = mine;
  if (finding === undefined) return undefined;
  const more = mine.length === 1 ? '' : ` (and ${mine.length - 1} more of these)`;
  return { ...noMoment, text: `${plain(finding.why)}${more}`, evidence: finding.evidence[0]?.text ?? '', code };
}

/** All that wait in back-off at the driver's socket, whether its cause is gone or not. */
function sidecars(facts: Facts, findings: readonly Finding[]): Link | undefined {
  const mine = backedOff(facts.drivers, facts.node).filter((each) => each.cause !== 'own');
  if (mine.length === 0) return undefined;
  const pods = new Set(mine.map((each) => describePod(each.pod)));
  const restarts = mine.reduce((sum, each) => sum + each.container.restarts, 0);
  const back = mine.every((each) => each.cause === 'gone');
  const code = findings.some((each) => each.code === 'SW303') ? 'SW303' : undefined;
  return {
    ...noMoment,
    ...lastEnd(facts, mine),
    text:
      `${pods.size} CSI ${pods.size === 1 ? 'pod crash-loops' : 'pods crash-loop'} for want of that socket` +
      (back ? '; it is back, and they still wait' : ''),
    evidence: `${restarts} restarts in all; ${shortList([...pods].sort())}`,
    ...(code === undefined ? {} : { code }),
  };
}

/** When the newest of their ends was, by the node's clock: the link is as old as that at least. */
function lastEnd(facts: Facts, mine: readonly BackedOff[]): Pick<Link, 'agoNs'> {
  const node = facts.node;
  const ends = mine.flatMap((each) => each.container.lastExit?.finishedAtNs ?? []);
  if (node === undefined || ends.length === 0) return { agoNs: null };
  const newest = ends.toSorted((a, b) => (a < b ? 1 : -1))[0] ?? 0n;
  const ago = node.wallNs - newest;
  return { agoNs: ago < 0n || ago > node.uptimeNs ? null : ago };
}

function stuck(findings: readonly Finding[]): Link | undefined {
  const mine = findings.filter((each) => each.code === 'SW305');
  const [finding] = mine;
  if (finding === undefined) return undefined;
  const text =
    mine.length === 1 ? plain(finding.why) : `${mine.length} volumes are neither attached nor let go, for minutes`;
  return { ...noMoment, text, evidence: finding.evidence[0]?.text ?? '', code: 'SW305' };
}

function waiting(findings: readonly Finding[]): Link | undefined {
  const finding = findings.find((each) => each.code === 'SW306');
  if (finding === undefined) return undefined;
  const count = finding.pods.length;
  return {
    ...noMoment,
    text: `${count} ${count === 1 ? 'pod waits' : 'pods wait'} for ${count === 1 ? 'its' : 'their'} volumes`,
    evidence: shortList(finding.pods),
    code: 'SW306',
  };
}

/** Why an earlier finding caused this one, and what else may have. */
function causeOf(facts: Facts, findings: readonly Finding[], code: string): Pick<Link, 'because' | 'others'> {
  const nodes = causeNodes(facts, findings);
  const node = nodes.find((each) => each.code === code);
  const [best, ...others] = node === undefined ? [] : causesOf(node, nodes);
  return {
    ...(best === undefined ? {} : { because: describeCause(best) }),
    ...(others.length === 0 ? {} : { others: others.slice(0, 3).map(otherCause) }),
  };
}

/**
 * Which link, broken, ends the chain: the earliest finding that something can be done about; undefined where the chain
 * has nothing to do with volumes.
 */
export function endsTheChain(findings: readonly Finding[]): { code: string; text: string } | undefined {
  if (!findings.some((each) => /^SW30[1-6]$/.test(each.code) && each.severity === 'error')) return undefined;
  const order = [
    'SW105',
    'SW701',
    'SW703',
    'SW106',
    'SW103',
    'SW102',
    'SW104',
    'SW109',
    'SW101',
    'SW301',
    'SW303',
    'SW305',
  ];
  for (const code of order) {
    const mine = findings.filter((each) => each.code === code && each.severity === 'error');
    const [finding] = mine;
    if (finding === undefined) continue;
    const count = mine.length === 1 ? '' : `, ${mine.length} of them`;
    return { code, text: `${code} (${finding.object.name}${count}): ${finding.remedy.text}` };
  }
  return undefined;
}

function plain(text: string): string {
  return text.replace(/\.$/, '');
}
