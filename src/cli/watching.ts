import type { Clock } from '../model/clock.ts';
import type { ControllerChanges } from '../model/controller-changes.ts';
import { limits } from '../model/limits.ts';
import type { Observed } from '../model/observed.ts';
import { kubeletCgroupRoot } from '../observe/cgroup/kubelet-root.ts';
import { systemClock } from '../observe/clock.ts';
import { observed } from '../observe/unknown.ts';
import { type Kernel, type OpenedWatch, watchControllers } from '../watch/controllers/open.ts';
import type { MissingControllers, WatchEvent } from '../watch/controllers/watch.ts';
import { systemWatchFs } from '../watch/controllers/watch-fs.ts';
import type { Args } from './frame/command.ts';
import { readDuration } from './frame/duration.ts';
import type { Io } from './frame/io.ts';
import { formatMs } from './render/time.ts';

/** Why a watch ended: its time was over, Ctrl-C, or nobody reads its output any more. */
export type WatchEnd = 'time' | 'interrupted' | 'reader-gone';

export interface Watched {
  readonly end: WatchEnd;
  readonly changes: ControllerChanges;
  /** The slices with pods in them that lack something at the end. */
  readonly missing: readonly MissingControllers[];
}

export interface WatchFor {
  readonly clock: Clock;
  readonly io: Io;
  /** Absent: until Ctrl-C. */
  readonly forMs?: number;
  readonly onStart?: (opened: OpenedWatch) => void;
  readonly onEvent?: (event: WatchEvent) => void;
  /** A prefix of every path, and another kernel, for tests. */
  readonly root?: string;
  readonly kernel?: Kernel;
}

/** Watches until the time is over, Ctrl-C, or the reader of stdout has gone. Throws what the watch throws. */
export async function watchFor(what: WatchFor): Promise<Watched> {
  const { clock, io, forMs, onStart, onEvent = () => {}, root, kernel } = what;
  const ended = Promise.withResolvers<WatchEnd>();
  const cgroupRoot = await kubeletCgroupRoot(root);
  const opened = watchControllers({
    clock,
    onEvent,
    onError: ended.reject,
    fs: systemWatchFs(root),
    ...(cgroupRoot === undefined ? {} : { cgroupRoot }),
    ...(kernel === undefined ? {} : { kernel }),
  });
  const stop = new AbortController();
  const restore = io.onInterrupt(() => ended.resolve('interrupted'));
  io.stdout.whenGone?.(() => ended.resolve('reader-gone'));
  try {
    onStart?.(opened);
    const time = forMs === undefined ? undefined : clock.sleep(forMs, stop.signal).then(() => 'time' as const);
    // A time that was not over is given up at the end, which is no failure.
    time?.catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });
    const end = await (time === undefined ? ended.promise : Promise.race([time, ended.promise]));
    return { end, changes: opened.watch.result(), missing: opened.watch.missing() };
  } finally {
    stop.abort();
    restore();
    await opened.watch.close();
  }
}

/** `--watch DURATION` of a command that looks at the node: what was seen before the look; undefined without it. */
export async function watchFirst(args: Args, io: Io): Promise<Observed<ControllerChanges> | undefined> {
  const typed = args.value('watch');
  if (typed === undefined || args.value('snapshot') !== undefined) return undefined;
  const forMs = readDuration(typed, '--watch', limits.watchForMs);
  io.stderr.write(`watching the slices for ${formatMs(forMs)}, then looking; Ctrl-C looks at once\n`);
  return observed(async () => (await watchFor({ clock: systemClock(), io, forMs })).changes);
}
