import type { Cure } from './cure.ts';
import type { ListedSandbox, PodView, Views } from './views.ts';

/** A NotReady sandbox that blocks nothing, and why it stays. */
export interface Kept {
  readonly view: PodView;
  readonly sandbox: ListedSandbox;
  /** For counting: the same words for the same reason. */
  readonly reason: string;
}

/** The NotReady sandboxes that no cure names, each with why it is left alone. Ordered by pod and attempt. */
export function findKept(views: Views, cures: readonly Cure[]): Kept[] {
  const blocking = new Set(cures.flatMap((cure) => cure.ghosts.map((ghost) => ghost.sandbox.id)));
  return [...views.pods.values()]
    .flatMap((view) =>
      view.sandboxes
        .filter((each) => !each.ready && !blocking.has(each.id))
        .map((sandbox) => ({ view, sandbox, reason: reasonOf(sandbox, view) })),
    )
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

function reasonOf(sandbox: ListedSandbox, view: PodView): string {
  if (view.wanted.wants === 'no') return view.wanted.because;
  const newer = view.sandboxes.find((each) => each.ready && each.attempt > sandbox.attempt);
  if (newer) return 'leftover of a pod that runs; kubelet removes it when it holds no containers any more';
  if (view.wanted.wants === 'unknown') return 'last record of a pod that may have finished, its logs live here';
  return 'newest sandbox of a pod that kubelet is about to run again';
}

function keyOf(kept: Kept): string {
  return `${kept.view.namespace}/${kept.view.name}/${kept.view.uid}/${String(kept.sandbox.attempt).padStart(10, '0')}`;
}
