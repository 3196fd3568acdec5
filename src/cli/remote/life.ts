import type { KubeClient, KubeReader } from '../../kube/client.ts';
import { isSandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import { at, listOf, member, textOf } from '../../observe/json.ts';
import { type Progress, progressOf } from './progress.ts';

export type Life = Progress | { readonly kind: 'gone' };

export interface PodPlace {
  /** The path of the pods of its namespace. */
  readonly collection: string;
  readonly name: string;
  readonly uid: string;
}

/** A pod of ours, watched from its making to its removal, which is part of its disposal. */
export class PodLife implements AsyncDisposable {
  readonly path: string;
  readonly #client: KubeClient;
  readonly #place: PodPlace;
  readonly #ending = new AbortController();
  readonly #watching: Promise<void>;
  #now: Life = { kind: 'waiting', why: '' };
  #failure: { readonly error: unknown } | undefined;
  #removal: Promise<void> | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(client: KubeClient, place: PodPlace) {
    this.#client = client;
    this.#place = place;
    this.path = `${place.collection}/${place.name}`;
    this.#watching = this.#watch();
  }

  get now(): Life {
    return this.#now;
  }

  /** Aborted when the pod is abandoned or disposed of. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /**
   * The first state for which `holds`, or `gone`; after `limitMs` whatever it is then. Throws what ended the watch
   * (ERR_FORBIDDEN and the like).
   */
  async until(holds: (life: Life) => boolean, limitMs?: number): Promise<Life> {
    const late = Promise.withResolvers<'late'>();
    const timer = limitMs === undefined ? undefined : setTimeout(() => late.resolve('late'), limitMs);
    try {
      for (;;) {
        if (this.#failure) throw this.#failure.error;
        if (this.#now.kind === 'gone' || holds(this.#now)) return this.#now;
        if ((await Promise.race([this.#changed.promise, late.promise])) === 'late') return this.#now;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Why the node made no sandbox for it, by its events; undefined where they do not tell or may not be read. */
  async refusal(client: KubeReader, signal: AbortSignal): Promise<string | undefined> {
    const query = new URLSearchParams({ fieldSelector: `involvedObject.name=${this.#place.name}`, limit: '50' });
    const path = this.#place.collection.replace(/\/pods$/, `/events?${query}`);
    try {
      const events = listOf(member(await client.get(path, signal), 'items'));
      const refused = events.findLast((each) => member(each, 'reason') === 'FailedCreatePodSandBox');
      const message = textOf(member(refused, 'message'), 2_000);
      return message === undefined ? undefined : safeText(message);
    } catch (error) {
      if (!isSandwardenError(error, 'ERR_FORBIDDEN')) throw error;
      return undefined;
    }
  }

  /** Deletes the pod, once: kubelet sends SIGTERM to what runs in it. */
  remove(): Promise<void> {
    this.#removal ??= this.#client
      .delete(this.path, { preconditions: { uid: this.#place.uid } })
      .catch((error: unknown) => {
        if (!isSandwardenError(error, 'ERR_KUBE_NOT_FOUND', 'ERR_KUBE_CONFLICT')) throw error;
      });
    return this.#removal;
  }

  /** Waits for it no longer. */
  abandon(): void {
    this.#tell({ kind: 'gone' });
    this.#ending.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#watching;
    await this.remove();
  }

  async #watch(): Promise<void> {
    const { collection, name, uid } = this.#place;
    const itemsOf = (page: unknown) =>
      listOf(member(page, 'items')).filter((pod) => at(pod, 'metadata', 'uid') === uid);
    const query = { fieldSelector: `metadata.name=${name}` };
    try {
      const options = { kind: 'PodList', itemsOf, query, signal: this.#ending.signal };
      for await (const change of this.#client.watch(collection, options)) {
        if (change.type === 'listed')
          this.#tell(change.items[0] === undefined ? { kind: 'gone' } : progressOf(change.items[0]));
        // The last thing that is told of a pod that ended is how it ended.
        else if (change.type === 'deleted') this.#tell(this.#now.kind === 'ended' ? this.#now : lastOf(change.item));
        else if (change.type !== 'interrupted') this.#tell(progressOf(change.item));
      }
    } catch (error) {
      this.#failure = { error };
      this.#changed.resolve();
    }
  }

  #tell(life: Life): void {
    this.#now = life;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

function lastOf(pod: unknown): Life {
  const progress = progressOf(pod);
  return progress.kind === 'ended' || progress.kind === 'broken' ? progress : { kind: 'gone' };
}
