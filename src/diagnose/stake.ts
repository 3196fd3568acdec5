import type { Pod } from '../model/node.ts';
import type { Container, Sandbox } from '../model/sandbox.ts';
import type { PodView } from './views.ts';

/** What would be lost with a sandbox. `nothing`: it may go. `perhaps`: only a person may decide. `yes`: it stays. */
export interface Stake {
  readonly lost: 'nothing' | 'perhaps' | 'yes';
  readonly why: string;
}

/**
 * What goes with `sandbox` when it and the sandboxes `leaving` (by id) are removed.
 *
 * docs/safety.md, rule 4: the container records of a sandbox go with it (containerd sandbox_remove.go), and with them
 * the logs of a finished pod and kubelet's memory that a container has run already.
 *
 * Without the API the policy can still be told from what kubelet does (kuberuntime_manager.go computePodActions):
 * it never asks for an attempt ≥ 1 for a `Never` pod that has container records, and an `OnFailure` container that
 * exited with another code than 0 is one that kubelet runs again by itself.
 */
export function stakeOf(sandbox: Sandbox, view: PodView, leaving: ReadonlySet<string>): Stake {
  const own = view.containers.filter((each) => each.sandboxId === sandbox.id);
  if (own.some((each) => each.state === 'running' || each.state === 'created')) {
    return { lost: 'yes', why: 'a container of it is running or about to' };
  }
  if (view.wanted.wants === 'no') return { lost: 'yes', why: view.wanted.because };
  if (own.length === 0) return { lost: 'nothing', why: 'it holds no container records' };
  if (view.wanted.wants === 'unknown') return { lost: 'yes', why: view.wanted.because };
  if (view.pod?.restartPolicy === 'Always') return { lost: 'nothing', why: 'its pod restarts always' };
  if (own.every((each) => isRecordedElsewhere(each, view, leaving))) {
    return { lost: 'nothing', why: 'newer records of the same containers stay' };
  }
  if (view.pod?.restartPolicy === 'Never') {
    return { lost: 'yes', why: 'its pod may not run twice (restartPolicy Never) and this is its only record' };
  }
  return ofPodThatMayRunAgain(own, view.pod, view);
}

function ofPodThatMayRunAgain(own: readonly Container[], pod: Pod | undefined, view: PodView): Stake {
  const asksAgain = view.errors.some((each) => each.kind === 'sandbox' && each.asked.attempt >= 1);
  if (pod === undefined && !asksAgain) {
    return { lost: 'perhaps', why: 'its restart policy is not known and this is its only record of its containers' };
  }
  if (own.some((each) => each.exit === undefined)) {
    return { lost: 'perhaps', why: 'how its containers ended is not known' };
  }
  if (own.some((each) => each.exit?.exitCode === 0)) {
    return { lost: 'perhaps', why: 'a container of it has finished; without this record it would run again' };
  }
  return { lost: 'nothing', why: 'none of its containers has finished, so kubelet runs them again anyway' };
}

/** Whether a sandbox of the pod that stays has a later run of the same container: kubelet then remembers that one. */
function isRecordedElsewhere(container: Container, view: PodView, leaving: ReadonlySet<string>): boolean {
  return view.containers.some(
    (each) =>
      each.sandboxId !== container.sandboxId &&
      !leaving.has(each.sandboxId) &&
      each.name === container.name &&
      (each.attempt > container.attempt || each.state === 'running'),
  );
}
