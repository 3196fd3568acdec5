/** `heal` of many ghosts on a real containerd, against removing them without a thought. Root only. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { labAvailable } from '../lab/available.ts';
import { manySandboxes } from '../lab/ghosts.ts';
import { type RealNode, realNode } from '../lab/real-node.ts';
import { healNode } from '../src/cli/healing.ts';
import { connectCri } from '../src/cri/connect.ts';
import { readJournal } from '../src/heal/journal.ts';
import type { PlanOptions } from '../src/heal/plan.ts';
import { journalStore, openStateDir } from '../src/heal/state-dir.ts';
import { ExitCode } from '../src/model/errors.ts';
import { silentIo } from '../test/helpers/silent-io.ts';
import { median } from './measure.ts';
import { type Figure, show } from './report.ts';

const flavour = '1.7';
const count = 300;
const options: PlanOptions = { allow: ['safe'], only: [] };
/** A round makes the ghosts twice, which takes most of a minute. */
const mostRounds = 3;

/**
 * In turns on one containerd: 300 ghosts healed (look, plan, guards, journal on a real disk), 300 ghosts removed by as
 * many RemovePodSandbox calls at once. The budget allows 200 removals in a run, so healing takes two, and both count.
 * Nothing where there is no real containerd; it says so.
 */
export async function benchHeal(repetitions: number): Promise<Figure[]> {
  const lab = await labAvailable([flavour]);
  if (!lab.ok) {
    process.stdout.write(`heal, ${count} ghosts: left out, ${lab.why}\n`);
    return [];
  }
  const rounds: { heal: Healing; bareMs: number }[] = [];
  const node = await realNode({ flavour, pods: [] });
  try {
    for (let round = 0; round < Math.min(repetitions, mostRounds); round++) {
      const heal = await ghostsThen(node, healAll);
      rounds.push({ heal, bareMs: await ghostsThen(node, removeAll) });
    }
  } finally {
    await node.close();
  }
  const of = (value: (round: (typeof rounds)[number]) => number) => median(rounds.map(value));
  const [healMs, bareMs] = [of(({ heal }) => heal.lookMs + heal.actMs), of((round) => round.bareMs)];
  const parts = `looks ${show(of(({ heal }) => heal.lookMs))} ms, acts ${show(of(({ heal }) => heal.actMs))} ms`;
  const from =
    `${show(healMs)} ms in two runs (${parts}) against ${show(bareMs)} ms of ${count} RemovePodSandbox at once, ` +
    `${node.rig.name}, median of ${rounds.length}`;
  return [{ name: `heal, ${count} ghosts: wall`, value: healMs / bareMs, unit: '×', limit: 1.3, from }];
}

/** Ghosts from the future on a node whose kubelet does not run, then `work`, after which none may be left. */
async function ghostsThen<T>(node: RealNode, work: (node: RealNode) => Promise<T>): Promise<T> {
  await node.boot({ kubelet: 'off' });
  await manySandboxes(node.rig, count, { podNetwork: true });
  await node.powerCut();
  await node.boot({ kubelet: 'off', datesAheadS: 7_200 });
  const done = await work(node);
  const left = (await node.cri.listSandboxes()).length;
  if (left > 0) throw new Error(`${left} ghosts were left`);
  await node.powerCut();
  return done;
}

interface Healing {
  readonly lookMs: number;
  readonly actMs: number;
}

/** `sandwarden heal --yes`, as often as the budget makes it necessary. */
async function healAll(node: RealNode): Promise<Healing> {
  const cache = join(import.meta.dirname, '../.cache/bench');
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, 'state-'));
  const sum = { lookMs: 0, actMs: 0 };
  const args = { flag: (name: string) => name === 'yes', value: () => undefined, values: () => [] };
  try {
    for (let run = 0; run < 2; run++) {
      const startedMs = performance.now();
      const look = await node.look(options);
      const lookedMs = performance.now();
      const state = await openStateDir(directory);
      const patient = {
        look,
        world: node.world(options),
        bootId: state.bootId,
        readJournal: async () => (await readJournal(journalStore(directory))).entries,
        openState: async () => state,
      };
      const exitCode = await healNode(patient, options, { args, io: silentIo() });
      if (exitCode !== ExitCode.healthy && run === 1) throw new Error(`heal ended with ${exitCode}`);
      sum.lookMs += lookedMs - startedMs;
      sum.actMs += performance.now() - lookedMs;
    }
    return sum;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What a script without guards would do; gives the milliseconds. */
async function removeAll(node: RealNode): Promise<number> {
  const cri = connectCri(node.endpoint);
  try {
    const startedMs = performance.now();
    const listed = await cri.listSandboxes();
    await Promise.all(listed.map((each) => cri.removeSandbox(each.id)));
    return performance.now() - startedMs;
  } finally {
    cri.close();
  }
}
