import { betweenNs } from '../diagnose/controller-fight.ts';
import type { Clock } from '../model/clock.ts';
import { ExitCode } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { Moment } from '../model/records.ts';
import { systemClock } from '../observe/clock.ts';
import type { WatchEvent } from '../watch/controllers/watch.ts';
import type { Args } from './frame/command.ts';
import { readDuration } from './frame/duration.ts';
import type { Io } from './frame/io.ts';
import { type Eyes, openEyes } from './look.ts';
import { styleOf } from './render/style.ts';
import { JsonWatchReport } from './render/watch-json.ts';
import type { WatchReport } from './render/watch-report.ts';
import { TextWatchReport } from './render/watch-text.ts';
import { PodNames } from './watch-names.ts';
import { type Watched, watchFor } from './watching.ts';

/** `sandwarden watch controllers`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const typed = args.value('for');
  const forMs = typed === undefined ? undefined : readDuration(typed, '--for', limits.watchForMs);
  // V8 looks each 8 s whether a process that does nothing has garbage; a watch may do nothing for days.
  io.restartWith?.('--no-memory-reducer');
  const clock = systemClock();
  await using eyes = await openEyes(args, io.env);
  const report = reportOf(args, io);
  const names = new PodNames(listerOf(eyes), clock);
  const whyNoPods = await loadInTime(names, clock);
  const leftAt = new Map<string, Moment>();
  let hurt = false;
  const watched = await watchFor({
    clock,
    io,
    ...(forMs === undefined ? {} : { forMs }),
    onStart: (opened) => {
      report.start(opened);
      if (whyNoPods !== undefined) report.note(`The names of pods are not known: ${whyNoPods}.`);
    },
    onEvent: (event) => {
      hurt ||= hurts(event);
      report.event(event, awayOf(event, leftAt), event.kind === 'change' ? names.of(event.pods) : []);
    },
  });
  const exitCode = hurt || watched.missing.length > 0 || lost(watched) ? ExitCode.warnings : ExitCode.healthy;
  report.end({ watched, watchedNs: betweenNs(watched.changes.since, watched.changes.until), exitCode });
  return exitCode;
}

function reportOf(args: Args, io: Io): WatchReport {
  if (args.value('output') === 'json') return new JsonWatchReport(io.stdout);
  return new TextWatchReport(io.stdout, () => styleOf(io, args.flag('no-color')));
}

function hurts(event: WatchEvent): boolean {
  return event.kind === 'change' && event.change.went === 'gone' && event.pods.length > 0;
}

function lost({ changes }: Watched): boolean {
  return changes.overflows > 0;
}

/** How long a controller that comes back was away, where its loss was seen. */
function awayOf(event: WatchEvent, leftAt: Map<string, Moment>): bigint | undefined {
  if (event.kind === 'slice') {
    for (const key of leftAt.keys()) if (key.startsWith(`${event.path} `)) leftAt.delete(key);
  }
  if (event.kind !== 'change') return undefined;
  const { path, controller, went, at } = event.change;
  const key = `${path} ${controller}`;
  const left = leftAt.get(key);
  if (went === 'gone') leftAt.set(key, left ?? at);
  else leftAt.delete(key);
  return went === 'back' && left !== undefined ? betweenNs(left, at) : undefined;
}

function listerOf({ runtime }: Eyes) {
  return runtime === undefined ? undefined : async () => runtime.cri.listSandboxes();
}

/** A runtime that does not answer must not keep the watch from beginning: its names come later then. */
async function loadInTime(names: PodNames, clock: Clock): Promise<string | undefined> {
  const stop = new AbortController();
  const late = clock.sleep(limits.watchNamesWaitMs, stop.signal).then(
    () => 'the runtime has not answered yet',
    (error: unknown) => {
      if (!stop.signal.aborted) throw error;
      return undefined;
    },
  );
  try {
    return await Promise.race([names.load(), late]);
  } finally {
    stop.abort();
  }
}
