import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import {
  isUnitName,
  type ScopeSpec,
  type SystemdBus,
  scopeProperties,
  type UnitProperty,
  type UnitState,
} from './bus.ts';
import { type Answer, BUS, type BusConnection, type Call, connectBus, RemoteError } from './dbus/connection.ts';
import type { Message } from './dbus/message.ts';
import type { DBusValue } from './dbus/types.ts';
import { translateBusError } from './errors.ts';
import { startHolder } from './holder.ts';
import { unitStateOf } from './unit-state.ts';

/** Where the system bus listens (D-Bus specification, "Well-known Message Bus Instances"). */
export const systemBusSocket = '/run/dbus/system_bus_socket';

/** Deadlines in milliseconds; what is absent is taken from model/limits.ts. */
export interface BusTimeouts {
  readonly connectMs?: number;
  readonly callMs?: number;
  readonly jobMs?: number;
}

/** systemd of this machine, over the system bus. Throws as SystemdBus says. */
export async function systemdOverDBus(socket = systemBusSocket, timeouts: BusTimeouts = {}): Promise<SystemdBus> {
  const connectMs = timeouts.connectMs ?? limits.connectTimeoutMs;
  const connection = await translated('connect', socket, () => connectBus(socket, connectMs));
  const systemd = new DBusSystemd(connection, socket, timeouts);
  try {
    await systemd.readRelease();
    return systemd;
  } catch (error) {
    connection.close();
    throw error;
  }
}

const SYSTEMD = 'org.freedesktop.systemd1';
const MANAGER = { destination: SYSTEMD, path: '/org/freedesktop/systemd1', interface: `${SYSTEMD}.Manager` };
const PROPERTIES = 'org.freedesktop.DBus.Properties';
const NO_SUCH_UNIT = `${SYSTEMD}.NoSuchUnit`;
const jobRemoved = { interface: MANAGER.interface, member: 'JobRemoved' } as const;

class DBusSystemd implements SystemdBus {
  readonly via = 'dbus';
  release = 0;
  readonly #connection: BusConnection;
  readonly #socket: string;
  readonly #callMs: number;
  readonly #jobMs: number;
  #subscribed: Promise<void> | undefined;

  constructor(connection: BusConnection, socket: string, { callMs, jobMs }: BusTimeouts) {
    this.#connection = connection;
    this.#socket = socket;
    this.#callMs = callMs ?? limits.systemdCallTimeoutMs;
    this.#jobMs = jobMs ?? limits.systemdJobTimeoutMs;
  }

