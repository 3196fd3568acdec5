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
 * The values as D-Bus writes them, little-endian. Throws DBusFault where a value does not fit the signature: a number
 * out of its range is never cut.
 */
export function encode(signature: string, values: readonly DBusValue[]): Buffer {
  const types = parseSignature(signature);
  if (types.length !== values.length) {
    throw new DBusFault(`'${signature}' has ${types.length} values, not ${values.length}`);
  }
  const writer = new Writer();
  types.forEach((type, index) => {
    writer.value(type, values[index] as DBusValue, 0);
  });
  return writer.bytes();
}

/** Grows as it is written; positions count from its own start, which must lie at a multiple of 8 in the message. */
export class Writer {
  #buffer = Buffer.alloc(256);
  #length = 0;

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  align(to: number): void {
    const padding = (to - (this.#length % to)) % to;
    this.#room(padding);
    this.#length += padding;
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  value(type: DBusType, value: DBusValue, depth: number): void {
    if (depth > MOST_DEPTH) throw new DBusFault('a value is too deep');
    switch (type.code) {
      case 'a':
        this.#array(type.of, value, depth);
        break;
      case 'v':
        this.#variant(value, depth);
        break;
      case '(':
      case '{':
        this.#struct(type.parts, value, depth);
        break;
      case 's':
      case 'o':
        this.#string(type.code, value);
        break;
      case 'g':
        this.#signature(value);
        break;
      case 'b':
        if (typeof value !== 'boolean') throw mismatch('b', value);
        this.#number('u', value ? 1 : 0);
        break;
      default:
        this.#number(type.code, value);
    }
  }

  #number(code: 'y' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 'h', value: DBusValue): void {
    const size = code === 'y' ? 1 : alignmentOf({ code });
    this.align(size);
    this.#room(size);
    const at = this.#length;
    this.#length += size;
    if (code === 'x' || code === 't') {
      if (typeof value !== 'bigint') throw mismatch(code, value);
      const fits = code === 'x' ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
      if (fits !== value) throw mismatch(code, value);
      this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, value), at);
      return;
    }
    if (typeof value !== 'number') throw mismatch(code, value);
    if (code === 'd') {
      this.#buffer.writeDoubleLE(value, at);
      return;
    }
    const [least, most] = ranges[code];
    if (!Number.isInteger(value) || value < least || value > most) throw mismatch(code, value);
    if (least < 0) this.#buffer.writeIntLE(value, at, size);
    else this.#buffer.writeUIntLE(value, at, size);
  }

  #string(code: 's' | 'o', value: DBusValue): void {
    if (typeof value !== 'string' || value.includes('\0') || !value.isWellFormed()) throw mismatch(code, value);
    if (code === 'o' && !OBJECT_PATH.test(value)) throw mismatch(code, value);
    const bytes = Buffer.from(value);
    this.#number('u', bytes.length);
    this.raw(bytes);
    this.raw(NUL);
  }

  #signature(value: DBusValue): void {
    if (typeof value !== 'string') throw mismatch('g', value);
    parseSignature(value);
    const bytes = Buffer.from(value, 'latin1');
    this.#number('y', bytes.length);
    this.raw(bytes);
    this.raw(NUL);
  }

  #variant(value: DBusValue, depth: number): void {
    if (typeof value !== 'object' || !('signature' in value)) throw mismatch('v', value);
    const type = parseOneType(value.signature);
    this.#signature(value.signature);
    this.value(type, value.value, depth + 1);
  }

  #struct(parts: readonly DBusType[], value: DBusValue, depth: number): void {
    if (!Array.isArray(value) || value.length !== parts.length) throw mismatch('(', value);
    this.align(8);
    parts.forEach((part, index) => {
      this.value(part, (value as readonly DBusValue[])[index] as DBusValue, depth + 1);
    });
  }

  #array(of: DBusType, value: DBusValue, depth: number): void {
    this.align(4);
    const at = this.#length;
    this.raw(Buffer.alloc(4));
    // The padding before the first element does not count as its length.
    this.align(alignmentOf(of));
    const start = this.#length;
    if (of.code === 'y' && value instanceof Uint8Array) this.raw(value);
    else if (Array.isArray(value)) for (const each of value as readonly DBusValue[]) this.value(of, each, depth + 1);
    else throw mismatch('a', value);
    this.#buffer.writeUInt32LE(this.#length - start, at);
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = Buffer.alloc(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

const NUL = Buffer.from([0]);
const OBJECT_PATH = /^\/(?:[A-Za-z0-9_]+(?:\/[A-Za-z0-9_]+)*)?$/;
const ranges = {
  y: [0, 0xff],
  n: [-0x8000, 0x7fff],
  q: [0, 0xffff],
  i: [-0x8000_0000, 0x7fff_ffff],
  u: [0, 0xffff_ffff],
  h: [0, 0xffff_ffff],
} as const;

function mismatch(code: string, value: DBusValue): DBusFault {
  return new DBusFault(`a value of type ${typeof value} does not fit '${code}'`);
}
