import type { CriReader } from '../cri/types.ts';
import type { EmbeddedNode } from '../embedded/node.ts';
import type { PlanOptions } from '../heal/plan.ts';
import type { World } from '../heal/ports.ts';
import type { Clock } from '../model/clock.ts';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { lookAtEmbedded } from './embedded-look.ts';

/** What healing sees and does of an embedded node. `reader` is a client of its socket. */
export function worldOverEmbedded(node: EmbeddedNode, reader: CriReader, options: PlanOptions): World {
  return {
    clock: patientClock(node),
    lookAgain: () => lookAtEmbedded(node, reader, options),
    readPod: async (podUid) => {
      const [sandboxes, containers] = await Promise.all([
        reader.listSandboxes({ podUid }),
        reader.listContainers({ podUid }),
      ]);
      return { sandboxes, containers };
    },
    pauseAlive: async (id) => node.pauseAlive(id),
    processAlive: (pid) => node.processAlive(pid),
    readIdentity: async () => {
      const { running, pid } = node.kubeletFacts();
      const { runtimePid, runtimeStartedUptimeNs } = node.processFacts();
      return {
        kubeletRunning: running,
        ...(pid === undefined ? {} : { kubeletPid: pid }),
        ...(runtimePid === undefined ? {} : { runtimePid }),
        ...(runtimeStartedUptimeNs === undefined ? {} : { runtimeStartedUptimeNs }),
      };
    },
    removalStops: async () => true,
    // These take time on the node, so they go by the client that lets simulated time pass while it waits.
    stopSandbox: (id) => node.cri.stopSandbox(id),
    removeSandbox: (id) => node.cri.removeSandbox(id),
    killProcess: () => Promise.reject(notHere('kill a process')),
    restartUnit: () => Promise.reject(notHere('restart a unit')),
  };
}

/**
 * The node's clock for the executor. A wait (for the second look, for the pods) lets simulated time pass; the
 * deadline of
 * a call does not, or the minutes of the deadline would pass while a real disk takes a millisecond.
 */
function patientClock(node: EmbeddedNode): Clock {
  const { clock, machine } = node;
  return {
    wallNs: () => clock.wallNs(),
    uptimeNs: () => clock.uptimeNs(),
    sleep: (ms, signal) => (ms <= limits.confirmAfterMs ? clock : machine.clock).sleep(ms, signal),
  };
}

function notHere(what: string): SandwardenError {
  return new SandwardenError('ERR_NOT_SUPPORTED', `the embedded node cannot ${what}`, {
    hint: 'Only removals are part of the demonstration.',
  });
}
