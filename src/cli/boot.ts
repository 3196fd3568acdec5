import { hostname } from 'node:os';
import { type BootConf, bootLayouts, readBootConf } from '../boot/boot-conf.ts';
import { describeClock, type FloorPorts, floorClock } from '../boot/clock-floor.ts';
import { type BootHealPorts, healAfterKubelet, healBeforeKubelet } from '../boot/heal.ts';
import { writeNote } from '../boot/note.ts';
import { publishUncleanBoot } from '../boot/publish.ts';
import { readClockNow, readWitnesses } from '../boot/read-witnesses.ts';
import { isRebootLoop } from '../boot/reboot-loop.ts';
import { flags, type HealRecord, readBootRecord, readFlag, setFlag, writeBootRecord } from '../boot/record.ts';
import { waitForTimeSync } from '../boot/time-sync.ts';
import { readJournal } from '../heal/journal.ts';
import { defaultStateDir, journalStore, openStateDir } from '../heal/state-dir.ts';
import type { Clock } from '../model/clock.ts';
import { ExitCode, isSandwardenError, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import { safeText } from '../model/safe-text.ts';
import { run as runProgram } from '../observe/child.ts';
import { systemClock } from '../observe/clock.ts';
import { observeNode } from '../observe/proc.ts';
import { openBootRuntime } from './boot-runtime.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';

/**
 * `sandwarden boot clock|heal`: what the units run. Whatever the node's state, it ends with exit code 0, says what it
 * did on stdout (the journal of systemd) and writes it into our journal: kubelet starts anyway.
 */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const step = args.argument;
  if (step !== 'clock' && step !== 'heal') {
    throw new SandwardenError('ERR_USAGE', "'sandwarden boot' needs a step", {
      hint: "Write 'sandwarden boot clock' or 'sandwarden boot heal'.",
    });
  }
  const limitMs = readLimit(args);
  const clock = systemClock();
  const stateDir = args.value('state-dir') ?? defaultStateDir;
  try {
    const conf = withArgs(await readBootConf(), args);
    const healing = { args, io, conf, clock, stateDir, limitMs };
    const done = await (step === 'clock' ? clockStep(conf, clock) : healStep(healing));
    if (done !== undefined) await tell(io, stateDir, clock, done.note);
    if (step === 'heal' && args.flag('after-kubelet')) {
      const told = await publishStep(conf, clock);
      if (told !== undefined) await tell(io, stateDir, clock, `boot publish: ${told}`);
    }
    // A call that hangs in the runtime must not keep this process, and so the boot, waiting.
    if (done?.late) process.exit(ExitCode.healthy);
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    await tell(io, stateDir, clock, `boot ${step}: ${error.message}; the boot goes on`);
  }
  return ExitCode.healthy;
}

interface Told {
  readonly note: string;
  /** The limit was reached. */
  readonly late: boolean;
}

async function clockStep(conf: BootConf, clock: Clock): Promise<Told> {
  const witnesses = await readWitnesses({ conf, run: runProgram });
  const record = await floorClock(floorPorts(conf, clock), { conf, witnesses });
  await writeBootRecord({ ...(await readBootRecord()), clock: record });
  return { note: `boot clock: ${describeClock(record)}`, late: false };
}

interface HealStep {
  readonly args: Args;
  readonly io: Io;
  readonly conf: BootConf;
  readonly clock: Clock;
  readonly stateDir: string;
  readonly limitMs: number | undefined;
}

