/**
 * `make demo-real`: the story of `sandwarden demo` on a real containerd, in real time, about a minute and a half.
 *
 *     node lab/demo.ts [1.6|1.7|2.1] [--fast] [--pause] [--no-color]      (as root)
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { demoPods } from '../src/cli/demo-pods.ts';
import { checkHealCheck, Stage, storyOptions } from '../src/cli/demo-story.ts';
import { processIo } from '../src/cli/frame/process-io.ts';
import type { PodSpec } from '../src/embedded/pod-spec.ts';
import { openStateDir } from '../src/heal/state-dir.ts';
import type { ExitCode } from '../src/model/errors.ts';
import { labAvailable } from './available.ts';
import { allFlavours } from './flavours.ts';
import { type RealNode, realNode } from './real-node.ts';

const { values, positionals } = parseArgs({
  options: { fast: { type: 'boolean' }, pause: { type: 'boolean' }, 'no-color': { type: 'boolean' } },
  allowPositionals: true,
});
const flavour = allFlavours.find((each) => each === (positionals[0] ?? '1.7'));
const set = new Set(Object.keys(values));
const lab = flavour === undefined ? undefined : await labAvailable([flavour]);
if (flavour === undefined || lab === undefined) {
  process.stderr.write(`demo-real: containerd is one of ${allFlavours.join(', ')}, not '${positionals[0]}'\n`);
  process.exitCode = 64;
} else if (!lab.ok) {
  process.stderr.write(`demo-real: ${lab.why}\nWithout root, 'make demo' tells the same story on the embedded node.\n`);
  process.exitCode = 69;
} else {
  process.exitCode = await story(new Stage({ flag: (name) => set.has(name) }, processIo()));
}

async function story(stage: Stage): Promise<ExitCode> {
  await stage.tell(
    `A real containerd ${flavour} starts, in a namespace of its own, and ${demoPods().length} pods on it.`,
  );
  const node = await realNode({ flavour: flavour ?? '1.7', pods: demoPods().map(quickJob) });
  try {
    await breakIt(node, stage);
    const state = await openStateDir(join(node.rig.home, 'state'));
    const patient = {
      bootId: state.bootId,
      world: node.world(storyOptions),
      look: () => node.look(storyOptions),
      openState: async () => state,
      settle: async () => {
        const since = performance.now();
        await whileNot(() => allRun(node), 120);
        return `${Math.max(1, Math.round((performance.now() - since) / 1_000))} s later`;
      },
    };
    return await checkHealCheck(patient, stage);
  } finally {
    await node.close();
  }
}

async function breakIt(node: RealNode, stage: Stage): Promise<void> {
  const startedMs = performance.now();
  const tell = (text: string) => {
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    return stage.tell(`${`+${seconds}s`.padEnd(6)} ${text}`);
  };
  await node.boot();
  await whileNot(async () => (await allRun(node)) && (await node.pods()).some(hasSucceeded), 120);
  const finished = (await node.pods()).filter(hasSucceeded).length;
  await tell(
    `${await running(node)} pods run on ${node.rig.name} and a stand-in for kubelet ${node.version}; ` +
      `${finished} Job has finished.`,
  );
  await node.powerCut();
  await tell('The power goes: every process is killed at once, /run is gone, the disk stays.');
  await node.boot({ datesAheadS: 7_200 });
  await tell('It comes back. What is on its disk is dated two hours ahead: its clock is two hours behind.');
  for (let round = 0; round < 3; round++) {
    await sleep(10_000);
    const refused = node.events.filter((each) => each.message.includes('is reserved for')).length;
    await tell(`${await running(node)} pods run. Refused with "name is reserved" so far: ${refused}.`);
  }
}

/** The Job of the demonstration ends soon: here its time is real. */
function quickJob(pod: PodSpec): PodSpec {
  const containers = pod.containers.map((each) =>
    each.runs === 'forever' ? each : { ...each, runs: { ...each.runs, exitsAfterMs: 1_000 } },
  );
  return { ...pod, containers };
}

async function allRun(node: RealNode): Promise<boolean> {
  return (await node.pods()).every((each) => each.running || hasSucceeded(each));
}

async function running(node: RealNode): Promise<number> {
  return (await node.pods()).filter((each) => each.running).length;
}

function hasSucceeded(pod: { readonly phase: string }): boolean {
  return pod.phase === 'Succeeded';
}

/** Waits for `condition`, at most `seconds`: what the story then shows is as it is. */
async function whileNot(condition: () => Promise<boolean>, seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1_000;
  while (!(await condition()) && performance.now() < end) await sleep(500);
}
