import { describeFight, fightsOf } from '../../diagnose/controller-fight.ts';
import { limits } from '../../model/limits.ts';
import type { Moment } from '../../model/records.ts';
import { version } from '../../model/version.ts';
import type { OpenedWatch } from '../../watch/controllers/open.ts';
import type { WatchEvent } from '../../watch/controllers/watch.ts';
import type { Output } from '../frame/io.ts';
import type { NamedPod } from '../pod-name.ts';
import { jsonLine } from './json.ts';
import type { EndOfWatch, WatchReport } from './watch-report.ts';

/** One object on each line: `start`, then `change`, `slice`, `overflow`, then `end` with what it comes to. */
export class JsonWatchReport implements WatchReport {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  start({ watch, whyNoNames }: OpenedWatch): void {
    this.#write('start', {
      format: 'sandwarden.watch/1',
      takenBy: version,
      at: watch.result().since,
      by: watch.by,
      ...(whyNoNames === undefined ? {} : { whyNoNames }),
      ...(watch.whyLate === undefined ? {} : { whyLate: watch.whyLate }),
      required: watch.required,
      slices: watch.slices().map(({ path, handsDown }) => ({ path, handsDown: handsDown ?? null })),
    });
  }

  event(event: WatchEvent, awayNs: bigint | undefined, pods: readonly NamedOrNot[]): void {
    if (event.kind !== 'change') {
      const { kind, ...rest } = event;
      this.#write(kind, rest);
      return;
    }
    const { at, path, controller, went, writers, after } = event.change;
    this.#write('change', {
      at,
      slice: path,
      controller,
      went,
      writers,
      ...(after === undefined ? {} : { after }),
      ...(awayNs === undefined ? {} : { awayNs }),
      pods,
      ...(went === 'gone' && pods.length > 0 ? { kubeletLooksWithinMs: limits.podResyncMs } : {}),
    });
  }

  note(message: string): void {
    this.#write('note', { message });
  }

  end({ watched, watchedNs, exitCode }: EndOfWatch): void {
    const { changes, missing, end } = watched;
    const fights = fightsOf(changes);
    this.#write('end', {
      at: changes.until,
      reason: end,
      exitCode,
      watchedNs,
      changes: changes.changes?.length ?? 0,
      overflows: changes.overflows,
      truncated: changes.truncated,
      fights: fights.map(({ path, ...rest }) => ({ slice: path, ...rest })),
      missing: missing.map(({ path, ...rest }) => ({ slice: path, ...rest })),
      writers: changes.writers.map(({ path, ...rest }) => ({ slice: path, ...rest })),
      summary: fights.map((fight) => describeFight(fight, watchedNs)),
    });
  }

  #write(type: string, { at, ...rest }: { readonly at?: Moment } & Record<string, unknown>): void {
    this.#output.write(jsonLine({ type, ...(at === undefined ? {} : { time: isoTime(at), at }), ...rest }));
  }
}

/** A pod of a slice: its name only where the runtime knows it. */
export type NamedOrNot = Partial<NamedPod> & Pick<NamedPod, 'uid'>;

/** `2026-11-21T20:04:28.055Z`, by the wall clock of that moment; a date that no calendar holds is left out. */
function isoTime({ wallNs }: Moment): string | undefined {
  const ms = wallNs / 1_000_000n;
  return ms > 8_640_000_000_000_000n || ms < -8_640_000_000_000_000n ? undefined : new Date(Number(ms)).toISOString();
}
