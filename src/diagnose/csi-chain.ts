import type { Finding, Link } from '../model/finding.ts';
import type { NodeFacts } from '../model/node.ts';
import type { NameHeld } from '../model/records.ts';
import { describePod } from '../model/sandbox.ts';
import {
  causeId,
  driverFailures,
  isOfEarlierBoot,
  pluginNames,
  sidecarSpans,
  standingRefusals,
  waitingFailures,
  waitingSidecars,
} from './cause-nodes.ts';
import { type CauseNode, causesOf } from './causes.ts';
import { type BackedOff, stuckAttachments } from './csi-facts.ts';
import type { Facts } from './facts.ts';
import { spanOf } from './span.ts';
import { reasonsOf } from './storm-chain.ts';
import { plural, shortList } from './words.ts';

/** The links from the node plugin that cannot start to the pods that wait for volumes, oldest first. */
export function csiLinks(facts: Facts, findings: readonly Finding[], nodes: readonly CauseNode[]): Link[] {
  if (!findings.some((each) => /^SW30[1-6]$/.test(each.code) && each.severity === 'error')) return [];
  // Of these no single finding tells.
  const loop = looping(facts);
  const links = [
    first(findings, 'SW302', ({ object }) => spanOf(facts, refusalsOf(facts, object.name))),
    first(findings, 'SW301', (finding) => sinceDead(facts, finding)),
    loop,
    backedOff(facts, findings),
    stuck(facts, findings),
    waiting(facts, findings),
  ];
  return links
    .filter((each): each is Link => each !== undefined)
    .map((link) => {
      const finding = findings.find((each) => each.code === link.code);
      const node = link === loop ? nodes.find((each) => each.id === 'sidecars') : nodeOf(finding, nodes);
      return { ...link, ...reasonsOf(node, nodes) };
    });
}

type When = Pick<Link, 'at' | 'agoNs' | 'lastedNs'>;

const noMoment: When = { at: null, agoNs: null, lastedNs: null };

function first(findings: readonly Finding[], code: string, when: (finding: Finding) => When): Link | undefined {
  const mine = findings.filter((each) => each.code === code);
  const [finding] = mine;
  if (finding === undefined) return undefined;
  const more = mine.length === 1 ? '' : ` (and ${mine.length - 1} more of these)`;
  return { ...when(finding), text: `${plain(finding.why)}${more}`, evidence: finding.evidence[0]?.text ?? '', code };
}

/** The refusals of a driver's node plugin. */
function refusalsOf(facts: Facts, name: string): NameHeld[] {
  const names = pluginNames(facts, name);
  return standingRefusals(facts).filter((each) => names.has(describePod(each.asked)));
}

/**
 * Since when a socket is missed. kubelet's log tells, by the first failure with the driver, the first refusal of its
 * plugin or the first back-off of its sidecars; else a file that an earlier boot left behind was dead when this one
 * began (as all are: it is missed from the moment at which its plugin does not come); else it died after its file was
 * made.
 */
function sinceDead(facts: Facts, { object }: Finding): When {
  const { node } = facts;
  const dead = facts.drivers.find((each) => each.name === object.name && each.state === 'refuses')?.driver;
  if (node === undefined) return noMoment;
  const mine = waitingSidecars(facts).filter((each) => each.driver.name === object.name);
  const logged = spanOf(facts, [
    ...driverFailures(facts, object.name),
    ...refusalsOf(facts, object.name),
    ...sidecarSpans(facts, mine),
  ]);
  const ofBefore = dead !== undefined && isOfEarlierBoot(dead.madeAtNs, facts) === true;
  if (ofBefore) {
    const since = logged.agoNs ?? node.uptimeNs;
    return { at: null, agoNs: since, lastedNs: since };
  }
  if (dead === undefined || logged.agoNs !== null) return logged;
  return { ...noMoment, agoNs: withinBoot(node.wallNs - dead.madeAtNs, node) };
}

/** A distance that the wall clock gives, where it lies within this boot. */
function withinBoot(agoNs: bigint, { uptimeNs }: NodeFacts): bigint | null {
  return agoNs < 0n || agoNs > uptimeNs ? null : agoNs;
}

