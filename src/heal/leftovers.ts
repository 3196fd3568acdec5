import { limits } from '../model/limits.ts';
import type { FilesGuard } from '../model/plan.ts';
import { isSameRuntime } from './actions/restart-runtime.ts';
import { within } from './deadline.ts';
import type { Entry, IntentEntry } from './entries.ts';
import { finishFiles } from './file-set.ts';
import type { Journal } from './journal.ts';
import type { Backups } from './node-changes.ts';
import type { Identity, Look, World } from './ports.ts';
import type { Resumed } from './progress.ts';
import { storageLeftover } from './storage-leftovers.ts';

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
export async function resolveLeftovers(journal: Journal, now: Now): Promise<Resumed[]> {
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

interface Now {
  readonly world: World;
  readonly look: Look;
  readonly identity: Identity;
  readonly bootId: string;
  readonly signal: AbortSignal;
  readonly backups: Backups;
}

async function lookAfter(intent: IntentEntry, now: Now): Promise<Pick<Resumed, 'found' | 'why'>> {
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
    case 'restart-kubelet': {
      if (rebooted) return done('the node was rebooted since');
      if (intent.kubeletPid === undefined || now.identity.kubeletPid === undefined) {
        return undone('nobody can say whether kubelet was restarted');
      }
      return intent.kubeletPid === now.identity.kubeletPid
        ? undone('kubelet is the same process as before')
        : done('kubelet was restarted since');
    }
    case 'write-config':
    case 'order-unit':
    case 'restore-files':
      return await endFiles(guard, now);
    case 'unlink-socket':
    case 'delete-pod':
    case 'delete-attachment':
      return await storageLeftover(guard, now.world, now.signal);
    case 'hold-slice':
    case 'release-slice': {
      if (rebooted) return done('the node was rebooted since, and an anchor of this kind lasts until then');
      const { changes, clock } = now.world;
      if (changes === undefined) return undone('nobody can say whether it is held');
      const deadline = { clock, ms: limits.filesTimeoutMs, doing: `looking at ${guard.slice}`, signal: now.signal };
      const isHeld = await within(deadline, () => changes.isHeld(guard.slice));
      const why = isHeld ? 'it is held' : 'it is not held';
      return isHeld === (guard.kind === 'hold-slice') ? done(why) : undone(why);
    }
    case 'set-allowed-cpus': {
      if (rebooted) return done('the node was rebooted since, and it lasts until then');
      const { changes, clock } = now.world;
      if (changes === undefined) return undone('nobody can say whether it was set');
      const doing = `asking systemd for ${guard.unit}`;
      const deadline = { clock, ms: limits.filesTimeoutMs, doing, signal: now.signal };
      const value = await within(deadline, () => changes.readProperty(guard.unit, 'AllowedCPUs'));
      return value === guard.after ? done('it is set') : undone('it is not set');
    }
  }
}

/** Files that were cut off between the first and the last: finished where all are good, else put back. */
async function endFiles(guard: FilesGuard, { world, backups, signal }: Now): Promise<Pick<Resumed, 'found' | 'why'>> {
  const { changes, clock } = world;
  if (changes === undefined) return undone('nobody can say whether it was written');
  const doing = `ending the change of ${guard.files.map((each) => each.path).join(', ')}`;
  const deadline = { clock, ms: limits.filesTimeoutMs, doing, signal };
  const end = await within(deadline, () => finishFiles(guard, { changes, backups }));
  return end.done ? done(end.why) : undone(end.why);
}

function done(why: string): Pick<Resumed, 'found' | 'why'> {
  return { found: 'done', why: `found done: ${why}` };
}

function undone(why: string): Pick<Resumed, 'found' | 'why'> {
  return { found: 'undone', why: `cut off by a crash: ${why}` };
}
