import { SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import { CallTimeout, RemoteError } from './dbus/connection.ts';
import { DBusFault } from './dbus/types.ts';
import { WireFault } from './dbus/wire.ts';

/**
 * The one place that turns what a call to systemd over D-Bus can throw into a SandwardenError; the original is its
 * `cause`. What is no such error (a bug of ours) is given back as it is. `what` says what was asked: `start x.scope`.
 */
export function translateBusError(error: unknown, what: string, socket: string): unknown {
  if (error instanceof WireFault) return wireError(error, socket);
  if (error instanceof RemoteError) return remoteError(error, what);
  if (error instanceof CallTimeout) {
    return new SandwardenError('ERR_SYSTEMD_UNREACHABLE', `systemd does not answer: ${what}: ${error.message}`, {
      hint: "See what systemd is busy with: 'systemctl list-jobs'; 'journalctl -b _PID=1'.",
      cause: error,
    });
  }
  if (error instanceof DBusFault) {
    return new SandwardenError('ERR_SYSTEMD_FAILED', `an answer cannot be read: ${what}: ${error.message}`, {
      hint: `What listens on ${safeText(socket, 200)} breaks the D-Bus protocol, or this is a bug: please report it.`,
      cause: error,
    });
  }
  return error;
}

/** Whether the bus itself cannot be used, so that another way may work. */
export function isWithoutBus(error: unknown): boolean {
  return error instanceof SandwardenError && error.code === 'ERR_SYSTEMD_UNREACHABLE';
}

function wireError(fault: WireFault, socket: string): SandwardenError {
  const at = safeText(socket, 200);
  const [code, message] = wireMessage(fault, at);
  const hint =
    code === 'ERR_FORBIDDEN' ? 'Run it as root (sudo sandwarden …).' : 'Is the bus up? systemctl status dbus.socket';
  return new SandwardenError(code, message, { hint, cause: fault });
}

function wireMessage({ kind }: WireFault, at: string): ['ERR_FORBIDDEN' | 'ERR_SYSTEMD_UNREACHABLE', string] {
  switch (kind) {
    case 'EACCES':
    case 'EPERM':
      return ['ERR_FORBIDDEN', `no permission to open the system bus, ${at}`];
    case 'rejected':
      return ['ERR_FORBIDDEN', 'the system bus does not let this user in'];
    case 'ENOENT':
    case 'ENOTDIR':
      return ['ERR_SYSTEMD_UNREACHABLE', `there is no system bus at ${at}`];
    case 'ECONNREFUSED':
      return ['ERR_SYSTEMD_UNREACHABLE', `nobody listens on the system bus, ${at}`];
    case 'silent':
      return ['ERR_SYSTEMD_UNREACHABLE', `the system bus, ${at}, accepts connections but does not answer`];
    case 'broken':
      return ['ERR_SYSTEMD_UNREACHABLE', `what listens on ${at} does not speak D-Bus`];
    case 'closed':
      return ['ERR_SYSTEMD_UNREACHABLE', 'the connection to the system bus had been closed on our side'];
    default:
      return ['ERR_SYSTEMD_UNREACHABLE', `the connection to the system bus was lost (${kind})`];
  }
}

function remoteError(error: RemoteError, what: string): SandwardenError {
  const { errorName } = error;
  const said = safeText(error.message || errorName, 500);
  if (forbidden.has(errorName)) {
    return new SandwardenError('ERR_FORBIDDEN', `systemd does not allow it: ${what}: ${said}`, {
      hint: 'Run it as root (sudo sandwarden …).',
      cause: error,
    });
  }
  if (absent.has(errorName)) {
    return new SandwardenError('ERR_SYSTEMD_UNREACHABLE', `systemd is not on the system bus: ${said}`, {
      hint: "Does systemd run this machine? 'cat /proc/1/comm' tells. Without it there are no slices to hold.",
      cause: error,
    });
  }
  if (unanswered.has(errorName)) {
    return new SandwardenError('ERR_SYSTEMD_UNREACHABLE', `systemd does not answer: ${what}: ${said}`, {
      hint: "See what systemd is busy with: 'systemctl list-jobs'; 'journalctl -b _PID=1'.",
      cause: error,
    });
  }
  return new SandwardenError('ERR_SYSTEMD_FAILED', `systemd refused: ${what}: ${said}`, {
    hint: "'journalctl -b _PID=1' may say more.",
    cause: error,
  });
}

const dbus = 'org.freedesktop.DBus.Error';
const forbidden = new Set([`${dbus}.AccessDenied`, `${dbus}.InteractiveAuthorizationRequired`, `${dbus}.AuthFailed`]);
const absent = new Set([`${dbus}.ServiceUnknown`, `${dbus}.NameHasNoOwner`, `${dbus}.Spawn.ServiceNotFound`]);
const unanswered = new Set([`${dbus}.NoReply`, `${dbus}.Timeout`, `${dbus}.TimedOut`, `${dbus}.Disconnected`]);
