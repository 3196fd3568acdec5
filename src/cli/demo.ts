import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectCri } from '../cri/connect.ts';
import { type EmbeddedNode, startEmbeddedNode } from '../embedded/node.ts';
import { openStateDir } from '../heal/state-dir.ts';
import { ExitCode } from '../model/errors.ts';
import { demoPods } from './demo-pods.ts';
import { checkHealCheck, Stage, storyOptions } from './demo-story.ts';
import { worldOverEmbedded } from './demo-world.ts';
import { lookAtEmbedded } from './embedded-look.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';

const HOUR_MS = 3_600_000;
/** 2026-11-21 19:40:00Z, the evening of the recorded power cuts. */
const START_NS = 1_795_290_000_000_000_000n;

/** `sandwarden demo`: a power cut on the embedded node, found and healed by the same code as on a real one. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const dir = await mkdtemp(join(tmpdir(), 'sandwarden-demo-'));
  const node = await startEmbeddedNode({
    flavour: '1.7',
    kubeletVersion: 'v1.34.9',
    pods: demoPods(),
    dir,
    time: 'simulated',
    serve: true,
    startNs: START_NS,
  });
  const cri = connectCri(node.endpoint);
  const stage = new Stage(args, io);
  const restore = io.onInterrupt(() => {
    rmSync(dir, { recursive: true, force: true });
    process.exit(ExitCode.interrupted);
  });
  try {
    await breakIt(node, stage);
    const { bootId } = node.nodeFacts();
    const patient = {
      bootId,
      world: worldOverEmbedded(node, cri, storyOptions),
      look: () => lookAtEmbedded(node, cri, storyOptions),
      openState: async () => ({ ...(await openStateDir(join(dir, 'state'))), bootId }),
      settle: async () => {
        await node.run(2 * 60_000);
        return 'two minutes later';
      },
    };
    return await checkHealCheck(patient, stage);
  } finally {
    restore();
    cri.close();
    await node.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function breakIt(node: EmbeddedNode, stage: Stage): Promise<void> {
  await node.run(3 * 60_000);
  const finished = node.pods().filter((each) => each.phase === 'Succeeded').length;
  await stage.tell(
    `19:43  ${running(node)} pods run on kubelet v1.34.9 and containerd 1.7; ${finished} Job has finished.`,
  );
  await node.powerCut();
  await stage.tell('19:43  The power goes, without a shutdown.');
  await node.boot({ clockStepMs: -2 * HOUR_MS });
  await stage.tell('17:43  It comes back. The board has no battery: its clock is two hours behind.');
  for (const minute of [1, 2, 3, 4]) {
    await node.run(60_000);
    const refused = node.events.filter((each) => each.message.includes('is reserved for')).length;
    await stage.tell(
      `17:${43 + minute}  ${running(node)} pods run. Refused with "name is reserved" so far: ${refused}.`,
    );
  }
}

function running(node: EmbeddedNode): number {
  return node.pods().filter((each) => each.running).length;
}
