import type { Message } from '../../src/systemd/dbus/message.ts';
import type { DBusValue } from '../../src/systemd/dbus/types.ts';
import { type BusService, busService, type Reply } from './bus-service.ts';

const MANAGER = 'org.freedesktop.systemd1.Manager';
const MANAGER_PATH = '/org/freedesktop/systemd1';

export interface FakeSystemdOptions {
  readonly version?: string;
  /** The result of each job. */
  readonly result?: string;
  /** `before`: the signal comes before the answer that names the job. `never`: no signal. */
  readonly signal?: 'after' | 'before' | 'never';
  /** Answers of single methods in place of its own. */
  readonly answers?: Readonly<Record<string, (call: Message, service: BusService) => Reply | Promise<Reply>>>;
  /** What GetAll says of a unit, by interface. */
  readonly units?: Readonly<Record<string, Readonly<Record<string, readonly DBusValue[]>>>>;
}

/** systemd's Manager on a bus, as far as it is called: the marshalling and the jobs are real, the units are not. */
export function fakeSystemd(socket: string, options: FakeSystemdOptions = {}): Promise<BusService> {
  const { version = '252.38-1~deb12u1', result = 'done', signal = 'after', units = {} } = options;
  let jobs = 0;
  const job = (call: Message, service: BusService): Reply => {
    const path = `${MANAGER_PATH}/job/${++jobs}`;
    const removed = () =>
      service.signal({
        path: MANAGER_PATH,
        interface: MANAGER,
        member: 'JobRemoved',
        signature: 'uoss',
        body: [jobs, path, String(call.body?.[0]), result],
      });
    if (signal === 'before') removed();
    if (signal === 'after') setImmediate(removed);
    return { signature: 'o', body: [path] };
  };
  const pathOf = (name: DBusValue | undefined) => `${MANAGER_PATH}/unit/${Buffer.from(String(name)).toString('hex')}`;
  const own: Readonly<Record<string, (call: Message, service: BusService) => Reply>> = {
    Get: () => ({ signature: 'v', body: [{ signature: 's', value: version }] }),
    Subscribe: () => ({ signature: '', body: [] }),
    Reload: () => ({ signature: '', body: [] }),
    SetUnitProperties: () => ({ signature: '', body: [] }),
    StartTransientUnit: job,
    StartUnit: job,
    StopUnit: job,
    GetUnit: ({ body = [] }) =>
      String(body[0]) in units
        ? { signature: 'o', body: [pathOf(body[0])] }
        : { error: 'org.freedesktop.systemd1.NoSuchUnit', says: `Unit ${String(body[0])} not loaded.` },
    GetAll: ({ body = [], path = '' }) => {
      const [, properties] = Object.entries(units).find(([name]) => pathOf(name) === path) ?? [];
      return { signature: 'a{sv}', body: [properties?.[String(body[0])] ?? []] };
    },
    ListUnitsByPatterns: () => ({
      signature: 'a(ssssssouso)',
      body: [Object.keys(units).map((name) => [name, '', 'loaded', 'active', 'running', '', pathOf(name), 0, '', '/'])],
    }),
  };
  return busService(socket, 'org.freedesktop.systemd1', (call, service) => {
    const answer = options.answers?.[call.member ?? ''] ?? own[call.member ?? ''];
    return answer?.(call, service) ?? { error: 'org.freedesktop.DBus.Error.UnknownMethod', says: String(call.member) };
  });
}
