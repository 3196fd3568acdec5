import { join } from 'node:path';
import { limits } from '../model/limits.ts';
import { readTail } from '../observe/read-file.ts';

/**
 * How many of the latest boots followed an unclean end within `limits.rebootLoopMs`, this one included. `text` is
 * early.sh's file: one line for each unclean boot, `<its date, s> <how long the boot before lived, s>`. Dates are of
 * clocks that may be wrong (a board without a battery always begins on the same day), so both must fit. Pure.
 */
export function uncleanBootsInARow(text: string): number {
  const boots = text.split('\n').flatMap((line) => {
    const [, date, lived] = /^(\d{1,12}) (\d{1,12})$/.exec(line) ?? [];
    return date === undefined ? [] : [{ date: Number(date), lived: Number(lived) }];
  });
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

/** Whether healing at boot may be a part of a loop of reboots, by the file in `stateDir`. */
export async function isRebootLoop(stateDir: string): Promise<boolean> {
  const tail = await readTail(join(stateDir, 'boots'), limits.journalEntryBytes);
  return uncleanBootsInARow(tail?.bytes.toString('utf8') ?? '') >= limits.rebootLoopBoots;
}
