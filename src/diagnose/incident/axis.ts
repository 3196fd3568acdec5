import type { Timeline } from '../../model/incident.ts';
import type { Moment } from '../../model/records.ts';

/**
 * One axis through all boots: nanoseconds that never go back, whatever the wall clock did. Within a boot it is the
 * kernel's own count; a boot begins at its date, or at the end of the boot before where its clock was behind that.
 */
export class Axis {
  readonly #bases = new Map<string, bigint>();

  constructor({ boots }: Pick<Timeline, 'boots'>) {
    let endNs: bigint | undefined;
    for (const boot of boots) {
      const byDate = boot.first.wallNs - (boot.first.monotonicUs ?? 0n) * 1_000n;
      const base = endNs !== undefined && byDate < endNs ? endNs + 1n : byDate;
      this.#bases.set(boot.bootId, base);
      endNs = base + (boot.last.monotonicUs ?? 0n) * 1_000n;
    }
  }

  /** Where a moment lies; by its date where its boot is not known. */
  at(moment: Moment): bigint {
    const base = moment.bootId === undefined ? undefined : this.#bases.get(moment.bootId);
    return base === undefined ? moment.wallNs : base + (moment.monotonicUs ?? 0n) * 1_000n;
  }
}
