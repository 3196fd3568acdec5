/** What a process that is killed does not come to any more: nothing it waits for ever answers. */
export class Life {
  #isOver = false;

  end(): void {
    this.#isOver = true;
  }

  /** `target` as this process has it: of its functions, what they do after the end of it never comes back. */
  of<T extends object>(target: T, inner: readonly string[] = []): T {
    return new Proxy(target, {
      get: (_, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (inner.includes(String(name)) && typeof value === 'object' && value !== null) return this.of(value);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => this.#answer(() => Reflect.apply(value, target, args));
      },
      set: (_, name, value) => Reflect.set(target, name, value, target),
    });
  }

  #answer(call: () => unknown): unknown {
    if (this.#isOver) return never();
    const answer = call();
    if (!(answer instanceof Promise)) return answer;
    const whileAlive = (go: () => unknown) => (this.#isOver ? never() : go());
    return answer.then(
      (value: unknown) => whileAlive(() => (isFile(value) ? this.of(value) : value)),
      (error: unknown) => whileAlive(() => Promise.reject(error)),
    );
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** The journal's file, which its store opens. */
function isFile(value: unknown): value is object {
  return typeof value === 'object' && value !== null && 'truncate' in value;
}
