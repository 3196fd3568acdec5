import type { Clock } from '../model/clock.ts';
import type { CniCall, CniMode } from './rig.ts';

/** The scripted plugin, as libcni and go-cni call it, with their words for its failures. */
export class CniPlugin {
  readonly calls: CniCall[] = [];
  add: CniMode = 'ok';
  del: CniMode = 'ok';
  #held: (() => void)[] = [];

  /**
   * Runs the plugin. Resolves with undefined, or with the words of its failure. `deadline` is the call's context:
   * at its end the plugin is killed (exec.CommandContext), but a grandchild that holds its stdout keeps the call.
   */
  async run(
    call: CniCall,
    deadline: AbortSignal,
    life: AbortSignal,
    work: { clock: Clock; ms: number },
  ): Promise<string | undefined> {
    this.calls.push(call);
    const mode = call.command === 'ADD' ? this.add : call.command === 'DEL' ? this.del : 'ok';
    const verb = call.command === 'DEL' ? 'delete' : call.command.toLowerCase();
    const failed = (words: string) => `plugin type="scripted" failed (${verb}): ${words}`;
    switch (mode) {
      case 'ok':
        if (work.ms > 0) await work.clock.sleep(work.ms, life);
        return undefined;
      case 'fail':
        return failed('scripted failure');
      case 'hang':
        await ended(deadline, life);
        break;
      case 'hold':
        await Promise.race([
          new Promise<void>((resolve) => {
            this.#held.push(resolve);
          }),
          died(life),
        ]);
        break;
    }
    return failed('netplugin failed with no error message: signal: killed');
  }

  releaseHeld(): void {
    for (const release of this.#held.splice(0)) release();
  }
}

/** Resolves at the deadline; rejects when the process dies first. */
async function ended(deadline: AbortSignal, life: AbortSignal): Promise<void> {
  life.throwIfAborted();
  if (deadline.aborted) return;
  const done = new AbortController();
  try {
    await new Promise<void>((resolve, reject) => {
      deadline.addEventListener('abort', () => resolve(), { once: true, signal: done.signal });
      life.addEventListener('abort', () => reject(life.reason), { once: true, signal: done.signal });
    });
  } finally {
    done.abort();
  }
}

function died(life: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (life.aborted) reject(life.reason);
    else life.addEventListener('abort', () => reject(life.reason), { once: true });
  });
}
