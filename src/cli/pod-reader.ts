import type { CriReader } from '../cri/types.ts';
import type { Clock } from '../model/clock.ts';
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

/**
 * The sandboxes and containers of one pod, listed after it was asked: never an older listing. Who asks while a
 * listing is under way waits for the next one, and those who wait share it: hundreds of removals would else cost the
 * runtime two listings each, and it goes through all it has for every one of them. For the same reason a listing begins
 * `limits.listingGapMs` after the last one at the earliest.
 */
export function podReader(cri: CriReader, clock: Clock): (podUid: string) => Promise<PodRecords> {
  let waiting: Waiting[] = [];
  let isListing = false;
  let last: bigint | undefined;

  async function listForAll(): Promise<void> {
    isListing = true;
    while (waiting.length > 0) {
      // Those who ask in the same turn of the event loop are gathered first.
      await new Promise((resolve) => setImmediate(resolve));
      const sinceMs = last === undefined ? limits.listingGapMs : Number((clock.uptimeNs() - last) / 1_000_000n);
      if (sinceMs < limits.listingGapMs) await clock.sleep(limits.listingGapMs - sinceMs);
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
