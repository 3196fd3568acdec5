/** The scenarios in which a CNI plugin hangs; see scenarios.ts. */
import { isSandwardenError } from '../../src/model/errors.ts';
import type { Rig } from './rig.ts';
import type { Scenario } from './scenarios.ts';
import { hangingRunMs, pod, startWithPod, waitFor } from './steps.ts';
import { cniCalls, noteCall, noteHanging, sandboxes } from './transcript.ts';

const delHangs: Scenario = {
  name: 'a hanging CNI DEL keeps a ghost past the deadline',
  async run(rig, note) {
    const id = await startWithPod(rig, note);
    await rig.powerCut();
    await rig.start();
    await rig.cni({ del: 'hang' });
    await noteHanging(note, 'remove', rig.cri.removeSandbox(id));
    note('listed', await sandboxes(rig));
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    await rig.cni({ del: 'ok' });
    await noteCall(note, 'remove', rig.cri.removeSandbox(id));
    note('listed', await sandboxes(rig));
    note('CNI', await cniCalls(rig));
  },
};

const addHangs: Scenario = {
  name: 'a hanging CNI ADD holds the name until the deadline',
  async run(rig, note) {
    await rig.start();
    await rig.cni({ add: 'hang' });
    const first = noteHanging(note, 'first', rig.cri.runSandbox(pod(0), hangingRunMs));
    await waitFor('ADD is called', () => wasCalled(rig, 'ADD'));
    note('in flight', (await rig.cniCalls())[0]?.sandboxId);
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
    await first;
    await rig.cni({ add: 'ok' });
    await waitFor('the name is free', () => runs(rig));
    note('listed', await sandboxes(rig));
    note('CNI', await cniCalls(rig));
  },
};

const addHolds: Scenario = {
  name: 'a grandchild that holds the stdout of CNI ADD holds the name past the deadline',
  async run(rig, note) {
    await rig.start();
    await rig.cni({ add: 'hold' });
    await noteHanging(note, 'first', rig.cri.runSandbox(pod(0), hangingRunMs));
    note('in flight', (await rig.cniCalls())[0]?.sandboxId);
    await rig.cni({ add: 'ok' });
    await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
    note('listed', await sandboxes(rig));
    await rig.releaseHeld();
    await waitFor('the name is free', () => runs(rig));
    note('listed', await sandboxes(rig));
    note('CNI', await cniCalls(rig));
  },
};

/** What becomes of a sandbox that was being created, by how the daemon ended. */
function inFlight(ending: 'killRuntime' | 'powerCut', words: string): Scenario {
  return {
    name: `a sandbox that was being created when ${words}`,
    async run(rig, note) {
      await rig.start();
      await rig.cni({ add: 'hold' });
      await noteHanging(note, 'run', rig.cri.runSandbox(pod(0), hangingRunMs));
      note('in flight', (await rig.cniCalls())[0]?.sandboxId);
      await rig[ending]();
      await rig.cni({ add: 'ok' });
      note('start', await rig.start());
      note('listed', await sandboxes(rig));
      await noteCall(note, 'same attempt', rig.cri.runSandbox(pod(0)));
      note('listed', await sandboxes(rig));
      await rig.stop();
      note('start', await rig.start());
      note('listed', await sandboxes(rig));
      for (const { id, state } of await rig.cri.listSandboxes()) {
        if (state === 'notready') await noteCall(note, 'remove what is not ready', rig.cri.removeSandbox(id));
      }
      note('CNI', await cniCalls(rig));
      await rig.stop();
      note('start', await rig.start());
      note('listed', await sandboxes(rig));
    },
  };
}

export const hangingScenarios: readonly Scenario[] = [
  delHangs,
  addHangs,
  addHolds,
  inFlight('killRuntime', 'the daemon was killed'),
  inFlight('powerCut', 'the power was cut'),
];

async function wasCalled(rig: Rig, wanted: 'ADD' | 'DEL'): Promise<boolean> {
  return (await rig.cniCalls()).some(({ command }) => command === wanted);
}

/** Whether the first attempt can be run now; false while its name is reserved. */
async function runs(rig: Rig): Promise<boolean> {
  return rig.cri.runSandbox(pod(0)).then(
    () => true,
    (error: unknown) => {
      if (isSandwardenError(error, 'ERR_CRI_FAILED') && error.message.includes('is reserved for')) return false;
      throw error;
    },
  );
}
