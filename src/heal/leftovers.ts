import { limits } from '../model/limits.ts';
import { isSameRuntime } from './actions/restart-runtime.ts';
import { within } from './deadline.ts';
import type { Entry, IntentEntry } from './entries.ts';
import type { Journal } from './journal.ts';
import type { Identity, Look, World } from './ports.ts';
import type { Resumed } from './progress.ts';

/** The intents of a journal that no outcome answers: a run that was killed left them. Pure. */
export function openIntents(entries: readonly Entry[]): IntentEntry[] {
  const answered = new Set(entries.flatMap((each) => (each.kind === 'outcome' ? [each.of] : [])));
  return entries.filter((each) => each.kind === 'intent').filter((each) => !answered.has(each.seq));
}

/**
 * Looks what became of the acts that an earlier run left open and writes down what it finds, so that nothing is
 * lost and nothing done twice. One that is found undone stays an attempt that failed: the plan says whether it is
 * done again. Throws what the reads and the journal throw; nothing was done then.
 */
export async function resolveLeftovers(
  journal: Journal,
  now: { world: World; look: Look; identity: Identity; bootId: string; signal: AbortSignal },
): Promise<Resumed[]> {
  const resolved: Resumed[] = [];
  for (const intent of openIntents(journal.entries)) {
    const found = await lookAfter(intent, now);
    const { kind, object } = intent.action;
    const result = found.found === 'done' ? 'done' : 'failed';
    await journal.append({ kind: 'outcome', of: intent.seq, result, why: found.why, tookMs: 0, found: true });
    resolved.push({ kind, object, ...found });
  }
  return resolved;
}

async function lookAfter(
  intent: IntentEntry,
  now: { world: World; look: Look; identity: Identity; bootId: string; signal: AbortSignal },
): Promise<Pick<Resumed, 'found' | 'why'>> {
  const { guard } = intent.action;
  const rebooted = intent.at.bootId !== now.bootId;
  switch (guard.kind) {
    case 'remove-sandbox': {
      const ms = 2 * limits.criReadTimeoutMs + limits.connectTimeoutMs;
      const doing = `reading the pod of ${intent.action.object}`;
      const deadline = { clock: now.world.clock, ms, doing, signal: now.signal };
      const { sandboxes } = await within(deadline, () => now.world.readPod(guard.podUid));
      const there = sandboxes.some((each) => each.id === guard.sandboxId);
      return there ? undone('it is still listed') : done('it is not listed any more');
    }
    case 'kill-cni': {
      if (rebooted) return done('the node was rebooted since');
      const { processes } = now.look.snapshot;
      if (!processes.known) return undone('nobody can say whether the process is still there');
      const there = processes.value.holders.some(
        (each) => each.pid === guard.pid && each.startedUptimeNs === guard.startedUptimeNs,
      );
      return there ? undone('the process is still there') : done('the process is not there any more');
    }
    case 'restart-runtime': {
      if (rebooted) return done('the node was rebooted since');
      if (intent.runtimePid === undefined || now.identity.runtimePid === undefined) {
        return undone('nobody can say whether the runtime was restarted');
      }
      return isSameRuntime(intent, now.identity)
        ? undone('the runtime is the same process as before')
        : done('the runtime was restarted since');
    }
  }
}

function done(why: string): Pick<Resumed, 'found' | 'why'> {
  return { found: 'done', why: `found done: ${why}` };
}

function undone(why: string): Pick<Resumed, 'found' | 'why'> {
  return { found: 'undone', why: `cut off by a crash: ${why}` };
}
