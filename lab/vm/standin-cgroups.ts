/**
 * What kubelet does to the cgroups of pods with `cgroupDriver: systemd` on cgroup v2: pkg/kubelet/cm, and below it the
 * systemd manager of libcontainer (opencontainers/cgroups systemd/v2.go, fs2/create.go). It asks systemd for slices
 * that are not delegated, and writes `cgroup.subtree_control` behind systemd's back.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CgroupFailed, type PodCgroups } from '../../src/embedded/pod-cgroups.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { podCgroupPath, qosPath, uidOfPodDirectory } from '../../src/model/cgroup-names.ts';
import { type QosClass, requiredControllers } from '../../src/model/cgroups.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import type { SystemdBus, UnitProperty } from '../../src/systemd/bus.ts';
import { type BusConnection, connectBus, RemoteError } from '../../src/systemd/dbus/connection.ts';
import type { DBusValue } from '../../src/systemd/dbus/types.ts';
import { systemBusSocket, systemdOverDBus } from '../../src/systemd/dbus-systemd.ts';
import { hasCode } from '../run.ts';

const mount = '/sys/fs/cgroup';
const [callMs, jobMs, pollMs] = [10_000, 30_000, 20];

/** `v1.34.9` → the manager of a kubelet of this version. Throws where there is no systemd to ask. */
export async function systemdCgroups(version: string): Promise<PodCgroups> {
  const minor = Number(/^v?1\.(\d+)/.exec(version)?.[1] ?? 0);
  return new SystemdCgroups(await systemdOverDBus(), await connectBus(systemBusSocket, callMs), minor);
}

class SystemdCgroups implements PodCgroups {
  readonly #systemd: SystemdBus;
  readonly #bus: BusConnection;
  readonly #minor: number;
  /** getSupportedUnifiedControllers: read once in the life of a kubelet. */
  readonly #required = requiredControllers('v2', words(`${mount}/cgroup.controllers`));

  constructor(systemd: SystemdBus, bus: BusConnection, minor: number) {
    this.#systemd = systemd;
    this.#bus = bus;
    this.#minor = minor;
  }

  /** createNodeAllocatableCgroups, qosContainerManagerImpl.Start. */
  async start(): Promise<void> {
    const [root, ...classes] = qosClasses.map((qos) => qosPath('systemd', qos));
    if (root === undefined) return;
    await this.#create(root, this.#allocatable());
    const missing = this.#missing(root);
    if (missing.length > 0) {
      const why = `cgroup ["kubepods"] has some missing controllers: ${missing.join(', ')}`;
      throw new CgroupFailed(
        `failed to initialize top level QOS containers: error validating root container [kubepods] : ${why}`,
      );
    }
    for (const path of classes) await this.#create(path, [weight(1)]);
  }

  exists(pod: PodSpec): boolean {
    return this.#missing(pathOf(pod)).length === 0;
  }

  async ensureExists(pod: PodSpec): Promise<void> {
    if (!this.exists(pod)) await this.#create(pathOf(pod), [weight(pod.qos === 'burstable' ? 4 : 1)]);
  }

  /** UpdateCgroups: of guaranteed pods nothing is set, but the call is made all the same. */
  async updateQos(): Promise<void> {
    for (const qos of qosClasses) {
      const properties = qos === 'guaranteed' ? [] : [weight(qos === 'burstable' ? 4 : 1)];
      await told(this.#systemd.setProperties(basename(qosPath('systemd', qos)), properties, false));
    }
  }

  async destroy(pod: PodSpec): Promise<void> {
    await this.#destroy(pathOf(pod));
  }

  /** cleanupOrphanedPodCgroups: whatever has the letters `pod` in the last part of its name is the cgroup of a pod. */
  async cleanUp(known: ReadonlySet<string>): Promise<void> {
    for (const qos of qosClasses) {
      const parent = qosPath('systemd', qos);
      for (const name of folders(`${mount}${parent}`)) {
        if (
          !name
            .replace(/\.slice$/, '')
            .split('-')
            .at(-1)
            ?.includes('pod')
        )
          continue;
        const uid = uidOfPodDirectory(name, 'systemd', parent);
        if (uid === undefined || !known.has(uid)) await this.#destroy(`${parent}/${name}`);
      }
    }
  }

  /** Validate: the controllers that the directory itself has; all of them where it is not there. */
  #missing(path: string): readonly string[] {
    const here = words(`${mount}${path}/cgroup.controllers`);
    return this.#required.filter((each) => !here.includes(each));
  }

  /** cgroupCommon.Create: Apply, then Set. */
  async #create(path: string, properties: readonly UnitProperty[]): Promise<void> {
    await this.#startSlice(basename(path), basename(dirname(path)));
    handDown(path);
    await told(this.#systemd.setProperties(basename(path), properties, false));
  }

