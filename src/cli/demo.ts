import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectCri } from '../cri/connect.ts';
import { type EmbeddedNode, startEmbeddedNode } from '../embedded/node.ts';
import type { PlanOptions } from '../heal/plan.ts';
import { openStateDir } from '../heal/state-dir.ts';
import { ExitCode } from '../model/errors.ts';
import { demoPods } from './demo-pods.ts';
import { worldOverEmbedded } from './demo-world.ts';
import { lookAtEmbedded } from './embedded-look.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { healNode } from './healing.ts';
import { diagnosisText } from './render/diagnosis-text.ts';
import { wrap } from './render/layout.ts';
import { exact, paint, type Style, styleOf } from './render/style.ts';

const options: PlanOptions = { allow: ['safe'], only: [] };
const HOUR_MS = 3_600_000;
/** 2026-11-21 19:40:00Z, the evening of the recorded power cuts. */
const START_NS = 1_795_290_000_000_000_000n;

/** `sandwarden demo`: a power cut on the embedded node, found and healed by the same code as on a real one. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const dir = await mkdtemp(join(tmpdir(), 'sandwarden-demo-'));
  const pods = demoPods();
  const node = await startEmbeddedNode({
    flavour: '1.7',
    kubeletVersion: 'v1.34.9',
    pods,
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
    await stage.command('sandwarden check');
    const sick = await lookAtEmbedded(node, cri, options);
    io.stdout.write(diagnosisText(sick.diagnosis, stage.style, 'warning'));
    await stage.command('sandwarden heal --yes');
    const state = await openStateDir(join(dir, 'state'));
    const { bootId } = node.nodeFacts();
    const patient = {
      world: worldOverEmbedded(node, cri, options),
      look: sick,
      bootId,
      readJournal: async () => [],
      openState: async () => ({ ...state, bootId }),
    };
    const exitCode = await healNode(patient, options, { args: withYes(args), io });
    await node.run(2 * 60_000);
    await stage.command('sandwarden check', 'two minutes later');
    const well = await lookAtEmbedded(node, cri, options);
    io.stdout.write(diagnosisText(well.diagnosis, stage.style, 'warning'));
    return well.diagnosis.state === 'healthy' ? exitCode : ExitCode.healingIncomplete;
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

/** The command line of the heal in the story, whatever the demonstration was called with. */
function withYes(args: Args): Pick<Args, 'flag' | 'value' | 'values'> {
  return {
    flag: (name) => name === 'yes' || (name === 'no-color' && args.flag(name)),
    value: () => undefined,
    values: () => [],
  };
}

/** Where the story is told: with time to read at a terminal, at once elsewhere. */
class Stage {
  readonly style: Style;
  readonly #io: Io;
  readonly #pace: 'none' | 'slow' | 'enter';

  constructor(args: Args, io: Io) {
    this.#io = io;
    this.style = styleOf(io, args.flag('no-color'));
    const atTerminal = io.stdout.isTerminal && io.stdinIsTerminal;
    this.#pace = args.flag('fast') || !atTerminal ? 'none' : args.flag('pause') ? 'enter' : 'slow';
  }

  async tell(text: string): Promise<void> {
    const lines = wrap(exact(this.style, text), this.style.width);
    this.#io.stdout.write(`${lines.join('\n')}\n`);
    await this.#pause(200);
  }

  /** A command as if it were typed. */
  async command(line: string, when = ''): Promise<void> {
    if (this.#pace === 'enter') await this.#io.confirm('\n[Enter] ');
    const note = when === '' ? '' : paint(this.style, 'dim', `   # ${when}`);
    this.#io.stdout.write(`\n${paint(this.style, ['bold', 'cyan'], `$ ${line}`)}${note}\n`);
    await this.#pause(500);
  }

  async #pause(ms: number): Promise<void> {
    if (this.#pace === 'slow') await sleep(ms);
  }
}
