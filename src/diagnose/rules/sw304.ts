import type { RegistrationSocket } from '../../model/csi.ts';
import { driverOfRegistration } from '../../model/csi.ts';
import type { Evidence } from '../../model/finding.ts';
import { limits } from '../../model/limits.ts';
import { valueOr } from '../../model/observed.ts';
import type { RegistrationFailed } from '../../model/records.ts';
import { shellLine } from '../../model/shell-word.ts';
import { bootClock } from '../boot-clock.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';
import { describeDate, isCurrent } from '../time.ts';
import { times } from '../words.ts';

/** SW304: kubelet knocks at a socket that nobody opens any more. */
export const sw304: Rule = {
  code: 'SW304',
  name: 'stale-registration-socket',
  title: 'A registration socket that nobody listens on',
  severity: 'warning',
  says: "a socket in kubelet's plugins_registry refuses connections; registration backs off up to 2 min 2 s",
  explanation: `A plugin makes itself known to kubelet by a socket in \`plugins_registry/\`. After an unclean end the
file is still there and nobody listens. kubelet walks the folder at its start, waits ten seconds for each such socket,
and backs off up to 2 min 2 s *for that path*; the registrar that makes the socket anew waits for the end of that
back-off.

Removing a socket that still accepts connections, or through which kubelet has registered a driver since its start,
would take the driver away from kubelet: volumes could not be mounted until it registers again. So a dead socket is
removed only if no process has it bound and it is older than kubelet's own start (or kubelet is not running).`,
  evidence: 'the path, the errno, who has it bound, its date against that of kubelet’s start',
  remedy: { tier: 'safe', text: 'Remove the dead file; the registrar makes a new one at its start.' },
  sources: [
    'kubelet pkg/kubelet/pluginmanager: plugin_watcher.go, operation_executor, goroutinemap exponential back-off',
    'kubernetes-csi/node-driver-registrar issue 206',
  ],
  needs: ['csi'],
  examine: (facts) =>
    deadRegistrations(facts).map(({ socket, keep }) => {
      const owner =
        socket.owner === undefined ? '' : `; process ${socket.owner.pid} (${socket.owner.comm}) has it bound`;
      const bound = socket.owned === false ? '; no process has it bound' : owner;
      return {
        code: 'SW304',
        severity: 'warning',
        object: { kind: 'socket', name: socket.path },
        why:
          `Nobody listens on the registration socket of ${driverOfRegistration(socket.path)}; ` +
          'kubelet waits for it and backs off, up to 2 min 2 s.',
        evidence: [
          { source: 'csi', text: `${socket.path}: ${socket.says}, made ${describeDate(socket.madeAtNs)}${bound}` },
          ...failureEvidence(socket, facts),
          ...(keep === undefined ? [] : [{ source: 'csi' as const, text: `it is left alone: ${keep}` }]),
        ],
        remedy:
          keep === undefined
            ? {
                tier: 'safe',
                text: 'remove the dead file; its registrar makes a new one',
                command: shellLine('sandwarden', 'heal', '--only', `SW304/${socket.path}`),
              }
            : {
                tier: 'none',
                text: 'restart its registrar, which makes the socket anew',
                noCommand: 'its registrar may be in a pod that must not be restarted',
              },
        pods: [],
      };
    }),
};

function failureEvidence(socket: RegistrationSocket, facts: Facts): Evidence[] {
  const failed = failureOf(socket, facts);
  if (failed === undefined) return [];
  return [{ source: 'kubeletLog', text: `RegisterPlugin: ${failed.error} (${times(failed.count)})`, at: failed.last }];
}

/** The registration sockets that refuse, each with why it must stay; undefined where it may be removed. */
export function deadRegistrations(facts: Facts): { socket: RegistrationSocket; keep: string | undefined }[] {
  const csi = facts.snapshot.csi === undefined ? undefined : valueOr(facts.snapshot.csi, undefined);
  return (csi?.registrations ?? [])
    .filter((each) => each.state === 'refuses')
    .map((socket) => ({ socket, keep: whyKept(socket, facts) }));
}

/** That kubelet still fails to register through this socket: it backs off up to 2 min 2 s. */
function failureOf(socket: RegistrationSocket, facts: Facts): RegistrationFailed | undefined {
  const { node, snapshot } = facts;
  const failed = valueOr(snapshot.kubeletLog, undefined)?.registrationFailed ?? [];
  return failed.find(
    (each) => each.socket === socket.path && node !== undefined && isCurrent(each.last, node, limits.errorCurrentForMs),
  );
}

function whyKept(socket: RegistrationSocket, facts: Facts): string | undefined {
  if (socket.owned === undefined) return 'nobody can say whether a process has it bound';
  if (socket.owned) return 'a process has it bound and may be about to listen';
  const kubelet = valueOr(facts.snapshot.kubelet, undefined);
  if (kubelet?.running === false) return undefined;
  if (kubelet?.startedUptimeNs === undefined || facts.node === undefined)
    return 'when kubelet was started is not known';
  // kubelet asks only for what it has not registered: a failure of now proves that removing it takes nothing away.
  if (failureOf(socket, facts) !== undefined) return undefined;
  if (bootClock(facts) !== undefined) return 'the clock was wrong at boot, so that its date says nothing';
  const started = facts.node.wallNs - (facts.node.uptimeNs - kubelet.startedUptimeNs);
  return socket.madeAtNs < started
    ? undefined
    : 'it was made after the start of kubelet, which may have registered the driver through it';
}
