import { formatSandboxName } from '../model/sandbox.ts';
import type { Daemon, LiveSandbox } from './daemon.ts';
import { zeroTimeNs } from './daemon.ts';
import type { SandboxConfig, SandboxRecord } from './disk.ts';
import { Died, fault, wordsOf } from './faults.ts';
import { deleteNetwork, isDelErrorCounted } from './stop-sandbox.ts';

/** util.DeferContext (cri/util/util.go): the clean-up of a failed call has a minute of its own. */
const deferTimeoutMs = 60_000;

/**
 * RunPodSandbox (sandbox_run.go, 1.6 to 2.1): the name is reserved first and the sandbox listed last. What fails is
 * undone and the name released, unless the undoing fails too: then the sandbox stays, half-created, in state unknown.
 */
export async function runSandbox(
  daemon: Daemon,
  config: SandboxConfig,
  handler: string,
  call: AbortSignal,
): Promise<string> {
  const { machine, flavour } = daemon;
  const id = daemon.newId();
  const name = formatSandboxName(config);
  try {
    daemon.sandboxNames.reserve(name, id);
  } catch (error) {
    throw fault(`failed to reserve sandbox name ${JSON.stringify(name)}: ${wordsOf(error)}`, flavour.nameReserved);
  }
  await daemon.pause('recordMs');
  const record: SandboxRecord = {
    id,
    name,
    config,
    runtimeHandler: handler,
    createdAtNs: flavour.sandboxStore ? undefined : machine.clock.wallNs(),
    netns: '',
    cniResult: undefined,
  };
  machine.disk.sandboxes.set(id, record);
  try {
    if (!config.hostNetwork) await setUpNetwork(daemon, record, call);
    record.createdAtNs ??= machine.clock.wallNs();
    await daemon.pause('taskMs');
    if (call.aborted) throw fault('failed to create containerd task: context canceled', 'Canceled');
  } catch (error) {
    if (error instanceof Died) throw error;
    await undo(daemon, record);
    throw error;
  }
  const sandbox: LiveSandbox = { record, state: 'ready', createdAtNs: record.createdAtNs };
  daemon.watchSandbox(sandbox, machine.spawn(id, undefined));
  daemon.sandboxes.set(id, sandbox);
  daemon.tell('created', id);
  daemon.tell('started', id);
  return id;
}

async function setUpNetwork(daemon: Daemon, record: SandboxRecord, call: AbortSignal): Promise<void> {
  const { machine } = daemon;
  record.netns = machine.openNetns();
  const words = daemon.cniLoaded
    ? await machine.cni.run({ command: 'ADD', sandboxId: record.id, netns: record.netns }, call, daemon.life, {
        clock: machine.clock,
        ms: daemon.latency.cniMs * (0.8 + 0.4 * machine.random.next()),
      })
    : 'cni plugin not initialized';
  daemon.life.throwIfAborted();
  if (words !== undefined) throw fault(`failed to setup network for sandbox ${JSON.stringify(record.id)}: ${words}`);
  record.cniResult = { ip: `10.88.${machine.netns.size >> 8}.${machine.netns.size & 255}` };
}

async function undo(daemon: Daemon, record: SandboxRecord): Promise<void> {
  const { machine, sandboxNames } = daemon;
  const id = JSON.stringify(record.id);
  const done = new AbortController();
  const deadline = new AbortController();
  // The timer ends with the clean-up; that it was called off is no error.
  machine.clock.sleep(deferTimeoutMs, done.signal).then(
    () => deadline.abort(),
    () => {},
  );
  try {
    const words = record.netns === '' ? undefined : await deleteNetwork(daemon, record, deadline.signal);
    if (words !== undefined && isDelErrorCounted(daemon, record)) {
      daemon.log('error', `Failed to destroy network for sandbox ${id}`, { error: words });
      daemon.log(
        'error',
        `encountered an error cleaning up failed sandbox ${id}, marking sandbox state as SANDBOX_UNKNOWN`,
        { error: words },
      );
      const recorded = daemon.flavour.halfCreatedDate === 'record' ? record.createdAtNs : undefined;
      daemon.sandboxes.set(record.id, { record, state: 'unknown', createdAtNs: recorded ?? zeroTimeNs });
      return;
    }
  } finally {
    done.abort();
  }
  machine.netns.delete(record.netns);
  machine.disk.sandboxes.delete(record.id);
  sandboxNames.releaseByName(record.name);
}
