/**
 * Names and who holds them, in memory only: containerd's pkg/registrar (1.x), internal/registrar (2.x), registrar.go.
 */
export class Registrar {
  readonly #keyOfName = new Map<string, string>();
  readonly #nameOfKey = new Map<string, string>();

  /** Reserves `name` for `key`; for the same pair again it is no error. Throws with containerd's words. */
  reserve(name: string, key: string): void {
    const holder = this.#keyOfName.get(name);
    if (holder !== undefined && holder !== key) {
      throw new Error(`name ${JSON.stringify(name)} is reserved for ${JSON.stringify(holder)}`);
    }
    const held = this.#nameOfKey.get(key);
    if (held !== undefined && held !== name) {
      throw new Error(`key ${JSON.stringify(key)} is reserved for ${JSON.stringify(held)}`);
    }
    this.#keyOfName.set(name, key);
    this.#nameOfKey.set(key, name);
  }

  releaseByName(name: string): void {
    const key = this.#keyOfName.get(name);
    if (key === undefined) return;
    this.#keyOfName.delete(name);
    this.#nameOfKey.delete(key);
  }

  releaseByKey(key: string): void {
    const name = this.#nameOfKey.get(key);
    if (name !== undefined) this.releaseByName(name);
  }
}
