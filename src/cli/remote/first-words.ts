import type { Output } from '../frame/io.ts';

/**
 * Output whose first line is held back while it may be chroot(1) telling that there is no such program: that is for
 * who decides what is run next, not for who reads what the program writes. All else is passed on as it comes.
 */
export class FirstWords {
  readonly #output: Pick<Output, 'write'>;
  #held: string | undefined = '';

  constructor(output: Pick<Output, 'write'>) {
    this.#output = output;
  }

  /** What is held back, without its line end; it is not passed on then. */
  take(): string {
    const held = this.#held ?? '';
    this.#held = undefined;
    return held.trimEnd();
  }

  write(text: string): void {
    if (this.#held === undefined) {
      this.#output.write(text);
      return;
    }
    this.#held += text;
    const isOpen = !this.#held.includes('\n') && this.#held.length < LONGEST;
    if (!isOpen && !/^(?:\S{0,200}\/)?chroot: .*\n?$/.test(this.#held)) this.release();
  }

  release(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined && held !== '') this.#output.write(held);
  }
}

/** A path has 4,096 bytes at most. */
const LONGEST = 5_000;