  /** UnifiedManager.Apply of a slice: no Delegate, no AllowedCPUs. */
  async #startSlice(name: string, parent: string): Promise<void> {
    const yes = { signature: 'b', value: true };
    const properties = [
      ['Description', { signature: 's', value: `libcontainer container ${name}` }],
      ['Wants', { signature: 'as', value: [parent === '' ? '-.slice' : parent] }],
      ...['MemoryAccounting', 'CPUAccounting', 'IOAccounting', 'TasksAccounting'].map((each) => [each, yes]),
      ['DefaultDependencies', { signature: 'b', value: false }],
    ] as unknown as DBusValue;
    const manager = { destination: 'org.freedesktop.systemd1', path: '/org/freedesktop/systemd1' };
    const call = { ...manager, interface: 'org.freedesktop.systemd1.Manager', member: 'StartTransientUnit' };
    try {
      await this.#bus.call({ ...call, signature: 'ssa(sv)a(sa(sv))', body: [name, 'replace', properties, []] }, callMs);
    } catch (error) {
      // Where it is there already that is as good.
      if (!(error instanceof RemoteError)) throw error;
      if (error.errorName !== 'org.freedesktop.systemd1.UnitExists') throw new CgroupFailed(error.message);
    }
    const end = performance.now() + jobMs;
    while ((await told(this.#systemd.unit(name)))?.activeState !== 'active') {
      if (performance.now() > end) throw new CgroupFailed(`Timeout waiting for systemd to create ${name}`);
      await sleep(pollMs);
    }
  }

  async #destroy(path: string): Promise<void> {
    for (const pid of pidsBelow(`${mount}${path}`)) kill(pid);
    await told(this.#systemd.stopUnit(basename(path)));
  }

  /** What the node gives its pods (getCgroupConfig); the CPUs since 1.32. */
  #allocatable(): UnitProperty[] {
    const cpus = words(`${mount}/cpuset.cpus.effective`).join('');
    const kilobytes = /^MemTotal:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? '0';
    const memory: UnitProperty = ['MemoryMax', { signature: 't', value: BigInt(kilobytes) * 1_024n }];
    const allowed: UnitProperty = ['AllowedCPUs', { signature: 'ay', value: cpuMask(cpus) }];
    return [weight(39), memory, ...(this.#minor >= 32 ? [allowed] : [])];
  }
}

/** What systemd refuses is told as kubelet tells it. */
async function told<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (isSandwardenError(error)) throw new CgroupFailed(error.message, { cause: error });
    throw error;
  }
}

const qosClasses = ['guaranteed', 'burstable', 'besteffort'] as const satisfies readonly QosClass[];

function pathOf({ uid, qos = 'besteffort' }: PodSpec): string {
  return podCgroupPath('systemd', qos, uid);
}

function weight(value: number): UnitProperty {
  return ['CPUWeight', { signature: 't', value: BigInt(value) }];
}

/** `0-1,3` as systemd takes it: a bit for each CPU, the lowest byte first. */
function cpuMask(list: string): Uint8Array {
  const mask: number[] = [];
  for (const [, first = '0', last = first] of list.matchAll(/(\d+)(?:-(\d+))?/g)) {
    for (let cpu = Number(first); cpu <= Number(last); cpu++) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  }
  return Uint8Array.from(mask, (each) => each ?? 0);
}

/** fs2.CreateCgroupPath: every controller of the root, in each directory above the last one. */
function handDown(path: string): void {
  const controllers = words(`${mount}/cgroup.controllers`).map((each) => `+${each}`);
  const parts = path.split('/').slice(1, -1);
  for (let depth = 0; depth <= parts.length; depth++) {
    const folder = [mount, ...parts.slice(0, depth)].join('/');
    mkdirSync(folder, { recursive: true });
    if (written(folder, controllers.join(' '))) continue;
    for (const each of controllers) written(folder, each);
  }
}

function written(folder: string, text: string): boolean {
  try {
    writeFileSync(`${folder}/cgroup.subtree_control`, text);
    return true;
  } catch (error) {
    if (hasCode(error, 'EBUSY', 'EINVAL', 'ENOENT', 'EOPNOTSUPP', 'ENODEV')) return false;
    throw error;
  }
}

function words(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split(/\s+/).filter(Boolean);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) return [];
    throw error;
  }
}

function folders(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((each) => (each.isDirectory() ? [each.name] : []));
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) return [];
    throw error;
  }
}

function pidsBelow(path: string): number[] {
  const own = words(`${path}/cgroup.procs`).map(Number);
  return [...own.filter((each) => each > 0), ...folders(path).flatMap((name) => pidsBelow(`${path}/${name}`))];
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}
