import { SandwardenError } from '../model/errors.ts';
import type { SystemdBus } from './bus.ts';
import { systemBusSocket, systemdOverDBus } from './dbus-systemd.ts';
import { isWithoutBus } from './errors.ts';
import { type RunProgram, systemdOverPrograms } from './systemctl.ts';

/**
 * systemd of this machine: over the system bus, or by its own programs where there is none. Throws as SystemdBus says;
 * where neither way is open, what the second one said.
 */
export async function openSystemd(run: RunProgram, socket = systemBusSocket): Promise<SystemdBus> {
  try {
    return await systemdOverDBus(socket);
  } catch (error) {
    if (!isWithoutBus(error)) throw error;
    return await systemdOverPrograms(run);
  }
}

/** Before this release systemd leaves cpuset alone (src/core/cgroup.c: AllowedCPUs came with 244). */
export const FIRST_WITH_CPUSET = 244;

/** Throws ERR_NOT_SUPPORTED for a systemd that does not manage cpuset. */
export function requireCpuset({ release }: SystemdBus): void {
  if (release >= FIRST_WITH_CPUSET) return;
  throw new SandwardenError('ERR_NOT_SUPPORTED', `systemd ${release} does not manage cpuset; an anchor needs 244`, {
    hint: 'It neither takes cpuset away nor gives it to a scope; what takes it away here is something else.',
  });
}
