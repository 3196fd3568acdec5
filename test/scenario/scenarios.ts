/**
 * What a containerd does around a power cut, as scenarios that run against a real one (lab/) and against the embedded
 * one (src/embedded/). A scenario gets a rig that is not started and writes what it sees; it judges nothing.
 *
 * Not here: `server is not initialized yet`. `Rig.start()` gives a client only when CRI answers, so a scenario cannot
 * look earlier; test/real/starting.test.ts holds a real one there and compares.
 */

import type { Rig } from './rig.ts';
import { hangingScenarios } from './scenarios-hanging.ts';
import { hasFinished, pod, startWithPod, waitFor, workload } from './steps.ts';
import { cniCalls, containers, heard, type Note, noteCall, sandboxes } from './transcript.ts';

export interface Scenario {
  readonly name: string;
  run(rig: Rig, note: Note): Promise<void>;
}

const ghosts: Scenario = {
  name: 'ghosts after a power cut hold their names until they are removed',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.powerCut();
    note('start', await rig.start());
    note('listed', await sandboxes(rig));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    await noteCall(note, 'next attempt', rig.cri.runSandbox(pod(1)));
    note('listed', await sandboxes(rig));
    const before = (await rig.cniCalls()).length;
    await noteCall(note, 'remove the ghost', rig.cri.removeSandbox(id));
    note('CNI', await cniCalls(rig, before));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
  },
};

const survivors: Scenario = {
  name: 'ready sandboxes and their containers outlive the daemon',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    const container = await rig.cri.createContainer(workload(id, pod(0)));
    await rig.cri.startContainer(container);
    await rig.killRuntime();
    note('start', await rig.start());
    note('listed', [await sandboxes(rig), await containers(rig)]);
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    await noteCall(note, 'stop', rig.cri.stopSandbox(id));
    note('listed', await sandboxes(rig));
    await waitFor('the container ends', () => hasFinished(rig, container));
    note('container', await containers(rig));
    await noteCall(note, 'stop again', rig.cri.stopSandbox(id));
    await noteCall(note, 'remove', rig.cri.removeSandbox(id));
    note('listed', [await sandboxes(rig), await containers(rig)]);
    note('CNI', await cniCalls(rig));
  },
};

const containersOfGhosts: Scenario = {
  name: 'containers of a ghost come back exited and go with it',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    const running = await rig.cri.createContainer(workload(id, pod(0)));
    await rig.cri.startContainer(running);
    await rig.cri.createContainer(workload(id, pod(0), 'never-started'));
    await rig.powerCut();
    await rig.start();
    note('listed', [await sandboxes(rig), await containers(rig)]);
    await noteCall(note, 'start a container that exited', rig.cri.startContainer(running));
    await noteCall(note, 'create a container in a ghost', rig.cri.createContainer(workload(id, pod(0), 'late')));
    await noteCall(note, 'stop a container that exited', rig.cri.stopContainer(running, 0));
    await noteCall(note, 'remove the ghost', rig.cri.removeSandbox(id));
    note('listed', [await sandboxes(rig), await containers(rig)]);
  },
};

const containerNameHeld: Scenario = {
  name: 'a container name is held by the container of a ghost',
  async run(rig, note) {
    const ghost = await startWithPod(rig, note);
    await rig.cri.startContainer(await rig.cri.createContainer(workload(ghost, pod(0))));
    await noteCall(note, 'the same name while it runs', rig.cri.createContainer(workload(ghost, pod(0))));
    await rig.powerCut();
    await rig.start();
    const next = await rig.cri.runSandbox(pod(1));
    note('next', next);
    await noteCall(note, 'the same name', rig.cri.createContainer(workload(next, pod(1))));
    await noteCall(note, 'remove the ghost', rig.cri.removeSandbox(ghost));
    await noteCall(note, 'the same name', rig.cri.createContainer(workload(next, pod(1))));
  },
};

const delFails: Scenario = {
  name: 'a failing CNI DEL keeps a ghost',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.powerCut();
    await rig.start();
    await rig.cni({ del: 'fail' });
    await noteCall(note, 'remove', rig.cri.removeSandbox(id));
    await noteCall(note, 'stop', rig.cri.stopSandbox(id));
    note('listed', await sandboxes(rig));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    await rig.cni({ del: 'ok' });
    await noteCall(note, 'remove', rig.cri.removeSandbox(id));
    note('listed', await sandboxes(rig));
    note('CNI', await cniCalls(rig));
  },
};

