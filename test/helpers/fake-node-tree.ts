import { podCgroupPath, qosPath } from '../../src/model/cgroup-names.ts';
import { type CgroupDriver, type QosClass, qosClasses } from '../../src/model/cgroups.ts';
import { type CountingFs, cgroupTree, unifiedMount } from './cgroup-tree.ts';

export const allControllers = 'cpuset cpu io memory hugetlb pids rdma misc';

export interface FakePod {
  readonly uid: string;
  readonly qos: QosClass;
  /** Scopes (or, by the cgroupfs driver, directories) of its containers with a process each; default one. */
  readonly scopes?: readonly string[];
}

export interface FakeTree {
  readonly driver?: CgroupDriver;
  readonly root?: readonly string[];
  readonly pods?: readonly FakePod[];
  readonly rootControllers?: string;
  /** `cgroup.subtree_control` of a directory, where it is not all controllers. */
  readonly subtree?: Readonly<Record<string, string>>;
  /** More files by their whole path. */
  readonly files?: Readonly<Record<string, string>>;
  readonly cmdline?: string;
}

/** The files of a node with cgroup v2, by path: what a test writes to a disk or reads from memory. */
export function fakeTreeFiles(spec: FakeTree): Map<string, string> {
  const { driver = 'systemd', root = [], pods = [], subtree = {} } = spec;
  const top = '/sys/fs/cgroup';
  const files = new Map<string, string>([
    ['/proc/self/mountinfo', unifiedMount],
    ['/proc/cmdline', `${spec.cmdline ?? 'root=/dev/vda rw'}\n`],
    [`${top}/cgroup.controllers`, `${spec.rootControllers ?? allControllers}\n`],
    [`${top}/cgroup.subtree_control`, `${subtree['/'] ?? allControllers}\n`],
    [`${top}/init.scope/cgroup.procs`, '1\n'],
    ['/proc/1/comm', 'systemd\n'],
  ]);
  const directory = (path: string, populated: boolean) => {
    files.set(`${top}${path}/cgroup.subtree_control`, `${subtree[path] ?? allControllers}\n`);
    files.set(`${top}${path}/cgroup.events`, `populated ${populated ? 1 : 0}\nfrozen 0\n`);
  };
  const hasProcess = (pod: FakePod) => (pod.scopes ?? ['x']).length > 0;
  for (const qos of qosClasses) {
    const below = pods.filter((pod) => qos === 'guaranteed' || pod.qos === qos);
    directory(qosPath(driver, qos, root), below.some(hasProcess));
  }
  let pid = 1_000;
  for (const pod of pods) {
    const path = podCgroupPath(driver, pod.qos, pod.uid, root);
    directory(path, hasProcess(pod));
    for (const scope of pod.scopes ?? [driver === 'systemd' ? `cri-containerd-${pod.uid}.scope` : pod.uid]) {
      directory(`${path}/${scope}`, true);
      files.set(`${top}${path}/${scope}/cgroup.procs`, `${++pid}\n`);
      files.set(`/proc/${pid}/comm`, 'sleep\n');
    }
  }
  for (const [path, text] of Object.entries(spec.files ?? {})) files.set(path, text);
  return files;
}

/** The same in memory, counting what is read. */
export function fakeTree(spec: FakeTree, links: Readonly<Record<string, string>> = {}): CountingFs {
  return cgroupTree(fakeTreeFiles(spec), [], links);
}

/** The uid of the nth pod of a made-up node. */
export function uidOf(number: number): string {
  return `a83ec6b0-821b-4e6c-8279-${number.toString(16).padStart(12, '0')}`;
}
