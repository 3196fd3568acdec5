import { createConnection, type Socket } from 'node:net';
import { encodeMessage, type Message, MessageSplitter } from './message.ts';
import { DBusFault } from './types.ts';

/** Why there is no connection, or none any more. */
export class WireFault extends Error {
  override readonly name = 'WireFault';
  /** errno of connect(2), or what else went wrong. */
  readonly kind: string;

  constructor(kind: 'silent' | 'rejected' | 'lost' | 'broken' | 'closed' | `E${string}`, cause?: unknown) {
    super(kind, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

/** Messages over a socket that is authenticated. */
export interface Wire {
  send(message: Message): void;
  close(): void;
}

export interface WireEnds {
  onMessage(message: Message): void;
  /** Once, with why it ended; nothing comes after it. */
  onEnd(fault: WireFault): void;
}

/**
 * Connects to a bus and proves who this process is by its uid (SASL EXTERNAL: the bus asks the kernel whether that is
 * true). Throws WireFault.
 */
export function openWire(path: string, ends: WireEnds, timeoutMs: number): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    let state: 'greeting' | 'open' | 'ended' = 'greeting';
    const end = (fault: WireFault) => {
      const before = state;
      state = 'ended';
      clearTimeout(timer);
      socket.destroy();
      if (before === 'greeting') reject(fault);
      if (before === 'open') ends.onEnd(fault);
    };
    const timer = setTimeout(() => end(new WireFault('silent')), timeoutMs);
    const splitter = new MessageSplitter();
    const greeting = new Greeting();
    const take = (chunk: Buffer) => {
      const rest = state === 'greeting' ? greeting.push(chunk) : chunk;
      if (rest === undefined) return;
      if (state === 'greeting') {
        clearTimeout(timer);
        state = 'open';
        socket.write('BEGIN\r\n');
        resolve({ send: (message) => sendOver(socket, message), close: () => end(new WireFault('closed')) });
      }
      // A handler may close the wire: what came after that is nobody's.
      for (const message of splitter.push(rest)) if (state === 'open') ends.onMessage(message);
    };
    socket.on('connect', () => socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(uid())).toString('hex')}\r\n`));
    socket.on('error', (error: NodeJS.ErrnoException) => end(new WireFault(errnoOf(error), error)));
    socket.on('close', () => end(new WireFault(state === 'greeting' ? 'broken' : 'lost')));
    socket.on('data', (chunk: Buffer) => {
      try {
        take(chunk);
      } catch (error) {
        if (error instanceof WireFault) end(error);
        else if (error instanceof DBusFault) end(new WireFault('broken', error));
        else throw error;
      }
    });
  });
}

/** What the bus says before the first message. */
class Greeting {
  #said = '';

  /** What follows the greeting; undefined while it is not complete. Throws WireFault where the bus refuses. */
  push(chunk: Buffer): Buffer | undefined {
    this.#said += chunk.toString('latin1');
    const end = this.#said.indexOf('\r\n');
    if (end === -1) {
      if (this.#said.length > MOST_GREETING) throw new WireFault('broken');
      return undefined;
    }
    const line = this.#said.slice(0, end);
    if (/^REJECTED\b/.test(line)) throw new WireFault('rejected');
    if (!/^OK [0-9a-f]{32}$/.test(line)) throw new WireFault('broken');
    return Buffer.from(this.#said.slice(end + 2), 'latin1');
  }
}

const MOST_GREETING = 4_096;

function sendOver(socket: Socket, message: Message): void {
  socket.write(encodeMessage(message));
}

function uid(): number {
  return process.geteuid?.() ?? 0;
}

function errnoOf({ code }: NodeJS.ErrnoException): `E${string}` | 'lost' {
  return code?.startsWith('E') ? (code as `E${string}`) : 'lost';
}