const delFailsWhileReady: Scenario = {
  name: 'a failing CNI DEL leaves a stopped sandbox',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.cni({ del: 'fail' });
    await noteCall(note, 'stop', rig.cri.stopSandbox(id));
    note('listed', await sandboxes(rig));
    await rig.cni({ del: 'ok' });
    await noteCall(note, 'remove', rig.cri.removeSandbox(id));
    note('CNI', await cniCalls(rig));
  },
};

const halfCreated: Scenario = {
  name: 'a sandbox that could not be undone is half-created and holds its name',
  async run(rig, note) {
    await rig.start();
    await rig.cni({ add: 'fail', del: 'fail' });
    await noteCall(note, 'run', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    await rig.cni({ add: 'ok' });
    await noteCall(note, 'next attempt', rig.cri.runSandbox(pod(1)));
    const half = (await rig.cri.listSandboxes()).find(({ attempt }) => attempt === 0);
    if (half) await noteCall(note, 'remove while DEL fails', rig.cri.removeSandbox(half.id));
    await rig.cni({ del: 'ok' });
    if (half) await noteCall(note, 'remove', rig.cri.removeSandbox(half.id));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
    note('CNI', await cniCalls(rig));
  },
};

const halfCreatedRestarted: Scenario = {
  name: 'a half-created sandbox after a restart of the daemon',
  async run(rig, note) {
    await rig.start();
    await rig.cni({ add: 'fail', del: 'fail' });
    await noteCall(note, 'run', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
    await rig.stop();
    note('start', await rig.start());
    note('listed', await sandboxes(rig));
    await rig.cni({ add: 'ok', del: 'ok' });
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
  },
};

const addFails: Scenario = {
  name: 'a failing CNI ADD leaves nothing',
  async run(rig, note) {
    await rig.start();
    await rig.cni({ add: 'fail' });
    await noteCall(note, 'run', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
    await rig.cni({ add: 'ok' });
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
    note('CNI', await cniCalls(rig));
  },
};

const noCni: Scenario = {
  name: 'without a CNI configuration nothing is created or removed',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.powerCut();
    await rig.cniConfigured(false);
    await rig.start();
    note('network', await networkCondition(rig));
    await noteCall(note, 'remove', rig.cri.removeSandbox(id));
    await noteCall(note, 'next attempt', rig.cri.runSandbox(pod(1)));
    note('listed', await sandboxes(rig));
    await rig.cniConfigured(true);
    await waitFor('containerd loads the configuration', async () => (await networkCondition(rig)).status);
    for (const { id: each } of await rig.cri.listSandboxes())
      await noteCall(note, 'remove', rig.cri.removeSandbox(each));
    note('listed', await sandboxes(rig));
  },
};

const hostNetwork: Scenario = {
  name: 'a ghost with the network of the host needs no CNI',
  async run(rig, note) {
    await rig.start();
    const spec = { ...pod(0), hostNetwork: true };
    const id = await rig.cri.runSandbox(spec);
    note('run', id);
    note('detail', await detail(rig, id));
    await rig.powerCut();
    await rig.cniConfigured(false);
    await rig.start();
    note('detail', await detail(rig, id));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(spec));
    await noteCall(note, 'remove', rig.cri.removeSandbox(id));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(spec));
    note('CNI', await cniCalls(rig));
  },
};

const events: Scenario = {
  name: 'events wait for the first who asks, with what they are about',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    const container = await rig.cri.createContainer({ ...workload(id, pod(0)), attempt: 3 });
    await rig.cri.startContainer(container);
    await rig.cri.stopContainer(container, 0);
    note('the first', await heard(rig, 5));
    note('the second', await heard(rig, 0));
  },
};

const unknownIds: Scenario = {
  name: 'calls with an id that is not there',
  async run(rig, note) {
    await rig.start();
    const id = 'f'.repeat(64);
    await noteCall(note, 'PodSandboxStatus', rig.cri.sandboxStatus(id));
    await noteCall(note, 'StopPodSandbox', rig.cri.stopSandbox(id));
    await noteCall(note, 'RemovePodSandbox', rig.cri.removeSandbox(id));
    await noteCall(note, 'ContainerStatus', rig.cri.containerStatus(id));
    await noteCall(note, 'CreateContainer', rig.cri.createContainer(workload(id, pod(0))));
    await noteCall(note, 'StartContainer', rig.cri.startContainer(id));
    await noteCall(note, 'StopContainer', rig.cri.stopContainer(id, 0));
    await noteCall(note, 'RemoveContainer', rig.cri.removeContainer(id));
    note('listed by id', await rig.cri.listSandboxes({ id }));
  },
};

