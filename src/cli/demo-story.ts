import { setTimeout as sleep } from 'node:timers/promises';
import type { PlanOptions } from '../heal/plan.ts';
import type { Look, World } from '../heal/ports.ts';
import type { HealState } from '../heal/state-dir.ts';
import { ExitCode } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { healNode } from './healing.ts';
import { diagnosisText } from './render/diagnosis-text.ts';
import { wrap } from './render/layout.ts';
import { exact, paint, type Style, styleOf } from './render/style.ts';

/** What a person allows in the story. */
export const storyOptions: PlanOptions = { allow: ['safe'], only: [] };

/** The node that the story is about, broken already: the embedded one, or the laboratory's. */
export interface StoryNode {
  /** As entries of the journal have it. */
  readonly bootId: string;
  readonly world: World;
  look(): Promise<Look>;
  openState(): Promise<HealState>;
  /** Lets the pods settle after the healing; says how long that was. */
  settle(): Promise<string>;
}

/** check, heal, check. Gives the exit code of the healing, or that it is not complete. */
export async function checkHealCheck(node: StoryNode, stage: Stage): Promise<ExitCode> {
  await stage.command('sandwarden check');
  const sick = await node.look();
  stage.show(sick);
  await stage.command('sandwarden heal --yes');
  const patient = {
    world: node.world,
    look: sick,
    bootId: node.bootId,
    readJournal: async () => [],
    openState: () => node.openState(),
  };
  const exitCode = await healNode(patient, storyOptions, { args: withYes(stage.args), io: stage.io });
  await stage.command('sandwarden check', await node.settle());
  const well = await node.look();
  stage.show(well);
  return well.diagnosis.state === 'errors' ? ExitCode.healingIncomplete : exitCode;
}

/** The command line of the heal in the story, whatever the demonstration was called with. */
function withYes(args: Pick<Args, 'flag'>): Pick<Args, 'flag' | 'value' | 'values'> {
  return {
    flag: (name) => name === 'yes' || (name === 'no-color' && args.flag(name)),
    value: () => undefined,
    values: () => [],
  };
}

/** Where the story is told: with time to read at a terminal, at once elsewhere. */
export class Stage {
  readonly style: Style;
  readonly args: Pick<Args, 'flag'>;
  readonly io: Io;
  readonly #pace: 'none' | 'slow' | 'enter';

  constructor(args: Pick<Args, 'flag'>, io: Io) {
    this.args = args;
    this.io = io;
    this.style = styleOf(io, args.flag('no-color'));
    const atTerminal = io.stdout.isTerminal && io.stdinIsTerminal;
    this.#pace = args.flag('fast') || !atTerminal ? 'none' : args.flag('pause') ? 'enter' : 'slow';
  }

  async tell(text: string): Promise<void> {
    const lines = wrap(exact(this.style, text), this.style.width);
    this.io.stdout.write(`${lines.join('\n')}\n`);
    await this.#pause(200);
  }

  /** A command as if it were typed. */
  async command(line: string, when = ''): Promise<void> {
    if (this.#pace === 'enter') await this.io.confirm('\n[Enter] ');
    const note = when === '' ? '' : paint(this.style, 'dim', `   # ${when}`);
    this.io.stdout.write(`\n${paint(this.style, ['bold', 'cyan'], `$ ${line}`)}${note}\n`);
    await this.#pause(500);
  }

  /** What `sandwarden check` prints. */
  show(look: Look): void {
    this.io.stdout.write(diagnosisText(look.diagnosis, this.style, 'warning'));
  }

  async #pause(ms: number): Promise<void> {
    if (this.#pace === 'slow') await sleep(ms);
  }
}
