import type { Evidence, Finding } from '../../model/finding.ts';
import { valueOr } from '../../model/observed.ts';
import { describePod } from '../../model/sandbox.ts';
import { causeId, causeNodes, loopTies, waitingSidecars } from '../cause-nodes.ts';
import { type CauseNode, causesOf, ghostCodes, pathTo } from '../causes.ts';
import type { Facts } from '../facts.ts';
import { refusalsOf } from '../refusals.ts';
import type { Rule } from '../rule.ts';
import { stallsOf } from '../stall-facts.ts';
import { agoNs, describeDate, describeDuration } from '../time.ts';
import { plural } from '../words.ts';

/** SW403: a reboot has made what leads to the next one. */
export const sw403: Rule = {
  code: 'SW403',
  name: 'self-reinforcing-loop',
  title: 'A loop that feeds itself: each reset makes what leads to the next one',
  severity: 'warning',
  says: 'reboot, dead sandboxes, CSI blocked, crash loops, stalls, freeze, reboot: the links that are there',
  explanation: `A node ends without a shutdown. Its sandboxes come back dead and hold names; a pod that cannot start is
the node plugin of a CSI driver, so its socket never appears; the sidecars that need the socket end at once and are
started again around the clock; that churn makes the kernel stall (SW402); after a day or two the node freezes, somebody
resets it, and **that reset makes new dead sandboxes**. Nobody has to do anything for it to go on for ever. One node is
on record with five such rounds in three weeks; in one of them its CSI plugin was blocked for 37 hours, and the kernel
reported 1,191 expedited stalls before the API server stopped answering.

It is told only where each link holds by a rule, by time and by what the two share: the last boot ended without a
shutdown and left a dead sandbox, that sandbox is one of a driver's node plugin, the sidecars of that driver crash-loop
and make most of the churn (with the pods that kubelet kills and makes anew because of such a sandbox), and the kernel
names the making of containers where it stalls. That all of these are there at once is no loop: pods that crash-loop for
a reason of their own, or stalls that come of something else, would not end
with the dead sandboxes. Breaking any link ends it; the first one is the cheapest and the only one that Sandwarden can
break by itself: removing the dead sandboxes. With the boot hook (\`sandwarden install\`) the link
is broken at each boot, before kubelet starts. \`sandwarden incident\` shows all rounds that the journal knows.`,
  evidence: 'one line per link, with its time',
  remedy: { tier: 'safe', text: 'Break the first link: remove the dead sandboxes; then install the boot hook.' },
  sources: ['the chain of SW201, SW101 to SW104, SW301 to SW303, SW401 and SW402; src/diagnose/causes.ts'],
  needs: ['node', 'boots', 'sandboxes', 'containers', 'kubelet', 'kubeletLog', 'kernelLog', 'csi'],
  examine: () => [],
  conclude: (facts, findings) => {
    if (!['SW201', 'SW401', 'SW402'].every((code) => findings.some((each) => each.code === code))) return [];
    const nodes = causeNodes(facts, findings);
    const path = pathOf(findings, nodes);
    if (path === undefined) return [];
    const churned = shareOf(facts, path);
    // A storm that is mostly of others would go on without the dead sandboxes.
    if (churned.share < 0.5) return [];
    const on = (code: RegExp) => {
      const ids = new Set(path.flatMap((each) => (code.test(each.code) ? [each.id] : [])));
      return findings.filter((each) => ids.has(causeId(each)));
    };
    const [held, volumes, churn, stalls] = [on(/^SW10/), on(/^SW30/), on(/^SW401/), on(/^SW402/)];
    const others = findings.filter((each) => isBlocking(each) && !held.includes(each));
    const ghosts = [...held, ...others];
    const links: Evidence[] = [
      { source: 'boots', text: `reset: ${endOfLast(facts)}` },
      { source: 'sandboxes', text: `dead sandboxes: ${ghosts.length} ${firstWords(ghosts)}${since(facts)}` },
      ...volumes.slice(0, 1).map((each) => ({ source: 'sandboxes' as const, text: `volumes: ${each.why}` })),
      { source: 'containers', text: `crash loops: ${churn[0]?.why ?? ''}` },
      { source: 'kernelLog', text: `stalls: ${stalls[0]?.why ?? ''}${stallsSince(facts)}` },
      { source: 'kernelLog', text: 'what comes next: a freeze, a reset, and dead sandboxes again' },
    ];
    return [
      {
        code: 'SW403',
        severity: 'warning',
        object: { kind: 'node', name: 'loop' },
        why:
          'The last reset left dead sandboxes, they keep a CSI node plugin from starting, its sidecars crash-loop ' +
          `because of it, and the kernel stalls under that: it ends in the next reset. ${outlook(nodes, churned)}`,
        evidence: links,
        remedy: {
          tier: 'safe',
          text: 'break the first link now, and at each boot with the boot hook (sandwarden install)',
          command: 'sandwarden heal',
        },
        pods: [...new Set(ghosts.flatMap((each) => each.pods))].sort(),
      },
    ];
  },
};

