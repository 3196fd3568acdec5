import type { KubeReader } from '../../kube/client.ts';
import { isSandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Output } from '../frame/io.ts';
import type { PodLife } from './life.ts';
import { LogText } from './log-text.ts';

/**
 * Writes a pod's log as it comes, until the pod has ended and all of it is written. A stream that breaks off (kubelet
 * restarts, a load balancer loses patience) is taken up where it was: the log is asked for again from its beginning,
 * and what was written is passed over. kubelet gives a log's newest file only: what it rotated away meanwhile cannot
 * be had, and `onLost` is told that lines may be missing.
 */
export async function followLog(
  client: KubeReader,
  path: string,
  output: Pick<Output, 'write'>,
  { life, onLost }: { readonly life: PodLife; readonly onLost: () => void },
): Promise<void> {
  const text = new LogText((piece) => output.write(piece), onLost);
  for (let tries = 0; ; tries++) {
    const before = text.written;
    const startedMs = performance.now();
    let isWhole = false;
    try {
      const followed = client.stream(`${path}&follow=true&timestamps=true`, life.signal);
      for await (const chunk of followed) text.add(chunk);
      isWhole = true;
    } catch (error) {
      // The pod is gone, and its log with it.
      if (isSandwardenError(error, 'ERR_KUBE_NOT_FOUND')) break;
      const isPassing = isSandwardenError(error, 'ERR_KUBE_UNREACHABLE', 'ERR_KUBE_FAILED', 'ERR_KUBE_BUSY');
      if (tries >= limits.nodeLogTries || !isPassing) throw error;
    }
    text.breakOff();
    // Whoever ended the pod's life needs no more of its log, and the watch that would tell of its end is over.
    if (life.signal.aborted) break;
    if (text.written > before || performance.now() - startedMs > limits.nodeLogAgainMostMs) tries = 0;
    // kubelet ends a log that is followed when the program has ended; its pod is told of within a second. Where it
    // ends it all the same, again and again, it is asked less and less.
    const againMs = Math.min(limits.nodeLogAgainMs * 2 ** Math.min(tries, 10), limits.nodeLogAgainMostMs);
    await life.until(({ kind }) => kind !== 'running', againMs);
    if (life.now.kind === 'gone' || (isWhole && life.now.kind !== 'running')) break;
  }
  text.end();
}
