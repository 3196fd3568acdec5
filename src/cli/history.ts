import { readFileSync } from 'node:fs';
import type { Entry } from '../heal/entries.ts';
import { readWhatIsWhole } from '../heal/journal.ts';
import { defaultStateDir, journalStore } from '../heal/state-dir.ts';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import { systemClock } from '../observe/clock.ts';
import type { Args } from './frame/command.ts';
import { dateNs, spanNs } from './frame/duration.ts';
import type { Io } from './frame/io.ts';
import { historyJson, historyText } from './render/history-text.ts';
import { styleOf } from './render/style.ts';

/** `sandwarden history`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const since = args.value('since');
  const isWanted = since === undefined ? () => true : sinceFilter(since, thisBoot());
  const store = journalStore(args.value('state-dir') ?? defaultStateDir);
  const { entries, torn, damage } = await readWhatIsWhole(store);
  // A run is shown whole or not at all: an outcome without its intent would say nothing.
  const runs = new Set(entries.filter(isWanted).map((each) => each.runId));
  const wanted = entries.filter((each) => runs.has(each.runId));
  const text =
    args.value('output') === 'json'
      ? historyJson(wanted, { path: store.path, torn, damage })
      : historyText(wanted, { style: styleOf(io, args.flag('no-color')), path: store.path, torn, damage });
  io.stdout.write(text);
  // What is damaged is said in the report; that heal will not go by it is what the exit code says.
  return damage.length === 0 ? ExitCode.healthy : ExitCode.healingIncomplete;
}

/** The boot and its clocks, to compare a journal entry with now. */
export interface Now {
  readonly bootId: string;
  readonly uptimeNs: bigint;
  readonly wallNs: bigint;
}

/**
 * What `--since` lets through. A duration is counted by the time since boot for entries of this boot, because the
 * wall clock may have been wrong; by the wall clock for others. A date is compared with the entry's own date.
 */
export function sinceFilter(typed: string, now: Now): (entry: Entry) => boolean {
  const duration = /^(\d{1,6})(s|m|min|h|d|w)$/.exec(typed);
  if (duration) {
    const mostNs = spanNs(duration[1] ?? '0', duration[2] ?? '');
    return ({ at }) => {
      const ago = at.bootId === now.bootId ? now.uptimeNs - at.uptimeNs : now.wallNs - at.wallNs;
      return ago <= mostNs;
    };
  }
  const sinceNs = dateNs(typed);
  if (sinceNs === undefined) {
    throw new SandwardenError('ERR_USAGE', `'${safeText(typed, 60)}' is no time for '--since'`, {
      hint: "Write a duration ('30m', '2h', '3d') or a date ('2026-11-21', '2026-11-21T17:49:00Z').",
    });
  }
  return ({ at }) => at.wallNs >= sinceNs;
}

function thisBoot(): Now {
  const clock = systemClock();
  return {
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    uptimeNs: clock.uptimeNs(),
    wallNs: clock.wallNs(),
  };
}
