import { randomUUID } from 'node:crypto';
import type { HealState } from '../heal/state-dir.ts';
import type { Clock } from '../model/clock.ts';
import { isSandwardenError, type SandwardenError } from '../model/errors.ts';

/**
 * Writes a note into our journal, under its lock. A boot goes on without it: gives the error that kept it from being
 * written (a read-only root, a full disk), for stderr and the record.
 */
export async function writeNote(
  openState: () => Promise<HealState>,
  clock: Clock,
  text: string,
): Promise<SandwardenError | undefined> {
  try {
    const state = await openState();
    const lock = await state.lock(clock.wallNs());
    try {
      const journal = await state.openJournal(randomUUID(), clock);
      try {
        await journal.append({ kind: 'note', text });
      } finally {
        await journal.close();
      }
    } finally {
      await lock.release();
    }
    return undefined;
  } catch (error) {
    if (isSandwardenError(error)) return error;
    throw error;
  }
}
