import { StringDecoder } from 'node:string_decoder';

/**
 * The text of a pod's log out of streams with timestamps, each of which begins with the log's newest file: each byte
 * once. As long as it is the same file its lines are counted; after kubelet has rotated it they are told by their
 * timestamps. A timestamp stands before a line, not before its parts. Source: kubelet kuberuntime/logs/logs.go,
 * logWriter.write, timeFormatOut.
 */
export class LogText {
  readonly #write: (text: string) => void;
  readonly #onLost: () => void;
  readonly #decoder = new StringDecoder('utf8');
  /** The last line that was begun: its timestamp, how many lines before it had the same, its bytes so far. */
  #last: { readonly at: string; readonly nth: number; bytes: number } | undefined;
  /** The file's first timestamp, and how many of its lines are known. */
  #file = { first: '', lines: 0 };
  /** Lines of this stream; those of them with the last line's timestamp; whether the last line has been met in it. */
  #lines = 0;
  #same = 0;
  #isCaughtUp = true;
  /** Bytes of the line in hand that are passed over; undefined while its timestamp is read. */
  #skip: number | undefined;
  #stamp: Buffer[] = [];
  #written = 0;

  /** `onLost`: kubelet has rotated away what had been read, and perhaps more. */
  constructor(write: (text: string) => void, onLost: () => void) {
    this.#write = write;
    this.#onLost = onLost;
  }

  /** Bytes that were written, without the timestamps. */
  get written(): number {
    return this.#written;
  }

  add(chunk: Buffer): void {
    for (let from = 0; from < chunk.length; ) {
      const end = chunk.indexOf(NEWLINE, from);
      const to = end === -1 ? chunk.length : end + 1;
      this.#take(chunk.subarray(from, to), end !== -1);
      from = to;
    }
  }

  /** The stream is over; the next one begins with the file again, or with another one. */
  breakOff(): void {
    // A file in which the last line has not been met is not known yet.
    if (!this.#isCaughtUp) this.#file = { first: '', lines: 0 };
    [this.#lines, this.#same, this.#skip, this.#stamp] = [0, 0, undefined, []];
  }

  end(): void {
    this.#write(this.#decoder.end());
  }

  #take(part: Buffer, endsLine: boolean): void {
    let text = part;
    if (this.#skip === undefined) {
      const space = part.indexOf(SPACE);
      if (space === -1 && !endsLine) return void this.#stamp.push(part);
      this.#skip = this.#begin(Buffer.concat([...this.#stamp, part.subarray(0, space)]).toString('latin1'));
      this.#stamp = [];
      text = part.subarray(space + 1);
    }
    const fresh = text.subarray(Math.min(this.#skip, text.length));
    this.#skip -= text.length - fresh.length;
    if (fresh.length > 0) this.#put(fresh);
    if (endsLine) this.#skip = undefined;
  }

  /** A line begins: how many of its bytes were written already. */
  #begin(at: string): number {
    const line = this.#lines++;
    const last = this.#last;
    if (line === 0 && at !== this.#file.first) {
      this.#file = { first: at, lines: 0 };
      this.#isCaughtUp = last === undefined;
    }
    const file = this.#file;
    const isKnown = line < file.lines;
    file.lines = Math.max(file.lines, line + 1);
    if (isKnown && this.#isCaughtUp && last !== undefined) return line === file.lines - 1 ? last.bytes : WHOLE;
    if (!this.#isCaughtUp && last !== undefined) {
      if (at === last.at && this.#same++ < last.nth) return WHOLE;
      if (at !== last.at && isBefore(at, last.at)) return WHOLE;
      this.#isCaughtUp = true;
      if (at === last.at) return last.bytes;
      if (line === 0) this.#onLost();
    }
    this.#last = { at, nth: last?.at === at ? last.nth + 1 : 0, bytes: 0 };
    return 0;
  }

  #put(bytes: Buffer): void {
    this.#written += bytes.length;
    if (this.#last !== undefined) this.#last.bytes += bytes.length;
    this.#write(this.#decoder.write(bytes));
  }
}

const [NEWLINE, SPACE, WHOLE] = [10, 32, Number.POSITIVE_INFINITY];

/** Two timestamps with nine digits, each in its own zone (RFC 3339). */
function isBefore(a: string, b: string): boolean {
  const [first, second] = [a, b].map((each) => Date.parse(each));
  if (first === undefined || second === undefined || first === second) return fraction(a) < fraction(b);
  return first < second;
}

function fraction(at: string): string {
  return /\.\d+/.exec(at)?.[0] ?? '';
}