/** Undefined where it was started after kubelet to tell the cluster, and nothing is left to heal. */
async function healStep({ args, io, conf, clock, stateDir, limitMs }: HealStep): Promise<Told | undefined> {
  const after = args.flag('after-kubelet');
  const isSet = async (flag: string) => (await readFlag(flag)) !== undefined;
  if (after && !(await isSet(flags.afterKubelet)) && (await isSet(flags.unclean))) return undefined;
  // Set before anything can go wrong: a step that is killed leaves the rest to the one after kubelet's start.
  if (!after) await setFlag(flags.afterKubelet, true);
  const ports: BootHealPorts = {
    clock,
    floor: floorPorts(conf, clock),
    openRuntime: (signal) => openBootRuntime({ args, env: io.env, conf, clock, after, signal }),
    openState: () => openStateDir(stateDir),
    entries: async () => (await readJournal(journalStore(stateDir))).entries,
    witnesses: async () => {
      const seen = (await readBootRecord()).clock;
      if (seen === undefined) return readWitnesses({ conf, run: runProgram });
      return [...seen.witnesses, ...seen.distrusted.map((each) => each.witness)];
    },
  };
  const options = {
    conf,
    reportOnly: await isRebootLoop(stateDir),
    limitMs: limitMs ?? (after ? limits.bootWatchMs : limits.bootHealMs),
  };
  const record = await (after ? healAfterKubelet(ports, options) : healBeforeKubelet(ports, options));
  const boot = await readBootRecord();
  await writeBootRecord({ ...boot, heal: [...boot.heal, record] });
  if (record.settled) await setFlag(flags.afterKubelet, false);
  const tookMs = Number((record.endedUptimeNs - record.startedUptimeNs) / 1_000_000n);
  return { note: describeHeal(record), late: tookMs >= options.limitMs };
}

/** What the cluster was told of this boot, where it followed an unclean end. */
async function publishStep(conf: BootConf, clock: Clock): Promise<string | undefined> {
  if (!conf.publish || (await readFlag(flags.unclean)) === undefined) return undefined;
  const bootId = valueOr(await observeNode(clock), undefined)?.bootId;
  if (bootId === undefined) return undefined;
  const { heal } = await readBootRecord();
  const left = heal.at(-1)?.left.length ?? 0;
  const removed = heal.reduce((sum, each) => sum + each.removed.length, 0);
  return await publishUncleanBoot({ api: { hostname: hostname() }, clock, bootId, removed, left });
}

/** One line: what was removed, what is left, and why. */
function describeHeal({ step, removed, left, why, clock, reportOnly }: HealRecord): string {
  const parts = [
    ...(clock === undefined ? [] : [describeClock(clock)]),
    removed.length === 0 ? 'nothing removed' : `removed ${removed.join(', ')}`,
    ...(left.length === 0 ? [] : [`left: ${left.map((each) => `${each.object} (${each.why})`).join(', ')}`]),
    why,
  ];
  return `boot heal ${step}${reportOnly ? ' (report only)' : ''}: ${parts.join('; ')}`;
}

function floorPorts(conf: BootConf, clock: Clock): FloorPorts {
  return {
    clock,
    run: runProgram,
    readClockNow,
    waitForTimeSync: () => waitForTimeSync({ clock, run: runProgram, waitMs: conf.syncWaitMs }),
  };
}

function withArgs(conf: BootConf, args: Args): BootConf {
  const layout = bootLayouts.find((each) => each === args.value('layout')) ?? conf.layout;
  return { ...conf, layout, clockFloor: conf.clockFloor && !args.flag('no-clock-floor') };
}

function readLimit(args: Args): number | undefined {
  const typed = args.value('limit');
  if (typed === undefined) return undefined;
  if (/^[1-9]\d{0,3}s?$/.test(typed)) return Number.parseInt(typed, 10) * 1_000;
  throw new SandwardenError('ERR_USAGE', `'${safeText(typed, 60)}' is no number of seconds for '--limit'`, {
    hint: `Write '--limit 30'; without it ${limits.bootHealMs / 1_000} s are allowed.`,
  });
}

async function tell(io: Io, stateDir: string, clock: Clock, text: string): Promise<void> {
  io.stdout.write(`${safeText(text, limits.journalTextLength)}\n`);
  const error = await writeNote(() => openStateDir(stateDir), clock, safeText(text, limits.journalTextLength));
  if (error !== undefined) io.stderr.write(`sandwarden: this is not in the journal: ${error.message}\n`);
}
