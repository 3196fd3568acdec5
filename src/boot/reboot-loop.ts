import { join } from 'node:path';
import { limits } from '../model/limits.ts';
import { readTail } from '../observe/read-file.ts';

/**
 * How many of the latest boots followed an unclean end within `limits.rebootLoopMs`, this one included. `text` is
 * early.sh's file. Dates are of clocks that may be wrong (a board without a battery always begins on the same day), so
 * how long the boots lived must fit too. Pure.
 */
export function uncleanBootsInARow(text: string): number {
  const boots = uncleanBoots(text);
  const last = boots.at(-1);
  if (last === undefined) return 0;
  const limit = limits.rebootLoopMs / 1_000;
  let [count, lived] = [0, 0];
  for (const boot of boots.toReversed()) {
    const distance = last.date - boot.date;
    if (distance < 0 || distance > limit || lived > limit) break;
    count++;
    lived += boot.lived;
  }
  return count;
}

interface UncleanBoot {
  /** Seconds of the wall clock, put right where it could be. */
  readonly date: number;
  /** How long the boot before it lived, seconds. */
  readonly lived: number;
}

/**
 * The unclean boots of early.sh's file, oldest first: a line is `<its date, s> <how long the boot before lived, s>
 * <boot id>`. A boot whose clock was put right has a second line, which counts. Pure.
 */
export function uncleanBoots(text: string): UncleanBoot[] {
  const boots: (UncleanBoot & { readonly id: string | undefined })[] = [];
  for (const line of text.split('\n')) {
    const [, date, lived, id] = /^(\d{1,12}) (\d{1,12})(?: ([\w-]{1,40}))?$/.exec(line) ?? [];
    if (date === undefined) continue;
    if (id !== undefined && boots.at(-1)?.id === id) boots.pop();
    boots.push({ date: Number(date), lived: Number(lived), id });
  }
  return boots;
}

/** Whether healing at boot may be a part of a loop of reboots, by the file in `stateDir`. */
export async function isRebootLoop(stateDir: string): Promise<boolean> {
  const tail = await readTail(join(stateDir, 'boots'), limits.journalEntryBytes);
  return uncleanBootsInARow(tail?.bytes.toString('utf8') ?? '') >= limits.rebootLoopBoots;
}
