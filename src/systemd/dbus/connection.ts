import type { Message } from './message.ts';
import type { DBusValue } from './types.ts';
import { openWire, type Wire, WireFault } from './wire.ts';

/** A method of an object; without `interface` the object decides. */
export interface Call {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly DBusValue[];
}

/** The answer of a call, and who gave it: the bus writes the sender, which nobody can forge. */
export interface Answer {
  readonly body: readonly DBusValue[];
  readonly sender: string;
}

/** What the other side answered in place of a result. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError';
  /** `org.freedesktop.systemd1.NoSuchUnit`. */
  readonly errorName: string;

  constructor(errorName: string, message: string) {
    super(message);
    this.errorName = errorName;
  }
}

/** No answer within the time; the call may still be carried out. */
export class CallTimeout extends Error {
  override readonly name = 'CallTimeout';
}

/**
 * A client of D-Bus of our own. Eight methods and one signal are needed; the library that is kept up (dbus-native)
 * would add a third to the size of the program, most of it an XML parser for introspection, and its CommonJS does not
 * load from a bundle of ES modules. test/systemd/codec.test.ts has sd-bus judge what is written and read here.
 */
export interface BusConnection {
  /** What the bus calls this connection: `:1.42`. */
  readonly name: string;
  /** Throws RemoteError, CallTimeout, WireFault; DBusFault where the body does not fit its signature. */
  call(call: Call, timeoutMs: number): Promise<Answer>;
  /** Calls `handler` for each signal that the matches of this connection let through; gives what ends that. */
  onSignal(handler: (signal: Message) => void): () => void;
  /** Calls `handler` when the connection is lost; gives what ends that. */
  onLost(handler: (fault: WireFault) => void): () => void;
  close(): void;
}

export const BUS: Pick<Call, 'destination' | 'path' | 'interface'> = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
};

/** Connects to the bus at `path`. Throws WireFault, and what the call of Hello throws. */
export async function connectBus(path: string, timeoutMs: number): Promise<BusConnection> {
  const connection = new Connection();
  await connection.open(path, timeoutMs);
  try {
    const { body } = await connection.call({ ...BUS, member: 'Hello' }, timeoutMs);
    connection.name = String(body[0]);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

interface Pending {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

class Connection implements BusConnection {
  name = '';
  #wire: Wire | undefined;
  #fault: WireFault | undefined;
  #serial = 0;
  readonly #pending = new Map<number, Pending>();
  readonly #handlers = new Set<(signal: Message) => void>();
  readonly #losers = new Set<(fault: WireFault) => void>();

  async open(path: string, timeoutMs: number): Promise<void> {
    const ends = {
      onMessage: (message: Message) => this.#take(message),
      onEnd: (fault: WireFault) => this.#end(fault),
    };
    this.#wire = await openWire(path, ends, timeoutMs);
  }

  call(call: Call, timeoutMs: number): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    if (this.#wire === undefined || this.#fault !== undefined) {
      reject(this.#fault ?? new WireFault('closed'));
      return promise;
    }
    this.#serial = this.#serial === 0xffff_ffff ? 1 : this.#serial + 1;
    const serial = this.#serial;
    const timer = setTimeout(() => {
      settle();
      reject(new CallTimeout(`no answer to ${call.member} within ${timeoutMs / 1_000} s`));
    }, timeoutMs);
    const settle = () => {
      clearTimeout(timer);
      this.#pending.delete(serial);
    };
    this.#pending.set(serial, {
      resolve: (answer) => {
        settle();
        resolve(answer);
      },
      reject: (error) => {
        settle();
        reject(error);
      },
    });
    try {
      this.#wire.send({ type: 'call', serial, ...call });
    } catch (error) {
      settle();
      throw error;
    }
    return promise;
  }

  onSignal(handler: (signal: Message) => void): () => void {
    this.#handlers.add(handler);
    return () => void this.#handlers.delete(handler);
  }

  onLost(handler: (fault: WireFault) => void): () => void {
    this.#losers.add(handler);
    return () => void this.#losers.delete(handler);
  }

  close(): void {
    this.#wire?.close();
  }

  #take(message: Message): void {
    const { type, body = [], sender = '' } = message;
    if (type === 'signal') {
      for (const handler of [...this.#handlers]) handler(message);
      return;
    }
    const pending = this.#pending.get(message.replySerial ?? 0);
    // An answer that comes after its deadline, or a call to us: nobody here serves anything.
    if (pending === undefined || type === 'call') return;
    if (type === 'return') pending.resolve({ body, sender });
    else pending.reject(new RemoteError(message.errorName ?? '', typeof body[0] === 'string' ? body[0] : ''));
  }

  #end(fault: WireFault): void {
    this.#fault = fault;
    for (const pending of [...this.#pending.values()]) pending.reject(fault);
    for (const loser of [...this.#losers]) loser(fault);
  }
}