/** Those that end for want of a socket that is dead still. */
function looping(facts: Facts): Link | undefined {
  const mine = waitingSidecars(facts).filter((each) => each.cause !== 'gone');
  if (mine.length === 0) return undefined;
  const sockets = new Set(mine.map((each) => each.driver.folder)).size;
  const want = sockets === 1 ? 'that socket' : 'these sockets';
  const text = `${podsThat(mine, 'crash-loops', 'crash-loop')} for want of ${want}`;
  return { ...sinceLooping(facts, mine), text, evidence: restartsOf(mine) };
}

/** Those whose socket is back: of a driver that is well by now, or well again before another one. */
function backedOff(facts: Facts, findings: readonly Finding[]): Link | undefined {
  const mine = waitingSidecars(facts).filter((each) => each.cause === 'gone');
  if (mine.length === 0) return undefined;
  const drivers = [...new Set(mine.map((each) => each.driver.name))].sort().join(' and ');
  const code = findings.some((each) => each.code === 'SW303') ? { code: 'SW303' } : {};
  const text = `${podsThat(mine, 'waits', 'wait')} in back-off although ${drivers} answers again`;
  return { ...sinceLooping(facts, mine), text, evidence: restartsOf(mine), ...code };
}

function podsThat(mine: readonly BackedOff[], one: string, many: string): string {
  const { size } = new Set(mine.map((each) => each.pod.uid));
  return plural(size, `CSI pod ${one}`, `CSI pods ${many}`);
}

function restartsOf(mine: readonly BackedOff[]): string {
  const restarts = mine.reduce((sum, each) => sum + each.container.restarts, 0);
  return `${restarts} restarts in all; ${shortList([...new Set(mine.map((each) => describePod(each.pod)))].sort())}`;
}

/** Since when they loop, by the logs; else the newest of their ends by the clock: it is as old as that at least. */
function sinceLooping(facts: Facts, mine: readonly BackedOff[]): When {
  const node = facts.node;
  const logged = spanOf(facts, sidecarSpans(facts, mine));
  if (logged.agoNs !== null) return { ...logged, lastedNs: logged.agoNs };
  const ends = mine.flatMap((each) => each.container.lastExit?.finishedAtNs ?? []);
  if (node === undefined || ends.length === 0) return noMoment;
  const newest = ends.toSorted((a, b) => (a < b ? 1 : -1))[0] ?? 0n;
  return { ...noMoment, agoNs: withinBoot(node.wallNs - newest, node) };
}

function stuck(facts: Facts, findings: readonly Finding[]): Link | undefined {
  const mine = findings.filter((each) => each.code === 'SW305');
  const [finding] = mine;
  if (finding === undefined) return undefined;
  const text =
    mine.length === 1 ? plain(finding.why) : `${mine.length} volumes are neither attached nor let go, for minutes`;
  const names = new Set(mine.map((each) => each.object.name));
  return { ...sinceStuck(facts, names), text, evidence: finding.evidence[0]?.text ?? '', code: 'SW305' };
}

/** The longest wait by the API server's clock; one that began before this boot has its date and not its distance. */
function sinceStuck(facts: Facts, names: ReadonlySet<string>): When {
  const [oldest] = stuckAttachments(facts.snapshot)
    .filter((each) => names.has(each.attachment.name))
    .toSorted((a, b) => (a.forNs < b.forNs ? 1 : -1));
  if (oldest === undefined || facts.node === undefined) return noMoment;
  const { createdAtNs, deletingSinceNs } = oldest.attachment;
  return oldest.forNs > facts.node.uptimeNs
    ? { ...noMoment, at: { wallNs: deletingSinceNs ?? createdAtNs } }
    : { at: null, agoNs: oldest.forNs, lastedNs: oldest.forNs };
}

function waiting(facts: Facts, findings: readonly Finding[]): Link | undefined {
  const finding = findings.find((each) => each.code === 'SW306');
  if (finding === undefined) return undefined;
  const count = finding.pods.length;
  return {
    ...spanOf(facts, waitingFailures(facts)),
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
