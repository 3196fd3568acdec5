import { setTimeout as sleep } from 'node:timers/promises';
import type { CriReader, CriVersion } from '../cri/types.ts';
import { limits } from '../model/limits.ts';
import type { Observed } from '../model/observed.ts';
import type { ContainerEvents } from '../model/records.ts';
import { Fold } from './fold.ts';
import { observed } from './unknown.ts';

/**
 * Whether one more listener takes nothing from the others. containerd gives each event to all of them from 2.0 on
 * (containerd pull request 9661, internal/eventq), and keeps those of the last five minutes for the first one where
 * nobody listens. In 1.7 and in CRI-O all share one channel: kubelet with EventedPLEG would miss what we get.
 */
export function tellsAll({ runtimeName, runtimeVersion }: CriVersion): boolean {
  return runtimeName === 'containerd' && /^v?(?:[2-9]|\d\d+)\./.test(runtimeVersion);
}

/**
 * The creations among the events that the runtime has kept, and among those that come until `isOver`; undefined where
 * nobody should ask. It gives the runtime a moment to begin, and ends when nothing more comes.
 */
export async function readContainerEvents(
  cri: Pick<CriReader, 'events'>,
  version: Promise<Observed<CriVersion>>,
  isOver: Promise<unknown>,
): Promise<Observed<ContainerEvents> | undefined> {
  const answer = await version;
  if (!answer.known || !tellsAll(answer.value)) return undefined;
  const stop = new AbortController();
  const found = new Fold<{ sandboxId: string; container: string; attempt: number }>();
  const begun = performance.now();
  let [seen, last] = [0, begun];
  const reading = observed(async () => {
    for await (const { type, atNs, container: of } of cri.events(stop.signal)) {
      last = performance.now();
      seen += 1;
      if (type === 'created' && of !== undefined) {
        const { sandboxId, name: container, attempt } = of;
        found.add(`${sandboxId} ${container}`, { wallNs: atNs }, { sandboxId, container, attempt }, (_, next) => next);
      }
      if (seen >= limits.containerEvents) break;
    }
    return { creations: found.list() };
  });
  const enough = async () => {
    await isOver;
    const wait = () => (seen === 0 ? begun + limits.eventsBeginMs : last + limits.eventsQuietMs) - performance.now();
    for (let ms = wait(); ms > 0; ms = wait()) await sleep(ms);
  };
  await Promise.race([reading, enough()]);
  stop.abort();
  return reading;
}
