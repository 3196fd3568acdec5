import type { ExitCode } from '../../model/errors.ts';
import type { OpenedWatch } from '../../watch/controllers/open.ts';
import type { WatchEvent } from '../../watch/controllers/watch.ts';
import type { Watched } from '../watching.ts';
import type { NamedOrNot } from './watch-json.ts';

/** What is written of a watch, as it goes on. */
export interface WatchReport {
  start(opened: OpenedWatch): void;
  /** `awayNs`: of a controller that came back, how long it was away, where its loss was seen. */
  event(event: WatchEvent, awayNs: bigint | undefined, pods: readonly NamedOrNot[]): void;
  note(message: string): void;
  end(end: EndOfWatch): void;
}

export interface EndOfWatch {
  readonly watched: Watched;
  readonly watchedNs: bigint;
  readonly exitCode: ExitCode;
}
