/** Cuts a stream of bytes into lines of at most `maxBytes`; what a line has beyond that is dropped. Bounded memory. */
export class LineSplitter {
  readonly #maxBytes: number;
  readonly #onLine: (line: string) => void;
  #parts: Buffer[] = [];
  #size = 0;

  constructor(maxBytes: number, onLine: (line: string) => void) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      if (this.#size === 0 && end - start <= this.#maxBytes) {
        // Most lines lie in one chunk: they are decoded where they are.
        if (end > start) this.#onLine(chunk.toString('utf8', start, end));
      } else {
        this.#keep(chunk.subarray(start, end));
        this.end();
      }
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  /** The stream ended: what is left is the last line. */
  end(): void {
    if (this.#size > 0) this.#onLine(Buffer.concat(this.#parts).toString('utf8'));
    this.#parts = [];
    this.#size = 0;
  }

  #keep(part: Buffer): void {
    const room = this.#maxBytes - this.#size;
    if (part.length === 0 || room <= 0) return;
    const kept = part.subarray(0, room);
    // A copy: the stream's own buffer is larger and would stay with it.
    this.#parts.push(Buffer.from(kept));
    this.#size += kept.length;
  }
}
