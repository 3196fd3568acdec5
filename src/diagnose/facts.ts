import type { Snapshot } from '../model/snapshot.ts';

/** A snapshot with the indexes and the replayed kubelet decisions that more than one rule needs. */
export interface Facts {
  readonly snapshot: Snapshot;
}