const duplicates: Scenario = {
  name: 'two records with one name',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.stop();
    await rig.duplicateRecord(id);
    await noteStart(rig, note);
    await rig.stop();
    await noteStart(rig, note);
  },
};

const duplicatesAfterPowerCut: Scenario = {
  name: 'two records with one name after a power cut',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.powerCut();
    await rig.duplicateRecord(id);
    await noteStart(rig, note);
  },
};

const shiftedDates: Scenario = {
  name: 'ghosts from the future and from the past',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.cri.startContainer(await rig.cri.createContainer(workload(id, pod(0))));
    await rig.powerCut();
    await rig.shiftDates(7_200);
    await rig.start();
    note('listed', [await sandboxes(rig), await containers(rig)]);
    await noteCall(note, 'next attempt', rig.cri.runSandbox(pod(1)));
    note('listed', await sandboxes(rig));
    await rig.powerCut();
    await rig.shiftDates(-14_400);
    await rig.start();
    note('listed', await sandboxes(rig));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(1)));
  },
};

const runtimeConfig: Scenario = {
  name: 'what the runtime says of itself',
  async run(rig, note) {
    await rig.start();
    const { runtimeName, runtimeVersion, runtimeApiVersion } = await rig.cri.version();
    note('Version', { runtimeName, minor: /^v?(\d+\.\d+)/.exec(runtimeVersion)?.[1], runtimeApiVersion });
    note('RuntimeConfig', (await rig.cri.cgroupDriver()) === undefined ? 'not implemented' : 'implemented');
    const { conditions, info } = await rig.cri.status();
    note('conditions', conditions);
    note(
      'info',
      Object.keys(info)
        .filter((key) => !key.startsWith('cniconfig'))
        .sort(),
    );
  },
};

const ghostDetail: Scenario = {
  name: 'PodSandboxStatus of a ready sandbox, a stopped one and a ghost',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    note('ready', await detail(rig, id));
    const stopped = await rig.cri.runSandbox(pod(1));
    await rig.cri.stopSandbox(stopped);
    note('stopped', await detail(rig, stopped));
    await rig.powerCut();
    await rig.start();
    note('ghost', await detail(rig, id));
    note('stopped before the cut', await detail(rig, stopped));
  },
};

const removeReady: Scenario = {
  name: 'RemovePodSandbox of a ready sandbox stops it by force',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.cri.startContainer(await rig.cri.createContainer(workload(id, pod(0))));
    await noteCall(note, 'remove', rig.cri.removeSandbox(id));
    note('listed', [await sandboxes(rig), await containers(rig)]);
    await noteCall(note, 'remove again', rig.cri.removeSandbox(id));
    note('CNI', await cniCalls(rig));
  },
};

export const scenarios: readonly Scenario[] = [
  ghosts,
  survivors,
  containersOfGhosts,
  containerNameHeld,
  delFails,
  delFailsWhileReady,
  addFails,
  halfCreated,
  halfCreatedRestarted,
  noCni,
  hostNetwork,
  events,
  unknownIds,
  duplicates,
  duplicatesAfterPowerCut,
  shiftedDates,
  runtimeConfig,
  ghostDetail,
  removeReady,
  ...hangingScenarios,
];

async function networkCondition(rig: Rig) {
  const { conditions } = await rig.cri.status();
  return conditions.find(({ type }) => type === 'NetworkReady') ?? { status: false };
}

/** The verbose part of PodSandboxStatus that a decision can hang on. */
async function detail(rig: Rig, id: string): Promise<unknown> {
  const { sandbox, detail } = await rig.cri.sandboxStatus(id);
  return {
    state: sandbox.state,
    process: detail.pid === undefined ? 'not said' : detail.pid > 0 ? 'a pid' : 'pid 0',
    processStatus: detail.processStatus,
    netNamespaceClosed: detail.netNamespaceClosed,
    ip: detail.ip === undefined ? 'none' : 'some',
    hostNetwork: detail.hostNetwork,
  };
}

/** Which of two records with one name is loaded first hangs on their ids. */
async function noteStart(rig: Rig, note: Note): Promise<void> {
  const started = await rig.start();
  const words = started.ok
    ? 'ok'
    : started.fatal.replace(/^time="[^"]*" /, '').replace(/[0-9a-f]{64}/g, '<one of them>');
  note('start', words);
}
