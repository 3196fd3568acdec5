import { limits } from '../../model/limits.ts';
import {
  alignmentOf,
  DBusFault,
  type DBusType,
  type DBusValue,
  MOST_DEPTH,
  parseOneType,
  parseSignature,
} from './types.ts';

/**
 * The values that a body holds. Everything in it is the sender's: lengths, texts and depths are checked.
 * Throws DBusFault for what breaks the specification.
 */
export function decode(signature: string, body: Buffer, littleEndian = true): DBusValue[] {
  const reader = new Reader(body, littleEndian);
  const values = parseSignature(signature).map((type) => reader.value(type, 0));
  if (!reader.atEnd) throw new DBusFault('a body is longer than its signature says');
  return values;
}

/** Reads from a buffer that starts at a multiple of 8 of the message. */
export class Reader {
  readonly #buffer: Buffer;
  readonly #little: boolean;
  #at = 0;

  constructor(buffer: Buffer, littleEndian: boolean) {
    this.#buffer = buffer;
    this.#little = littleEndian;
  }

  get atEnd(): boolean {
    return this.#at === this.#buffer.length;
  }

  value(type: DBusType, depth: number): DBusValue {
    if (depth > MOST_DEPTH) throw new DBusFault('a value is too deep');
    switch (type.code) {
      case 'a':
        return this.#array(type.of, depth);
      case 'v': {
        const signature = this.#signature();
        return { signature, value: this.value(parseOneType(signature), depth + 1) };
      }
      case '(':
      case '{':
        this.align(8);
        return type.parts.map((part) => this.value(part, depth + 1));
      case 's':
      case 'o':
        return this.#string();
      case 'g':
        return this.#signature();
      case 'b':
        return this.#boolean();
      default:
        return this.#number(type.code);
    }
  }

  align(to: number): void {
    for (const end = Math.ceil(this.#at / to) * to; this.#at < end; this.#at++) {
      if (this.#at >= this.#buffer.length) throw cutOff();
      if (this.#buffer[this.#at] !== 0) throw new DBusFault('padding is not zero');
    }
  }

  #number(code: 'y' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 'h'): number | bigint {
    const size = code === 'y' ? 1 : alignmentOf({ code });
    this.align(size);
    const bytes = this.#take(size);
    const view = new DataView(bytes.buffer, bytes.byteOffset, size);
    switch (code) {
      case 'y':
        return view.getUint8(0);
      case 'n':
        return view.getInt16(0, this.#little);
      case 'q':
        return view.getUint16(0, this.#little);
      case 'i':
        return view.getInt32(0, this.#little);
      case 'x':
        return view.getBigInt64(0, this.#little);
      case 't':
        return view.getBigUint64(0, this.#little);
      case 'd':
        return view.getFloat64(0, this.#little);
      default:
        return view.getUint32(0, this.#little);
    }
  }

  #boolean(): boolean {
    const number = this.#number('u');
    if (number !== 0 && number !== 1) throw new DBusFault('a boolean is neither 0 nor 1');
    return number === 1;
  }

  #string(): string {
    return this.#text(Number(this.#number('u')), utf8);
  }

  #signature(): string {
    return this.#text(Number(this.#number('y')), latin1);
  }

  #text(length: number, decoder: InstanceType<typeof TextDecoder>): string {
    const bytes = this.#take(length);
    if (this.#take(1)[0] !== 0) throw new DBusFault('a text does not end with NUL');
    try {
      return decoder.decode(bytes);
    } catch (error) {
      if (error instanceof TypeError) throw new DBusFault('a text is no UTF-8', { cause: error });
      throw error;
    }
  }

  #array(of: DBusType, depth: number): DBusValue {
    const length = Number(this.#number('u'));
    if (length > limits.dbusMessageBytes) throw new DBusFault('an array is too long');
    this.align(alignmentOf(of));
    const end = this.#at + length;
    if (end > this.#buffer.length) throw cutOff();
    if (of.code === 'y') return Uint8Array.from(this.#take(length));
    const values: DBusValue[] = [];
    while (this.#at < end) values.push(this.value(of, depth + 1));
    if (this.#at !== end) throw new DBusFault('an array does not end where it says');
    return values;
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#buffer.length) throw cutOff();
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const latin1 = new TextDecoder('latin1');

function cutOff(): DBusFault {
  return new DBusFault('a message ends in the middle of a value');
}
