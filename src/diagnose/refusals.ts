import type { Evidence } from '../model/finding.ts';
import { valueOr } from '../model/observed.ts';
import type { NameHeld } from '../model/records.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { times } from './words.ts';

/** The names that kubelet was refused: by its log, or by its events where the log could not be read. */
export function refusalsOf({ kubeletLog, refusals }: Snapshot): readonly NameHeld[] {
  if (kubeletLog.known) return kubeletLog.value.nameHeld;
  return refusals === undefined ? [] : valueOr(refusals, []);
}

/** A refusal as evidence, with where it was read. */
export function refusalEvidence({ kubeletLog }: Snapshot, error: NameHeld): Evidence {
  const source = kubeletLog.known ? 'kubeletLog' : 'refusals';
  return { source, text: `${error.text} (${times(error.count)})`, at: error.last };
}
