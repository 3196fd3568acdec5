import type { Finding, Link } from '../model/finding.ts';
import { describePod } from '../model/sandbox.ts';
import { causeId } from './cause-nodes.ts';
import { type CauseNode, causesOf } from './causes.ts';
import { type BackedOff, backedOff } from './csi-facts.ts';
import type { Facts } from './facts.ts';
import { reasonsOf } from './storm-chain.ts';
import { shortList } from './words.ts';

/** The links from the node plugin that cannot start to the pods that wait for volumes, oldest first. */
export function csiLinks(facts: Facts, findings: readonly Finding[], nodes: readonly CauseNode[]): Link[] {
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
    .map((link) => {
      const finding = findings.find((each) => each.code === link.code);
      return { ...link, ...reasonsOf(nodeOf(finding, nodes), nodes) };
    });
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

function nodeOf(finding: Finding | undefined, nodes: readonly CauseNode[]): CauseNode | undefined {
  return finding === undefined ? undefined : nodes.find((each) => each.id === causeId(finding));
}

/** What one can do something about: broken, what comes of it ends. */
const breakable = [
  'SW105',
  'SW701',
  'SW703',
  'SW106',
  'SW103',
  'SW102',
  'SW104',
  'SW109',
  'SW101',
  'SW302',
  'SW301',
  'SW303',
  'SW305',
];

/**
 * Which link, broken, ends the chain: from the pods that wait back along the causes that hold, the first one that
 * something can be done about. Undefined where the chain has nothing to do with volumes.
 */
export function endsTheChain(
  findings: readonly Finding[],
  nodes: readonly CauseNode[],
): { code: string; text: string } | undefined {
  const errors = findings.filter((each) => each.severity === 'error');
  const last = ['SW306', 'SW305', 'SW303', 'SW301', 'SW302'].flatMap(
    (code) => errors.find((one) => one.code === code) ?? [],
  );
  for (const each of last) {
    const root = rootOf(nodeOf(each, nodes), nodes);
    const mine = root === undefined ? [] : errors.filter((one) => causeId(one) === root.id);
    const [finding] = mine;
    if (finding === undefined) continue;
    const same = errors.filter((one) => one.code === finding.code).length;
    const count = same === 1 ? '' : `, ${same} of them`;
    return { code: finding.code, text: `${finding.code} (${finding.object.name}${count}): ${finding.remedy.text}` };
  }
  return undefined;
}

/** The earliest cause that can be broken, by the likeliest cause of each. */
function rootOf(start: CauseNode | undefined, nodes: readonly CauseNode[]): CauseNode | undefined {
  let root: CauseNode | undefined;
  const seen = new Set<string>();
  for (let node = start; node !== undefined && !seen.has(node.id); ) {
    seen.add(node.id);
    if (isBreakable(node)) root = node;
    node = causesOf(node, nodes).find((each) => !each.possible && isBreakable(each.cause))?.cause;
  }
  return root;
}

function isBreakable({ code }: CauseNode): boolean {
  return breakable.includes(code);
}

function plain(text: string): string {
  return text.replace(/\.$/, '');
}