  async readRelease(): Promise<void> {
    const [version] = await this.#ask('its version', {
      ...MANAGER,
      interface: PROPERTIES,
      member: 'Get',
      signature: 'ss',
      body: [MANAGER.interface, 'Version'],
    });
    this.release = releaseOf(version);
  }

  async unit(name: string): Promise<UnitState | undefined> {
    checkName(name);
    const what = `read ${name}`;
    try {
      const [path] = await this.#call({ ...MANAGER, member: 'GetUnit', signature: 's', body: [name] });
      const all = { destination: SYSTEMD, path: String(path), interface: PROPERTIES, member: 'GetAll', signature: 's' };
      const kind = `${name.slice(name.lastIndexOf('.') + 1)}`;
      const own = `${SYSTEMD}.${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
      const [common, special] = await Promise.all([
        this.#call({ ...all, body: [`${SYSTEMD}.Unit`] }),
        this.#call({ ...all, body: [own] }),
      ]);
      return unitStateOf([common[0], special[0]]);
    } catch (error) {
      // It may go between the two questions, too: then its object is unknown.
      if (error instanceof RemoteError && gone.has(error.errorName)) return undefined;
      throw translateBusError(error, what, this.#socket);
    }
  }

  async unitNames(patterns: readonly string[]): Promise<string[]> {
    const [units] = await this.#ask('list units', {
      ...MANAGER,
      member: 'ListUnitsByPatterns',
      signature: 'asas',
      body: [[], [...patterns]],
    });
    const rows = Array.isArray(units) ? (units as readonly (readonly DBusValue[])[]) : [];
    return rows.map((row) => String(row[0])).filter(isUnitName);
  }

  async startScope(scope: ScopeSpec): Promise<void> {
    checkName(scope.name);
    checkName(scope.slice);
    await this.#requireOwnPids();
    const holder = await startHolder(scope.command);
    try {
      await this.#job(`start ${scope.name}`, {
        ...MANAGER,
        member: 'StartTransientUnit',
        signature: 'ssa(sv)a(sa(sv))',
        body: [scope.name, 'fail', scopeProperties(scope, holder.pid) as unknown as DBusValue, []],
      });
    } catch (error) {
      holder.kill();
      throw error;
    }
  }

  async startUnit(name: string): Promise<void> {
    checkName(name);
    try {
      await this.#job(`start ${name}`, { ...MANAGER, member: 'StartUnit', signature: 'ss', body: [name, 'replace'] });
    } catch (error) {
      if (!isNoSuchUnit(error)) throw error;
      throw new SandwardenError('ERR_PRECONDITION', `systemd knows no unit ${name}`, {
        hint: "Let it read its files: 'systemctl daemon-reload'.",
        cause: error,
      });
    }
  }

  async stopUnit(name: string): Promise<void> {
    checkName(name);
    try {
      await this.#job(`stop ${name}`, { ...MANAGER, member: 'StopUnit', signature: 'ss', body: [name, 'replace'] });
    } catch (error) {
      if (!isNoSuchUnit(error)) throw error;
    }
  }

  async setProperties(name: string, properties: readonly UnitProperty[], lasting: boolean): Promise<void> {
    checkName(name);
    await this.#ask(`set properties of ${name}`, {
      ...MANAGER,
      member: 'SetUnitProperties',
      signature: 'sba(sv)',
      body: [name, !lasting, properties as unknown as DBusValue],
    });
  }

  async reload(): Promise<void> {
    await this.#ask('daemon-reload', { ...MANAGER, member: 'Reload' }, this.#jobMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
  }

  /**
   * A pid is a number to systemd: where this process counts processes otherwise (a container with a pid namespace of
   * its own and the host's bus), it would move a stranger of the host into the scope. The bus knows our pid as the
   * kernel tells it there.
   */
  async #requireOwnPids(): Promise<void> {
    const question = { ...BUS, member: 'GetConnectionUnixProcessID', signature: 's', body: [this.#connection.name] };
    const [pid] = await this.#ask('our own process id', question);
    if (pid === process.pid) return;
    throw new SandwardenError(
      'ERR_NOT_SUPPORTED',
      'this process has a pid namespace of its own: systemd sees other pids',
      {
        hint: 'It runs in a container. Run it on the node itself, or from a pod with hostPID: true.',
      },
    );
  }

  /** A call that makes a job, until systemd says that the job is gone. */
  async #job(what: string, call: Call): Promise<void> {
    await translated(what, this.#socket, () => (this.#subscribed ??= this.#subscribe()));
    // The signal of a short job may be here before the answer that names the job.
    const seen: Message[] = [];
    const { promise, resolve } = Promise.withResolvers<string | Error>();
    let answer: Answer | undefined;
    const look = (signal: Message) => {
      if (answer === undefined) seen.push(signal);
      // Anybody on the bus may send us a signal; only systemd's counts.
      else if (signal.sender === answer.sender && signal.body?.[1] === answer.body[0]) {
        resolve(String(signal.body?.[3]));
      }
    };
    const stop = this.#connection.onSignal((signal) => {
      if (signal.member === jobRemoved.member && signal.interface === jobRemoved.interface) look(signal);
    });
    const stopLost = this.#connection.onLost(resolve);
    const timer = setTimeout(() => resolve(unfinished(what, this.#jobMs)), this.#jobMs);
    try {
      answer = await this.#connection.call(call, this.#callMs);
      for (const signal of seen) look(signal);
      const result = await promise;
      if (result instanceof Error) throw result;
      if (result !== 'done' && result !== 'skipped') throw failedJob(what, result);
    } catch (error) {
      throw translateBusError(error, what, this.#socket);
    } finally {
      clearTimeout(timer);
      stop();
      stopLost();
    }
  }

  /** systemd sends its signals only to who asked for them, and the bus hands on only what is matched. */
  async #subscribe(): Promise<void> {
    const match = `type='signal',sender='${SYSTEMD}',interface='${jobRemoved.interface}',member='${jobRemoved.member}'`;
    await this.#call({ ...BUS, member: 'AddMatch', signature: 's', body: [match] });
    await this.#call({ ...MANAGER, member: 'Subscribe' });
  }

  async #call(call: Call, timeoutMs = this.#callMs): Promise<readonly DBusValue[]> {
    return (await this.#connection.call(call, timeoutMs)).body;
  }

  #ask(what: string, call: Call, timeoutMs = this.#callMs): Promise<readonly DBusValue[]> {
    return translated(what, this.#socket, () => this.#call(call, timeoutMs));
  }
}

const gone = new Set([NO_SUCH_UNIT, 'org.freedesktop.DBus.Error.UnknownObject']);

async function translated<T>(what: string, socket: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translateBusError(error, what, socket);
  }
}

/** `252.38-1~deb12u1`, `v244`, `257.9`: the release. */
export function releaseOf(version: DBusValue | undefined): number {
  const told = typeof version === 'object' && 'value' in version ? version.value : version;
  const digits = /^v?(\d{1,4})/.exec(String(told))?.[1];
  if (digits !== undefined) return Number(digits);
  throw new SandwardenError('ERR_SYSTEMD_FAILED', `systemd gives no version: '${safeText(String(told), 60)}'`, {
    hint: "'systemctl --version' tells it.",
  });
}

/** Throws ERR_USAGE for a name that no unit can have. */
export function checkName(name: string): void {
  if (isUnitName(name)) return;
  throw new SandwardenError('ERR_USAGE', `'${safeText(name, 100)}' is no name of a unit`, {
    hint: "Write it as systemctl does, whole: 'kubepods-burstable.slice'.",
  });
}

/** The error for a job that did not end well. */
export function failedJob(what: string, result: string): SandwardenError {
  return new SandwardenError(
    'ERR_SYSTEMD_FAILED',
    `systemd could not ${what}: its job ended with '${safeText(result, 60)}'`,
    {
      hint: "'journalctl -b _PID=1' says why.",
    },
  );
}

function unfinished(what: string, timeoutMs: number): SandwardenError {
  return new SandwardenError('ERR_SYSTEMD_UNREACHABLE', `systemd did not ${what} within ${timeoutMs / 1_000} s`, {
    hint: "See what it waits for: 'systemctl list-jobs'.",
  });
}

function isNoSuchUnit(error: unknown): boolean {
  return (
    error instanceof SandwardenError && error.cause instanceof RemoteError && error.cause.errorName === NO_SUCH_UNIT
  );
}
