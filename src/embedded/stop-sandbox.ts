import { dropContainer, killContainer } from './containers.ts';
import type { Daemon, LiveSandbox } from './daemon.ts';
import { stateOf } from './daemon.ts';
import type { SandboxRecord } from './disk.ts';
import { fault, wrap } from './faults.ts';

/** StopPodSandbox (sandbox_stop.go). An id that is not there is success or NotFound, by version. */
export async function stopSandbox(daemon: Daemon, id: string, call: AbortSignal): Promise<void> {
  const sandbox = daemon.sandboxes.get(id);
  if (sandbox) return stopFound(daemon, sandbox, call);
  if (daemon.flavour.stopUnknown === 'success') return;
  throw fault(`an error occurred when try to find sandbox ${JSON.stringify(id)}: not found`, 'NotFound');
}

/** RemovePodSandbox (sandbox_remove.go): stops it first; only then its containers, its record and its name go. */
export async function removeSandbox(daemon: Daemon, id: string, call: AbortSignal): Promise<void> {
  const sandbox = daemon.sandboxes.get(id);
  if (!sandbox) return;
  daemon.log('info', `Forcibly stopping sandbox ${JSON.stringify(id)}`);
  try {
    await stopFound(daemon, sandbox, call);
  } catch (error) {
    throw wrap(`failed to forcibly stop sandbox ${JSON.stringify(id)}`, error);
  }
  for (const container of daemon.containersOf(id)) dropContainer(daemon, container);
  await daemon.pause('recordMs');
  daemon.machine.disk.sandboxes.delete(id);
  daemon.sandboxes.delete(id);
  daemon.sandboxNames.releaseByKey(id);
  daemon.tell('deleted', id);
}

/** CNI DEL; resolves with the words of its failure, or undefined. The namespace is empty where it is gone. */
export async function deleteNetwork(
  daemon: Daemon,
  record: SandboxRecord,
  deadline: AbortSignal,
): Promise<string | undefined> {
  const { machine } = daemon;
  if (!daemon.cniLoaded) return 'cni plugin not initialized';
  const netns = machine.netns.has(record.netns) ? record.netns : '';
  const words = await machine.cni.run({ command: 'DEL', sandboxId: record.id, netns }, deadline, daemon.life, {
    clock: machine.clock,
    ms: daemon.latency.cniMs * (0.08 + 0.04 * machine.random.next()),
  });
  daemon.life.throwIfAborted();
  return words;
}

/** Whether a failure of CNI DEL stops the call: newer versions forgive it where ADD never gave a result. */
export function isDelErrorCounted(daemon: Daemon, record: SandboxRecord): boolean {
  return daemon.flavour.del !== 'always-ignored-without-result' || record.cniResult !== undefined;
}

async function stopFound(daemon: Daemon, sandbox: LiveSandbox, call: AbortSignal): Promise<void> {
  const { record } = sandbox;
  const id = JSON.stringify(record.id);
  for (const container of daemon.containersOf(record.id)) {
    if (stateOf(container) === 'running') killContainer(daemon, container);
    else {
      const state = JSON.stringify(`CONTAINER_${stateOf(container).toUpperCase()}`);
      const words = `must be in running or unknown state, current state ${state}`;
      daemon.log('info', `Container to stop ${JSON.stringify(container.id)} ${words}`);
    }
  }
  if (sandbox.state !== 'notready') {
    const task = daemon.machine.tasks.get(record.id);
    if (task) daemon.machine.end(task, 137);
    sandbox.state = 'notready';
  }
  if (!record.config.hostNetwork) await tearDownNetwork(daemon, record, call);
  daemon.log('info', `TearDown network for sandbox ${id} successfully`);
}

/** The versions differ in when DEL is called and whether its error counts (flavour.ts `del`). */
async function tearDownNetwork(daemon: Daemon, record: SandboxRecord, call: AbortSignal): Promise<void> {
  const rule = daemon.flavour.del;
  const id = JSON.stringify(record.id);
  if (rule !== 'if-result' || record.cniResult) {
    const words = await deleteNetwork(daemon, record, call);
    if (words !== undefined) {
      if (isDelErrorCounted(daemon, record)) {
        throw fault(`failed to destroy network for sandbox ${id}: ${words}`);
      }
      daemon.log('warning', `failed to destroy network for sandbox ${id}; ignoring because CNI result is nil`, {
        error: words,
      });
    }
  }
  daemon.machine.netns.delete(record.netns);
}
