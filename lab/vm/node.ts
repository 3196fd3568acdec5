import type { Vm } from './vm.ts';

/** A sandbox as the guest's crictl prints it. */
export interface ListedSandbox {
  readonly id: string;
  readonly name: string;
  readonly uid: string;
  readonly attempt: number;
  readonly state: 'ready' | 'notready';
  readonly createdAtNs: bigint;
}

/** A container as the guest's crictl prints it. */
export interface ListedContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly state: 'created' | 'running' | 'exited' | 'unknown';
}

/** All sandboxes of the runtime; undefined while it does not answer. `command` is `crictl`, or `k3s crictl`. */
export async function listSandboxes(vm: Vm, command = 'crictl'): Promise<ListedSandbox[] | undefined> {
  const items = await list<Omit<ListedSandbox, 'createdAtNs'> & { readonly createdAtNs: string }>(
    vm,
    `${command} pods`,
  );
  return items?.map((each) => ({ ...each, createdAtNs: BigInt(each.createdAtNs) }));
}

/** All containers of the runtime, the dead ones too; undefined while it does not answer. */
export async function listContainers(vm: Vm, command = 'crictl'): Promise<ListedContainer[] | undefined> {
  return list<ListedContainer>(vm, `${command} ps -a`);
}

/** The sandboxes, once the pods named have each a running container. */
export async function podsRun(
  vm: Vm,
  names: readonly string[],
  options: { timeoutMs?: number; command?: string } = {},
) {
  const { timeoutMs = 300_000, command } = options;
  await untilTasks(vm, 2 * names.length, timeoutMs);
  return vm.waitFor(
    `the pods ${names.join(', ')} run`,
    async () => {
      const [sandboxes, containers] = [await listSandboxes(vm, command), await listContainers(vm, command)];
      if (!sandboxes || !containers) return undefined;
      const running = new Set(containers.filter((each) => each.state === 'running').map((each) => each.sandboxId));
      const up = sandboxes.filter((each) => each.state === 'ready' && running.has(each.id)).map((each) => each.name);
      return names.every((name) => up.includes(name)) ? sandboxes : undefined;
    },
    { timeoutMs, everyMs: 1_000 },
  );
}

/**
 * A task is a folder of the runtime, of a sandbox or a container: looking for folders is a shell's work, so that the
 * machine has its processor for the boot.
 */
async function untilTasks(vm: Vm, count: number, timeoutMs: number): Promise<void> {
  const script = `for each in /run/containerd /run/k3s/containerd; do
  cd $each/io.containerd.runtime.v2.task/k8s.io 2>/dev/null && ls | wc -l && exit
done`;
  const enough = async () => Number((await vm.run(script)).stdout) >= count;
  await vm.waitFor(`${count} tasks of the runtime`, enough, { timeoutMs, everyMs: 1_000 });
}

async function list<T>(vm: Vm, command: string): Promise<T[] | undefined> {
  // Node's start alone takes its time while an emulated machine boots beside it.
  const { code, stdout } = await vm.run(`${command} --timeout=20s`, { timeoutMs: 240_000 });
  return code === 0 ? (JSON.parse(stdout) as { items: T[] }).items : undefined;
}
