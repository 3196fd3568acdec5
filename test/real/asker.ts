import { setTimeout as sleep } from 'node:timers/promises';
import type { RealNode } from '../../lab/real-node.ts';
import type { SandboxSpec } from '../../src/cri/types.ts';
import { klogTo } from '../../src/embedded/klog.ts';
import { CallFailed, RuntimeService } from '../../src/embedded/runtime-service.ts';
import { until } from './node.ts';

/** Asks for one sandbox again and again, and writes what it is told into kubelet's log in kubelet's words. */
export interface Asker extends AsyncDisposable {
  /** How often it was refused. */
  readonly refused: number;
  /** The id once it was accepted. */
  readonly accepted: string | undefined;
}

/** Asks each half second until it is accepted or disposed of. */
export function startAsker(node: RealNode, spec: SandboxSpec): Asker {
  const life = new AbortController();
  const state: { refused: number; accepted: string | undefined } = { refused: 0, accepted: undefined };
  const ask = async () => {
    while (!life.signal.aborted && state.accepted === undefined) {
      state.accepted = await askOnce(node, spec);
      if (state.accepted !== undefined) return;
      state.refused += 1;
      await sleep(500, undefined, { signal: life.signal }).catch(ignoreAbort);
    }
  };
  const done = ask();
  return {
    get refused() {
      return state.refused;
    },
    get accepted() {
      return state.accepted;
    },
    async [Symbol.asyncDispose]() {
      life.abort();
      await done;
    },
  };
}

/** Asks once; gives the id, or undefined where it was refused. The log has its lines as of `agoMs` ago. */
export async function askOnce(node: RealNode, spec: SandboxSpec, agoMs = 0): Promise<string | undefined> {
  const cri = node.kubeletCri();
  const klog = klogTo(node.clock, 1, (line) => node.logOfKubelet(line, agoMs));
  try {
    return await new RuntimeService(cri, new AbortController().signal, klog).runSandbox(spec);
  } catch (error) {
    if (error instanceof CallFailed) return undefined;
    throw error;
  } finally {
    cri.close();
  }
}

/** Until it has been refused often enough that kubelet's own retries are told from one accident. */
export async function untilRefusedTwice(asker: Asker): Promise<void> {
  const before = asker.refused;
  await until('it is refused', () => asker.refused >= before + 2, 30);
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
}
