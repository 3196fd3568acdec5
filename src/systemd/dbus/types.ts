import { limits } from '../../model/limits.ts';

/**
 * Values as D-Bus carries them. 64-bit integers are bigint, arrays of bytes are Uint8Array, a struct is an array, and a
 * dictionary an array of pairs: it may hold a key twice, and the order is the sender's.
 */
export type DBusValue = number | bigint | boolean | string | Uint8Array | Variant | readonly DBusValue[];

/** A value that brings its own type. */
export interface Variant {
  readonly signature: string;
  readonly value: DBusValue;
}

/** A complete type of a signature, parsed. */
export type DBusType =
  | { readonly code: BasicCode | 'v' }
  | { readonly code: 'a'; readonly of: DBusType }
  | { readonly code: '(' | '{'; readonly parts: readonly DBusType[] };

const basicCodes = 'ybnqiuxtdsogh';
export type BasicCode = 'y' | 'b' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 's' | 'o' | 'g' | 'h';

/** What breaks the protocol: on the wire, or in a value that does not fit its signature. */
export class DBusFault extends Error {
  override readonly name = 'DBusFault';
}

/**
 * The complete types of a signature. Source: D-Bus specification, "Type system".
 * Throws DBusFault for what is none, is too long, or too deep.
 */
export function parseSignature(signature: string): DBusType[] {
  if (signature.length > limits.dbusSignatureLength) throw new DBusFault('a signature is too long');
  const known = parsed.get(signature);
  if (known !== undefined) return known;
  const reader = { signature, at: 0 };
  const types: DBusType[] = [];
  while (reader.at < signature.length) types.push(readType(reader, 0));
  // The few that systemd uses come again and again; a hostile service must not fill the memory with others.
  if (parsed.size < MOST_KEPT) parsed.set(signature, types);
  return types;
}

/** The one type of a variant's signature. Throws as parseSignature, and where there is none or more than one. */
export function parseOneType(signature: string): DBusType {
  const [type, ...more] = parseSignature(signature);
  if (type === undefined || more.length > 0) throw new DBusFault(`'${signature}' is not one complete type`);
  return type;
}

/** Where a value of a type begins: at a multiple of this. */
export function alignmentOf({ code }: DBusType): number {
  switch (code) {
    case 'y':
    case 'g':
    case 'v':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'x':
    case 't':
    case 'd':
    case '(':
    case '{':
      return 8;
    default:
      return 4;
  }
}

/** `a` and `(` may be this deep, each (D-Bus specification). */
export const MOST_DEPTH = 64;

const MOST_KEPT = 200;
const parsed = new Map<string, DBusType[]>();

function readType(reader: { readonly signature: string; at: number }, depth: number): DBusType {
  if (depth > MOST_DEPTH) throw new DBusFault('a signature is too deep');
  const code = reader.signature[reader.at++];
  if (code !== undefined && isBasic(code)) return { code };
  if (code === 'v') return { code };
  if (code === 'a') {
    if (reader.signature[reader.at] !== '{') return { code, of: readType(reader, depth + 1) };
    reader.at++;
    const key = readType(reader, depth + 1);
    const value = readType(reader, depth + 1);
    if (!isBasic(key.code)) throw new DBusFault(`'${reader.signature}': the key of a dictionary is not basic`);
    expectCode(reader, '}');
    return { code, of: { code: '{', parts: [key, value] } };
  }
  if (code !== '(') throw new DBusFault(`'${reader.signature}' is no signature`);
  const parts: DBusType[] = [];
  while (reader.signature[reader.at] !== ')') parts.push(readType(reader, depth + 1));
  expectCode(reader, ')');
  if (parts.length === 0) throw new DBusFault(`'${reader.signature}': an empty struct`);
  return { code, parts };
}

function expectCode(reader: { readonly signature: string; at: number }, code: string): void {
  if (reader.signature[reader.at++] !== code) throw new DBusFault(`'${reader.signature}' is no signature`);
}

function isBasic(code: string): code is BasicCode {
  return code.length === 1 && basicCodes.includes(code);
}
