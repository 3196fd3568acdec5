import { valueOr } from '../model/observed.ts';
import type { PodBranch } from '../model/pod-explanation.ts';
import { cgroupOf, describeStops, stopsOf, treeOf } from './cgroup-facts.ts';
import type { Facts } from './facts.ts';
import type { ListedSandbox, PodView } from './views.ts';

/**
 * Each branch of kubelet's decision, in the order in which it looks; `head` is the sandbox it takes for the newest.
 * Sources: pkg/kubelet/kubelet.go SyncPod, pkg/kubelet/kuberuntime/util/util.go PodSandboxChanged.
 */
export function judge(facts: Facts, view: PodView, head: ListedSandbox | undefined): PodBranch[] {
  const ready = view.sandboxes.filter((each) => each.ready).length;
  const listed: PodBranch[] = [
    head === undefined
      ? { branch: 'none', fires: 'yes', why: 'no sandbox of it is listed' }
      : { branch: 'none', fires: 'no', why: `${view.sandboxes.length} listed` },
    ready > 1
      ? { branch: 'several-ready', fires: 'yes', why: `${ready} of its sandboxes are ready at once` }
      : { branch: 'several-ready', fires: 'no', why: `${ready} ready` },
    notReady(head, ready),
    network(facts, view, head),
    address(facts, view, head),
  ];
  // A branch is looked at only where none before it fired.
  const first = listed.findIndex((each) => each.fires === 'yes');
  const reached = listed.map((each, index): PodBranch => {
    return first >= 0 && index > first ? { ...each, fires: 'no', why: 'not reached' } : each;
  });
  return [missingCgroup(facts, view), ...reached];
}

function notReady(head: ListedSandbox | undefined, ready: number): PodBranch {
  const branch = 'newest-not-ready';
  if (head === undefined) return { branch, fires: 'no', why: 'there is none' };
  if (head.ready) return { branch, fires: 'no', why: `the newest is attempt ${head.attempt}, and it is ready` };
  const older = ready > 0 ? '; that another one is ready does not count' : '';
  return { branch, fires: 'yes', why: `the newest of its sandboxes, attempt ${head.attempt}, is not ready${older}` };
}

function network(facts: Facts, view: PodView, head: ListedSandbox | undefined): PodBranch {
  const branch = 'network-mode';
  const has = detailOf(facts, head)?.hostNetwork;
  const wants = view.pod?.hostNetwork;
  if (has === undefined || wants === undefined) {
    const what = has === undefined ? "the sandbox's network was not asked" : 'the API did not tell what the pod wants';
    return { branch, fires: 'unknown', why: what };
  }
  const mode = (host: boolean) => (host ? "the node's network" : 'a network of its own');
  return has === wants
    ? { branch, fires: 'no', why: mode(has) }
    : { branch, fires: 'yes', why: `its sandbox has ${mode(has)}, and the pod wants ${mode(wants)}` };
}

function address(facts: Facts, view: PodView, head: ListedSandbox | undefined): PodBranch {
  const branch = 'no-address';
  const detail = detailOf(facts, head);
  if (detail === undefined) return { branch, fires: 'unknown', why: "the sandbox's address was not asked" };
  if (detail.hostNetwork ?? view.pod?.hostNetwork) return { branch, fires: 'no', why: "it uses the node's network" };
  return detail.ip
    ? { branch, fires: 'no', why: `its address is ${detail.ip}` }
    : { branch, fires: 'yes', why: 'its sandbox has no address' };
}

function missingCgroup(facts: Facts, view: PodView): PodBranch {
  const branch = 'cgroup-missing';
  const tree = treeOf(facts);
  const stops = stopsOf(facts, view);
  const runs = view.containers.some((each) => each.state === 'running');
  const own = tree && cgroupOf(tree, view.uid);
  const lacks = own === undefined ? 'it has no directory' : `it lacks ${own.missing.join(' and ')}`;
  const isMissing = tree !== undefined && (own === undefined || own.missing.length > 0);
  const where = own?.lostAt === undefined ? '' : `, which ${own.lostAt} does not hand down`;
  if (isMissing && runs) return { branch, fires: 'yes', why: `${lacks}${where}` };
  if (stops !== undefined) {
    const now =
      tree === undefined
        ? 'its cgroup now was not read'
        : isMissing
          ? `now ${lacks}${where}, and nothing of it runs`
          : 'at this moment nothing is missing';
    const log = `by kubelet's log it was ${describeStops(stops)}, and its sandbox with it; only this branch does that`;
    return { branch, fires: 'by-log', why: `${log}. ${now[0]?.toUpperCase()}${now.slice(1)}` };
  }
  if (tree === undefined) return { branch, fires: 'unknown', why: 'the cgroup tree was not read' };
  if (isMissing)
    return { branch, fires: 'no', why: `${lacks}${where}; but nothing of it runs, so it is only made anew` };
  return { branch, fires: 'no', why: 'every controller is there' };
}

function detailOf(facts: Facts, head: ListedSandbox | undefined) {
  const detail = head && facts.snapshot.details[head.id];
  return detail === undefined ? undefined : valueOr(detail, undefined);
}
