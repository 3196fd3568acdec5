import type { Snapshot } from '../model/snapshot.ts';
import type { DriverView } from './csi-facts.ts';
import { driversOf } from './csi-facts.ts';
import type { Cure } from './cure.ts';
import { findCures } from './cure.ts';
import type { Kept } from './kept.ts';
import { findKept } from './kept.ts';
import type { Views } from './views.ts';
import { buildViews } from './views.ts';

/**
 * What the rules and the plan look at: the pods as views, the blocked ones with their cure, the rest with why it stays.
 */
export interface Facts extends Views {
  /** The CSI drivers of this node. */
  readonly drivers: readonly DriverView[];
  readonly cures: readonly Cure[];
  readonly kept: readonly Kept[];
}

/** Builds the facts of a snapshot. Pure; the same for any order of the snapshot's lists. */
export function buildFacts(snapshot: Snapshot): Facts {
  const views = buildViews(snapshot);
  const cures = findCures(views);
  return { ...views, drivers: driversOf(snapshot), cures, kept: findKept(views, cures) };
}
