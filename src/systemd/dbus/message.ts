import { limits } from '../../model/limits.ts';
import { decode, Reader } from './decode.ts';
import { encode, Writer } from './encode.ts';
import { DBusFault, type DBusValue, parseOneType, type Variant } from './types.ts';

/** A message without its framing. Source: D-Bus specification, "Message Format". */
export interface Message {
  readonly type: 'call' | 'return' | 'error' | 'signal';
  readonly serial: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  /** Written by the bus, which nobody can forge. */
  readonly sender?: string;
  readonly signature?: string;
  readonly body?: readonly DBusValue[];
  /** Who sends it waits for no answer. */
  readonly noReply?: boolean;
}

const types = ['call', 'return', 'error', 'signal'] as const;
const fields = [
  ['path', 1, 'o'],
  ['interface', 2, 's'],
  ['member', 3, 's'],
  ['errorName', 4, 's'],
  ['replySerial', 5, 'u'],
  ['destination', 6, 's'],
  ['sender', 7, 's'],
  ['signature', 8, 'g'],
] as const;
const fieldArray = parseOneType('a(yv)');
const FIXED = 16;

/** A message as it goes over the wire. Throws DBusFault where its body does not fit its signature. */
export function encodeMessage(message: Message): Buffer {
  const { signature = '', body = [] } = message;
  const payload = encode(signature, body);
  const header = new Writer();
  const flags = message.noReply ? 1 : 0;
  header.raw(Buffer.from([LITTLE, types.indexOf(message.type) + 1, flags, 1]));
  header.value({ code: 'u' }, payload.length, 0);
  header.value({ code: 'u' }, message.serial, 0);
  const given = fields.flatMap(([name, code, type]): DBusValue[] => {
    const value = message[name];
    return value === undefined || value === '' ? [] : [[code, { signature: type, value }]];
  });
  header.value(fieldArray, given, 0);
  header.align(8);
  return Buffer.concat([header.bytes(), payload]);
}

/** Cuts a stream into messages. */
export class MessageSplitter {
  #rest: Buffer = Buffer.alloc(0);

  /** The messages that are whole now. Throws DBusFault; the stream cannot be used after that. */
  push(chunk: Buffer): Message[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Message[] = [];
    for (;;) {
      const length = lengthOf(this.#rest);
      if (length === undefined || this.#rest.length < length) return messages;
      const message = decodeMessage(this.#rest.subarray(0, length));
      if (message !== undefined) messages.push(message);
      this.#rest = this.#rest.subarray(length);
    }
  }
}

/** The length of the message that begins here; undefined while too little of it is there. */
function lengthOf(buffer: Buffer): number | undefined {
  if (buffer.length < FIXED) return undefined;
  const little = isLittle(buffer);
  const body = little ? buffer.readUInt32LE(4) : buffer.readUInt32BE(4);
  const header = little ? buffer.readUInt32LE(12) : buffer.readUInt32BE(12);
  if (buffer[3] !== 1) throw new DBusFault(`the protocol's version is ${buffer[3]}, not 1`);
  if (header > MOST_HEADER || body > limits.dbusMessageBytes) throw new DBusFault('a message is too long');
  return FIXED + Math.ceil(header / 8) * 8 + body;
}

/** undefined for a type that a later version of the protocol may bring: those are ignored. */
function decodeMessage(buffer: Buffer): Message | undefined {
  const little = isLittle(buffer);
  const type = types[(buffer[1] ?? 0) - 1];
  const bodyLength = little ? buffer.readUInt32LE(4) : buffer.readUInt32BE(4);
  const serial = little ? buffer.readUInt32LE(8) : buffer.readUInt32BE(8);
  if (type === undefined) return undefined;
  // The array of fields begins at byte 12, so it is read with the 12 bytes before it in their place.
  const reader = new Reader(buffer.subarray(8, buffer.length - bodyLength), little);
  reader.value({ code: 'u' }, 0);
  const given = new Map<DBusValue | undefined, Variant>();
  for (const each of reader.value(fieldArray, 0) as readonly (readonly [number, Variant])[])
    given.set(each[0], each[1]);
  const named: Record<string, DBusValue> = {};
  for (const [name, code, expected] of fields) {
    const variant = given.get(code);
    if (variant === undefined) continue;
    if (variant.signature !== expected) throw new DBusFault(`the header's ${name} is a '${variant.signature}'`);
    named[name] = variant.value;
  }
  const signature = typeof named.signature === 'string' ? named.signature : '';
  const body = decode(signature, buffer.subarray(buffer.length - bodyLength), little);
  const noReply = ((buffer[2] ?? 0) & 1) === 1;
  return { type, serial, ...named, body, ...(noReply ? { noReply } : {}) } as Message;
}

// D-Bus specification: "the maximum length of an array is 2^26"; the fields of a header need a few hundred bytes.
const MOST_HEADER = 64 * 1024;
const LITTLE = 0x6c;
const BIG = 0x42;

function isLittle(buffer: Buffer): boolean {
  if (buffer[0] === LITTLE) return true;
  if (buffer[0] === BIG) return false;
  throw new DBusFault('a message begins with neither l nor B');
}