/** The links from the reset to the stalls, each by a cause that holds; undefined where one of them does not. */
function pathOf(findings: readonly Finding[], nodes: readonly CauseNode[]): CauseNode[] | undefined {
  const graveStalls = findings.some((each) => each.code === 'SW402' && each.severity !== 'info');
  const stalls = nodes.find((each) => each.code === 'SW402');
  if (stalls === undefined || !graveStalls) return undefined;
  const blocking = new Set(findings.filter(isBlocking).map(causeId));
  const causes = (of: CauseNode) =>
    causesOf(of, nodes).filter(({ cause, possible }) => {
      // The way goes over the volumes: churn of the dead sandboxes alone is another story.
      const isOnTheWay = blocking.has(cause.id) && of.code !== 'SW401';
      return !possible && (!ghostCodes.includes(cause.code) || isOnTheWay);
    });
  return pathTo(stalls, causes, (each) => each.code === 'SW201');
}

/** A dead sandbox that keeps a pod down. */
function isBlocking({ code, severity }: Finding): boolean {
  return ghostCodes.includes(code) && severity === 'error';
}

/** How much of the churn ends with the dead sandboxes, and how many other pods loop. */
function shareOf(facts: Facts, path: readonly CauseNode[]): { share: number; others: number } {
  const drivers = new Set(path.filter((each) => /^SW30/.test(each.code)).flatMap((each) => [...each.objects]));
  const ties = loopTies(facts);
  // A pod with a dead sandbox that is taken for its newest is killed and made anew until that is gone.
  const held = new Set(facts.cures.map(({ view }) => view.uid));
  const mine = ties.filter(({ loop, objects }) => held.has(loop.podUid) || objects.some((each) => drivers.has(each)));
  const pods = new Set(mine.map(({ loop }) => loop.pod));
  const sum = (of: typeof ties) => of.reduce((all, { loop }) => all + loop.perMinute, 0);
  // Whose socket is back crashes no more when it is started the next time.
  const over = new Set(waitingSidecars(facts).flatMap((each) => (each.cause === 'gone' ? describePod(each.pod) : [])));
  const going = ties.map(({ loop }) => loop.pod).filter((each) => !pods.has(each) && !over.has(each));
  const others = new Set(going).size;
  return { share: sum(mine) / Math.max(sum(ties), Number.MIN_VALUE), others };
}

/** What ends when the first link is broken: where the stalls may come of something else too, nobody knows. */
function outlook(nodes: readonly CauseNode[], { others }: { others: number }): string {
  const candidates = nodes.filter((each) => each.code === 'SW402').flatMap((each) => causesOf(each, nodes));
  const more = [...new Set(candidates.map((each) => each.cause.code))].filter((each) => each !== 'SW401');
  const besides = others === 0 ? '' : `, but for those of ${plural(others, 'other pod', 'other pods')}`;
  if (more.length === 0 && others === 0) return 'Without the dead sandboxes it ends now.';
  const stalls = more.length === 0 ? '' : `; the stalls may also come of other things (${more.join(', ')})`;
  return `Without the dead sandboxes the crash loops end${besides}${stalls}.`;
}

function endOfLast({ snapshot }: Facts): string {
  const last = valueOr(snapshot.boots, []).findLast((each) => each.end !== 'running');
  return last === undefined ? 'the last boot ended without a shutdown' : `last entry ${describeDate(last.lastNs)}`;
}

function firstWords(ghosts: readonly Finding[]): string {
  const names = ghosts.slice(0, 3).map((each) => each.object.name);
  return `(${names.join(', ')}${ghosts.length > 3 ? ` and ${ghosts.length - 3} more` : ''})`;
}

function since({ snapshot, node }: Facts): string {
  const held = refusalsOf(snapshot);
  const ages = node === undefined ? [] : held.flatMap((each) => agoNs(each.first, node) ?? []);
  const oldest = ages.toSorted((a, b) => (a < b ? 1 : -1))[0];
  return oldest === undefined ? '' : `, refused for ${describeDuration(oldest)} at least`;
}

function stallsSince(facts: Facts): string {
  const stalls = stallsOf(facts);
  if (stalls === undefined || facts.node === undefined) return '';
  const ago = facts.node.uptimeNs - (stalls.first.monotonicUs ?? 0n) * 1_000n;
  return ` The first one was ${describeDuration(ago)} ago.`;
}
