import { connectCri } from '../cri/connect.ts';
import { type ExitCode, SandwardenError } from '../model/errors.ts';
import { systemCgroupFs } from '../observe/cgroup/cgroup-fs.ts';
import { readCgroups } from '../observe/cgroup/cgroups.ts';
import { kubeletCgroupRoot } from '../observe/cgroup/kubelet-root.ts';
import { run as runProgram } from '../observe/child.ts';
import { systemClock } from '../observe/clock.ts';
import { findEndpoint } from '../observe/endpoint.ts';
import { Rooted } from '../observe/installed/rooted.ts';
import { openSystemd } from '../systemd/open.ts';
import { type AnchorNode, anchor } from './anchoring.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';

/** `sandwarden anchor`, `anchor list`, `anchor release`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const reads = args.argument === 'list' || args.flag('dry-run');
  if (!reads && process.geteuid?.() !== 0) {
    throw new SandwardenError('ERR_FORBIDDEN', 'anchor needs root: it starts units of the system', {
      hint: "sudo sandwarden anchor …; '--dry-run' shows what it would do, 'anchor list' what is held.",
    });
  }
  return await anchor(thisNode(args, io), args, io);
}

function thisNode(args: Args, io: Io): AnchorNode {
  const flag = args.value('runtime-endpoint');
  return {
    files: new Rooted(),
    clock: systemClock(),
    openSystemd: () => openSystemd(runProgram),
    readTree: async () => {
      const cgroupRoot = await kubeletCgroupRoot();
      return readCgroups(systemCgroupFs(), cgroupRoot === undefined ? {} : { cgroupRoot });
    },
    listPods: async () => {
      const { endpoint } = await findEndpoint({ env: io.env, ...(flag === undefined ? {} : { flag }) });
      const cri = connectCri(endpoint);
      try {
        const sandboxes = await cri.listSandboxes();
        return sandboxes.toSorted((a, b) => Number(b.state === 'ready') - Number(a.state === 'ready'));
      } finally {
        cri.close();
      }
    },
  };
}
