import type { Clock } from '../model/clock.ts';
import { isSandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { NamedPod } from './pod-name.ts';
import type { NamedOrNot } from './render/watch-json.ts';

/**
 * The names of pods by uid, as the runtime lists them. A uid that is not known is asked for in the background, seldom:
 * what is told of it meanwhile has the uid alone.
 */
export class PodNames {
  readonly #list: (() => Promise<readonly NamedPod[]>) | undefined;
  readonly #clock: Clock;
  readonly #names = new Map<string, NamedPod>();
  #asking = false;
  #askedNs: bigint | undefined;

  /** `list` is absent where no runtime was found. */
  constructor(list: (() => Promise<readonly NamedPod[]>) | undefined, clock: Clock) {
    this.#list = list;
    this.#clock = clock;
  }

  /** Asks the runtime; gives why it could not be asked, or undefined. */
  async load(): Promise<string | undefined> {
    if (this.#list === undefined) return 'no container runtime was found';
    this.#asking = true;
    this.#askedNs = this.#clock.uptimeNs();
    try {
      for (const { uid, namespace, name } of await this.#list()) this.#names.set(uid, { uid, namespace, name });
      return undefined;
    } catch (error) {
      if (!isSandwardenError(error)) throw error;
      return error.message;
    } finally {
      this.#asking = false;
    }
  }

  /** The pods with these uids, those with a name first. */
  of(uids: readonly string[]): NamedOrNot[] {
    const pods = uids.map((uid) => this.#names.get(uid) ?? { uid });
    if (pods.some((each) => !('name' in each))) this.#askAgain();
    return pods.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  }

  #askAgain(): void {
    const everyNs = BigInt(limits.watchNamesEveryMs) * 1_000_000n;
    const since = this.#askedNs === undefined ? everyNs : this.#clock.uptimeNs() - this.#askedNs;
    if (this.#asking || this.#list === undefined || since < everyNs) return;
    // What went wrong was told when it was asked first.
    this.load().catch((error: unknown) => {
      if (!isSandwardenError(error)) throw error;
    });
  }
}

function keyOf(pod: NamedOrNot): string {
  return pod.name === undefined ? `~${pod.uid}` : `${pod.namespace}/${pod.name}`;
}
