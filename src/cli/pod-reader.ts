import type { CriReader } from '../cri/types.ts';
import { type Clock, pause } from '../model/clock.ts';
import { limits } from '../model/limits.ts';
import type { Container, Sandbox } from '../model/sandbox.ts';

export interface PodRecords {
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
}

interface Waiting {
  readonly podUid: string;
  resolve(records: PodRecords): void;
  reject(error: unknown): void;
}

/** Acts that the runtime is busy with. */
export class ActsUnderWay {
  #count = 0;
  #waiting: (() => void)[] = [];

  async during<T>(act: () => Promise<T>): Promise<T> {
    this.#count++;
    try {
      return await act();
    } finally {
      this.#count--;
      if (this.#count === 0) for (const each of this.#waiting.splice(0)) each();
    }
  }

  /** Resolves when there is none. */
  async none(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/**
 * The sandboxes and containers of one pod, listed after it was asked: never an older listing. Who asks while a
 * listing is under way waits for the next one, and those who wait share it: hundreds of removals would else cost the
 * runtime two listings each, and it goes through all it has for every one of them. For the same reason a listing begins
 * `limits.listingGapMs` after the last one at the earliest, while the runtime has something else to do.
 */
export function podReader(
  cri: CriReader,
  clock: Clock,
  acts = new ActsUnderWay(),
): (podUid: string) => Promise<PodRecords> {
  let waiting: Waiting[] = [];
  let isListing = false;
  let last: bigint | undefined;

  async function listForAll(): Promise<void> {
    isListing = true;
    while (waiting.length > 0) {
      const sinceMs = last === undefined ? limits.listingGapMs : Number((clock.uptimeNs() - last) / 1_000_000n);
      if (sinceMs < limits.listingGapMs) await untilNone(acts, clock, limits.listingGapMs - sinceMs);
      // Those who ask in the same turn of the event loop are gathered.
      await new Promise((resolve) => setImmediate(resolve));
      last = clock.uptimeNs();
      const asked = waiting;
      waiting = [];
      await answer(cri, asked);
    }
    isListing = false;
  }

  return (podUid) =>
    new Promise((resolve, reject) => {
      waiting.push({ podUid, resolve, reject });
      if (!isListing) void listForAll();
    });
}

/** Waits until no act is under way, and no longer than `ms`. */
async function untilNone(acts: ActsUnderWay, clock: Clock, ms: number): Promise<void> {
  const waited = new AbortController();
  await Promise.race([acts.none(), pause(clock, ms, waited.signal)]);
  waited.abort();
}

/** Answers each of them; never throws. One pod is asked for by its uid, several are picked from a whole listing. */
async function answer(cri: CriReader, asked: readonly Waiting[]): Promise<void> {
  const [only] = asked;
  const filter =
    only !== undefined && asked.every(({ podUid }) => podUid === only.podUid) ? { podUid: only.podUid } : {};
  try {
    const [sandboxes, containers] = await Promise.all([cri.listSandboxes(filter), cri.listContainers(filter)]);
    const sandboxesOf = Map.groupBy(sandboxes, (each) => each.uid);
    const containersOf = Map.groupBy(containers, (each) => each.podUid);
    for (const { podUid, resolve } of asked) {
      resolve({ sandboxes: sandboxesOf.get(podUid) ?? [], containers: containersOf.get(podUid) ?? [] });
    }
  } catch (error) {
    for (const { reject } of asked) reject(error);
  }
}
