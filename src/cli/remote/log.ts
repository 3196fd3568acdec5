import { StringDecoder } from 'node:string_decoder';
import type { KubeReader } from '../../kube/client.ts';
import { isSandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Output } from '../frame/io.ts';
import type { PodLife } from './life.ts';

/**
 * Writes a pod's log as it comes, until the pod has ended and all of it is written. A stream that breaks off (kubelet
 * restarts, a load balancer loses patience) is taken up where it was: the log is asked for again from its beginning,
 * and what was written is passed over.
 */
export async function followLog(
  client: KubeReader,
  path: string,
  output: Pick<Output, 'write'>,
  life: PodLife,
): Promise<void> {
  const text = new StringDecoder('utf8');
  let written = 0;
  for (let tries = 0; ; tries++) {
    const before = written;
    let isWhole = false;
    try {
      let passed = 0;
      for await (const chunk of client.stream(`${path}&follow=true`, life.signal)) {
        const fresh = chunk.subarray(Math.min(Math.max(written - passed, 0), chunk.length));
        passed += chunk.length;
        written += fresh.length;
        if (fresh.length > 0) output.write(text.write(fresh));
      }
      isWhole = true;
    } catch (error) {
      // The pod is gone, and its log with it.
      if (isSandwardenError(error, 'ERR_KUBE_NOT_FOUND')) break;
      const isPassing = isSandwardenError(error, 'ERR_KUBE_UNREACHABLE', 'ERR_KUBE_FAILED', 'ERR_KUBE_BUSY');
      if (tries >= limits.nodeLogTries || !isPassing) throw error;
    }
    if (written > before) tries = 0;
    // kubelet ends a log that is followed when the program has ended; its pod is told of within a second.
    await life.until(({ kind }) => kind !== 'running', limits.nodeLogAgainMs);
    if (life.now.kind === 'gone' || (isWhole && life.now.kind !== 'running')) break;
  }
  output.write(text.end());
}
