import type { Message } from '../../src/systemd/dbus/message.ts';
import type { DBusValue } from '../../src/systemd/dbus/types.ts';
import { openWire, type Wire } from '../../src/systemd/dbus/wire.ts';

/** What a method answers: a body by its signature, an error by its name, or nothing at all. */
export type Reply =
  | { readonly signature: string; readonly body: readonly DBusValue[] }
  | { readonly error: string; readonly says: string }
  | undefined;

/** A service on a bus. It speaks through the same codec as the client; busctl is the judge of both. */
export interface BusService extends AsyncDisposable {
  /** Every call that came, in order. */
  readonly calls: readonly Message[];
  /** Sends a signal to all who asked for it, or to one connection. */
  signal(of: Pick<Message, 'path' | 'interface' | 'member' | 'signature' | 'body' | 'destination'>): void;
  /** Resolves when the bus has taken all that was sent. */
  flush(): Promise<void>;
  close(): void;
}

/** Serves `name`; `answer` gets each call, and may answer later. */
export async function busService(
  socket: string,
  name: string | undefined,
  answer: (call: Message, service: BusService) => Reply | Promise<Reply>,
): Promise<BusService> {
  const calls: Message[] = [];
  const waiting = new Map<number, (answer: Message) => void>();
  let serial = 0;
  const wire: Wire = await openWire(
    socket,
    {
      onMessage: (message) => {
        if (message.type === 'call') void serve(message);
        else waiting.get(message.replySerial ?? 0)?.(message);
      },
      onEnd: () => undefined,
    },
    5_000,
  );
  const service: BusService = {
    calls,
    signal: (of) => wire.send({ type: 'signal', serial: ++serial, ...of }),
    flush: async () => void (await ask('GetId')),
    close: () => wire.close(),
    [Symbol.asyncDispose]: async () => wire.close(),
  };
  async function serve(call: Message): Promise<void> {
    calls.push(call);
    const reply = await answer(call, service);
    if (reply === undefined) return;
    const head = { serial: ++serial, replySerial: call.serial, destination: call.sender ?? '' };
    if ('error' in reply) {
      wire.send({ type: 'error', ...head, errorName: reply.error, signature: 's', body: [reply.says] });
    } else wire.send({ type: 'return', ...head, ...reply });
  }
  const ask = (member: string, signature = '', body: readonly DBusValue[] = []) =>
    new Promise<Message>((resolve) => {
      waiting.set(++serial, resolve);
      const bus = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus' };
      wire.send({ type: 'call', serial, ...bus, interface: 'org.freedesktop.DBus', member, signature, body });
    });
  await ask('Hello');
  if (name !== undefined) {
    const { body } = await ask('RequestName', 'su', [name, 0]);
    if (body?.[0] !== 1) throw new Error(`the bus does not give ${name}`);
  }
  return service;
}
