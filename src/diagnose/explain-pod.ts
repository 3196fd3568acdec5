import { cgroupRootParts, podCgroupPath } from '../model/cgroup-names.ts';
import { cgroupDrivers, type PodCgroup, qosClasses } from '../model/cgroups.ts';
import { newestFirst, type SandboxOrder } from '../model/kubelet-choice.ts';
import { valueOr } from '../model/observed.ts';
import type { PodBranch, PodExplanation } from '../model/pod-explanation.ts';
import { cgroupOf, holdersOf, treeOf } from './cgroup-facts.ts';
import { judge } from './explain-branches.ts';
import type { Facts } from './facts.ts';
import { describeKubelet } from './ghost-finding.ts';
import { describeDate } from './time.ts';
import type { PodView } from './views.ts';

/** kubelet's own decision about one pod, replayed over a snapshot. Pure. */
export function explainPod(facts: Facts, view: PodView): PodExplanation {
  const [order] = facts.orders;
  const sorted = newestFirst(view.sandboxes, order ?? 'by-date');
  const branches = judge(facts, view, sorted[0]);
  return {
    pod: { namespace: view.namespace, name: view.name, uid: view.uid },
    kubelet: describeKubelet(facts),
    order: facts.orders.length === 1 ? order : undefined,
    wanted: view.wanted.because,
    sandboxes: sorted.map((each) => ({
      id: each.id,
      attempt: each.attempt,
      ready: each.ready,
      created: each.createdAtNs > 0n ? describeDate(each.createdAtNs) : 'no valid date',
      places: placesOf(view, each.id),
    })),
    cgroups: expectedCgroups(facts, view),
    branches,
    ...conclude(facts, view, branches),
    heldBy: heldBy(facts, view),
  };
}

function placesOf(view: PodView, id: string): Readonly<Record<SandboxOrder, number>> {
  const place = (order: SandboxOrder) => newestFirst(view.sandboxes, order).findIndex((each) => each.id === id) + 1;
  return { 'by-date': place('by-date'), 'by-attempt': place('by-attempt') };
}

/** Where kubelet looks under each driver, and what is there. */
function expectedCgroups(facts: Facts, view: PodView): PodExplanation['cgroups'] {
  const tree = treeOf(facts);
  const found = tree?.pods.filter((each) => each.uid === view.uid) ?? [];
  const { kubeletConfig } = facts.snapshot;
  const root = cgroupRootParts(kubeletConfig && valueOr(kubeletConfig, undefined)?.cgroupRoot);
  const classes = [view.pod?.qos ?? found[0]?.qos].filter((each) => each !== undefined);
  return cgroupDrivers.flatMap((driver) => {
    const here = found.find((each) => each.driver === driver);
    const paths =
      here === undefined
        ? (classes.length > 0 ? classes : qosClasses).map((qos) => podCgroupPath(driver, qos, view.uid, root))
        : [here.path];
    const finds = tree === undefined ? 'unknown' : here === undefined ? 'nothing' : 'directory';
    return paths.map((path) => ({ driver, path, finds, missing: here?.missing ?? [] }));
  });
}

/** What happens next and what would end it, from the branch that counts. */
function conclude(
  facts: Facts,
  view: PodView,
  branches: readonly PodBranch[],
): Pick<PodExplanation, 'branch' | 'verdict' | 'next' | 'ends'> {
  if (view.wanted.wants === 'no') {
    return { verdict: `kubelet does not run this pod any more: ${view.wanted.because}`, next: 'nothing', ends: '' };
  }
  const cgroup = branches.find((each) => each.branch === 'cgroup-missing');
  const other = branches.find((each) => each.branch !== 'cgroup-missing' && each.fires === 'yes');
  const outside = treeOf(facts)?.odd.some((each) => each.uid === view.uid) === true;
  // The sandbox that the missing cgroup cost is found not ready in the sync after.
  if (cgroup !== undefined && (cgroup.fires === 'yes' || cgroup.fires === 'by-log')) {
    return {
      branch: 'cgroup-missing',
      verdict: `the branch of the missing cgroup: ${cgroup.why}`,
      next:
        cgroup.fires === 'yes'
          ? 'in its next sync, within 90 s, kubelet stops the containers and the sandbox, and makes both anew'
          : 'as soon as a controller is missing when kubelet looks (each 60 to 90 s), it does so again',
      ends: outside
        ? 'the runtime uses the slice: SystemdCgroup = true, restart it, then kubelet, and re-create the pod (SW510)'
        : 'the controllers stay: an anchor, a delegated scope, in the slice or in its QoS class (SW508)',
    };
  }
  if (other === undefined) {
    return { verdict: 'no branch: kubelet keeps this sandbox', next: 'nothing', ends: '' };
  }
  return { branch: other.branch, verdict: other.why, ...outcome(facts, view, other) };
}

function outcome(facts: Facts, view: PodView, { branch }: PodBranch): Pick<PodExplanation, 'next' | 'ends'> {
  if (branch === 'network-mode') return { next: 'kubelet makes the sandbox anew', ends: 'the new sandbox' };
  const cure = facts.cures.find((each) => each.view.uid === view.uid);
  const [ghost] = cure?.ghosts ?? [];
  if (ghost !== undefined) {
    return {
      next: 'it is refused or undone, and tried again every 10 to 15 s, for ever',
      ends: `the dead sandbox of attempt ${ghost.sandbox.attempt} goes (${ghost.code}: sandwarden heal)`,
    };
  }
  const attempt = Math.max(-1, ...view.sandboxes.map((each) => each.attempt)) + 1;
  const once = branch === 'newest-not-ready' ? '; once after a reboot this is normal' : '';
  return { next: `kubelet makes a sandbox of attempt ${attempt}${once}`, ends: 'the new sandbox is ready' };
}

/** Why its controllers stay, in words; empty where nothing was read or nothing needs holding. */
function heldBy(facts: Facts, view: PodView): string[] {
  const tree = treeOf(facts);
  const own = tree && cgroupOf(tree, view.uid);
  if (tree?.mode !== 'v2' || own === undefined || own.driver !== 'systemd' || own.missing.length > 0) return [];
  const mine = (own.scopes ?? []).filter((each) => each.delegated !== false);
  if (mine.length > 0) return mine.map((each) => `by its own scope ${lastPart(each.path)}`);
  if (own.scopes === undefined && own.bare === false) return ['by the scopes in its own slice (not looked into)'];
  const { beside, neighbours } = holdersOf(tree, own);
  const names = (path: string) => ownerOf(facts, tree.pods, path);
  if (beside.length > 0) return beside.map((each) => `by ${lastPart(each.path)}, beside it`);
  if (neighbours.length > 0) {
    return neighbours.slice(0, 4).map((each) => `by a neighbour: ${names(each.path)}, ${lastPart(each.path)}`);
  }
  return ['by nothing: systemd takes cpuset away when it next looks at the slice'];
}

function ownerOf(facts: Facts, pods: readonly PodCgroup[], scope: string): string {
  const uid = pods.find((each) => scope.startsWith(`${each.path}/`))?.uid ?? '';
  const view = facts.pods.get(uid);
  return view === undefined ? `pod ${uid}` : `${view.namespace}/${view.name}`;
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
