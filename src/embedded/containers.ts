import type { Daemon } from './daemon.ts';
import { stateOf } from './daemon.ts';
import type { ContainerConfig, ContainerRecord } from './disk.ts';
import { fault, wordsOf } from './faults.ts';

/** CreateContainer (container_create.go). */
export async function createContainer(daemon: Daemon, sandboxId: string, config: ContainerConfig): Promise<string> {
  const { machine } = daemon;
  const sandbox = daemon.sandboxes.get(sandboxId);
  if (!sandbox) throw fault(`failed to find sandbox id ${JSON.stringify(sandboxId)}: not found`, 'NotFound');
  if (daemon.flavour.createNeedsTask && !machine.tasks.has(sandboxId)) {
    throw fault(
      `failed to get sandbox container task: no running task found: task ${sandboxId} not found: not found`,
      'NotFound',
    );
  }
  const id = daemon.newId();
  const pod = sandbox.record.config;
  const name = `${config.name}_${pod.name}_${pod.namespace}_${pod.uid}_${config.attempt}`;
  try {
    daemon.containerNames.reserve(name, id);
  } catch (error) {
    const hint = daemon.flavour.containerNameHint;
    throw fault(
      `failed to reserve container name ${JSON.stringify(name)}${hint}: ${wordsOf(error)}`,
      daemon.flavour.nameReserved,
    );
  }
  await daemon.pause('recordMs');
  const record: ContainerRecord = {
    id,
    name,
    sandboxId,
    config,
    podUid: config.labels['io.kubernetes.pod.uid'] ?? '',
    createdAtNs: machine.clock.wallNs(),
    startedAtNs: 0n,
    finishedAtNs: 0n,
    exitCode: 0,
    reason: '',
  };
  machine.disk.containers.set(id, record);
  daemon.containers.set(id, record);
  daemon.tell('created', id);
  return id;
}

/** StartContainer (container_start.go). */
export async function startContainer(daemon: Daemon, id: string): Promise<void> {
  const container = daemon.findContainer(id);
  const state = stateOf(container);
  if (state !== 'created') {
    const words = `container is in CONTAINER_${state.toUpperCase()} state`;
    throw fault(`failed to set starting state for container ${JSON.stringify(id)}: ${words}`);
  }
  const sandbox = daemon.sandboxes.get(container.sandboxId);
  if (!sandbox) throw fault(`sandbox ${JSON.stringify(container.sandboxId)} not found: not found`, 'NotFound');
  if (sandbox.state !== 'ready') throw fault(`sandbox container ${JSON.stringify(container.sandboxId)} is not running`);
  await daemon.pause('taskMs');
  // It was removed or its sandbox stopped meanwhile.
  if (daemon.containers.get(id) !== container || sandbox.state !== 'ready') {
    throw fault('failed to create containerd task: context canceled');
  }
  container.startedAtNs = daemon.machine.clock.wallNs();
  daemon.watchContainer(container, daemon.machine.start(id, container.config.command));
  daemon.tell('started', id);
}

/** StopContainer (container_stop.go): SIGTERM, which a process 1 without a handler never gets, then SIGKILL. */
export async function stopContainer(daemon: Daemon, id: string, graceMs: number): Promise<void> {
  if (!daemon.containers.has(id) && daemon.flavour.stopContainerUnknown === 'success') return;
  const container = daemon.findContainer(id);
  if (stateOf(container) !== 'running') return;
  daemon.log('info', `Stop container ${JSON.stringify(id)} with signal terminated`);
  if (graceMs > 0) await daemon.machine.clock.sleep(graceMs, daemon.life);
  if (stateOf(container) !== 'running') return;
  daemon.log('info', `Kill container ${JSON.stringify(id)}`);
  killContainer(daemon, container);
}

/** RemoveContainer (container_remove.go): of an id that is not there it is success; what runs is killed first. */
export async function removeContainer(daemon: Daemon, id: string): Promise<void> {
  const container = daemon.containers.get(id);
  if (!container) return;
  if (stateOf(container) === 'running') killContainer(daemon, container);
  await daemon.pause('recordMs');
  dropContainer(daemon, container);
}

/** SIGKILL, and its end in the status file. */
export function killContainer(daemon: Daemon, container: ContainerRecord): void {
  const task = daemon.machine.tasks.get(container.id);
  if (task) daemon.machine.end(task, 137);
}

/** Record, store and name go. */
export function dropContainer(daemon: Daemon, container: ContainerRecord): void {
  daemon.machine.disk.containers.delete(container.id);
  daemon.containers.delete(container.id);
  daemon.containerNames.releaseByKey(container.id);
  daemon.tell('deleted', container.id);
}
