import type { Daemon, LiveSandbox } from './daemon.ts';
import { stateOf, zeroTimeNs } from './daemon.ts';
import type { ContainerRecord } from './disk.ts';
import { wordsOf } from './faults.ts';

/** restart.go: what a container gets that was running when nobody looked. */
const unknownExitCode = 255;
const unknownExitReason = 'Unknown';

/**
 * restart.go recover: the records of the disk become the store, their names are reserved again.
 * Throws with containerd's words where it would exit (two records with one name).
 */
export async function recover(daemon: Daemon): Promise<void> {
  const { machine } = daemon;
  await daemon.pause('recoverMs');
  const records = [...machine.disk.sandboxes.values()].sort(byId);
  for (const record of records) {
    if (record.createdAtNs === undefined) continue;
    const task = machine.tasks.get(record.id);
    const alive = task !== undefined && task.exit === undefined;
    if (!alive) machine.tasks.delete(record.id);
    const sandbox: LiveSandbox = { record, state: alive ? 'ready' : 'notready', createdAtNs: record.createdAtNs };
    daemon.sandboxes.set(record.id, sandbox);
    reserve(() => daemon.sandboxNames.reserve(record.name, record.id), `sandbox name ${JSON.stringify(record.name)}`);
    if (alive) daemon.watchSandbox(sandbox, task);
  }
  // 2.x, second pass: what only the sandbox store knows gets no date, and its name is not reserved.
  for (const record of records) {
    if (record.createdAtNs !== undefined) continue;
    daemon.sandboxes.set(record.id, { record, state: 'notready', createdAtNs: zeroTimeNs });
  }
  for (const container of [...machine.disk.containers.values()].sort(byId)) {
    loadContainer(daemon, container);
    reserve(
      () => daemon.containerNames.reserve(container.name, container.id),
      `container name ${JSON.stringify(container.name)}`,
    );
  }
}

/** restart.go loadContainer: the status file, brought up to date with the task. */
function loadContainer(daemon: Daemon, container: ContainerRecord): void {
  const task = daemon.machine.tasks.get(container.id);
  daemon.containers.set(container.id, container);
  if (task && !task.exit) {
    daemon.watchContainer(container, task);
    return;
  }
  if (stateOf(container) !== 'running') return;
  container.finishedAtNs = task?.exit?.atNs ?? daemon.machine.clock.wallNs();
  container.exitCode = task?.exit?.code ?? unknownExitCode;
  // A task that was found stopped leaves the reason empty (restart.go); the status then fills it in by the code.
  container.reason = task?.exit ? (task.exit.code === 0 ? 'Completed' : 'Error') : unknownExitReason;
  daemon.machine.tasks.delete(container.id);
}

function reserve(attempt: () => void, what: string): void {
  try {
    attempt();
  } catch (error) {
    throw new Error(`failed to reserve ${what}: ${wordsOf(error)}`);
  }
}

/** meta.db lists records by id (bbolt keys). */
function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
