import type { KmsgDevice } from '../../src/observe/kernel/kmsg.ts';

/** The kernel's ring in memory: of a fixed number of records, the oldest are overwritten. */
export class KmsgRing {
  readonly #records: Buffer[] = [];
  readonly #size: number;
  #first = 0;
  #place = 0;
  closed = false;

  constructor(size: number) {
    this.#size = size;
  }

  /** Writes a record as the kernel does; `facility` 0 is the kernel itself. */
  write(text: string, monotonicUs: number, facility = 0): void {
    const sequence = this.#first + this.#records.length;
    this.#records.push(Buffer.from(`${facility * 8 + 3},${sequence},${monotonicUs},-;${text}\n SUBSYSTEM=x\n`));
    if (this.#records.length > this.#size) {
      this.#records.shift();
      this.#first++;
    }
  }

  device(): KmsgDevice {
    this.#place = this.#first;
    return {
      read: () => {
        if (this.#place < this.#first) {
          this.#place = this.#first;
          return 'overwritten';
        }
        const record = this.#records[this.#place - this.#first];
        if (!record) return 'empty';
        this.#place++;
        return record;
      },
      close: () => {
        this.closed = true;
      },
    };
  }
}
