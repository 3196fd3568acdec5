import type { Evidence, Finding } from '../../model/finding.ts';
import type { Pod } from '../../model/node.ts';
import type { VolumeFailed } from '../../model/records.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import { type DriverView, isDriverContainer, isInUse, registersPlugins } from '../csi-facts.ts';
import { isBroken, podsWaitingFor } from '../csi-waiting.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';
import { describeDate } from '../time.ts';
import { times } from '../words.ts';

/** SW301: nobody answers at a CSI driver's socket, or kubelet has not registered who does. */
export const sw301: Rule = {
  code: 'SW301',
  name: 'csi-socket-dead',
  title: 'A CSI driver does not answer, or kubelet has not registered it',
  severity: 'error',
  says: "a CSI driver's socket is missing, refuses, its Probe says not ready, or kubelet has not registered it",
  explanation: `A CSI driver has one pod on each node, its node plugin. It listens on a unix socket below
\`/var/lib/kubelet/plugins/\`; kubelet mounts volumes through it, and the sidecars that mount the same folder attach,
provision and resize through it. Without an answer there, no volume of that driver comes up on this node, the sidecars
end at once and are started again and again, and every StatefulSet with such a volume waits in ContainerCreating.

Sandwarden asks the driver itself: GetPluginInfo and Probe of CSI's Identity service, which any client may call. A
socket that is there and refuses is what a killed driver leaves behind: the file stays, nobody listens. A driver is
told by what it is: a socket in kubelet's plugin folders, the pods that mount that folder, the node's CSINode. A
socket that nobody mounts and that CSINode does not know is a leftover of a driver that was removed, and is no
finding.

A driver that answers is of no use either while kubelet has not registered it: a registrar, a sidecar of the node
plugin, has to offer it a socket in \`plugins_registry/\`. Kubelet's own word tells it, that it fails to register it or
does not find it for a pod that waits, and so does CSINode, where half a minute after the sockets were made the driver
is not listed. A registrar that waits in back-off is started again by kubelet within five minutes; the node
plugin itself is never deleted for it. A dead registration socket is SW304.

A driver that CSINode alone knows is no finding: it keeps those that were removed while the node was off. It is one
where a pod waits for it, kubelet does not find it among its registered drivers, and nothing of this node serves it:
its DaemonSet makes no pod here.`,
  evidence: 'the path, the errno or the answer to Probe, the driver, its pods, CSINode',
  remedy: { tier: 'none', text: 'By cause: see SW302 where its pod is blocked; else the log of the driver.' },
  sources: [
    'CSI spec, Identity Service RPC: GetPluginInfo, Probe',
    'kubelet pkg/volume/csi/csi_client.go; kubernetes-csi/livenessprobe cmd/livenessprobe/main.go',
    'kubernetes issue 94388, kubernetes-csi/node-driver-registrar issue 83: CSINode keeps drivers that are gone',
  ],
  needs: ['csi'],
  examine: (facts) => facts.drivers.flatMap((driver) => findingOf(driver, facts)),
};

function findingOf(driver: DriverView, facts: Facts): Finding[] {
  // What we may not open, nobody has said anything about.
  if (!isBroken(driver)) return [];
  const inUse = isInUse(driver, facts.snapshot);
  if (inUse === false) return [];
  const starting = driver.state === 'missing' && driver.plugins.some(isStarting);
  const down = driver.plugins.filter((pod) => !runs(pod));
  const waiting = podsWaitingFor(driver, facts);
  const isSure = inUse === true && !starting;
  return [
    {
      code: 'SW301',
      severity: isSure ? 'error' : 'warning',
      object: { kind: 'driver', name: driver.name },
      why:
        `${whatIsWrong(driver)}${starting ? ', and its pod is starting' : ''}; ` +
        `no volume of ${driver.name} comes up on this node.`,
      evidence: evidenceOf(driver, inUse),
      remedy: remedyOf(driver),
      pods: [...new Set([...down, ...waiting].map(describePod))].sort(),
    },
  ];
}

/** What a dead socket does, as the beginning of a sentence. */
export function whatIsWrong(driver: DriverView): string {
  if (driver.unserved !== undefined) {
    return `Nothing on this node serves ${driver.name}: it has no pod and no socket here, and kubelet does not find it`;
  }
  if (driver.unregistered !== undefined) {
    return `The driver behind ${driver.socket} answers, and kubelet has not registered it`;
  }
  const at = `The CSI socket ${driver.socket}`;
  switch (driver.state) {
    case 'missing':
      return `${at} is not there`;
    case 'refuses':
      return `${at} refuses connections: a driver that is dead left the file behind`;
    case 'hangs':
      return `${at} accepts and does not answer`;
    case 'not-ready':
      return `The driver behind ${driver.socket} says that it is not ready`;
    case 'not-socket':
      return `${at} is no stream socket`;
    default:
      return `The driver behind ${driver.socket} fails`;
  }
}

function evidenceOf(driver: DriverView, inUse: boolean | undefined): Evidence[] {
  if (driver.unserved !== undefined) return evidenceOfNone(driver.unserved, driver.registered);
  const file = driver.driver;
  const made = file === undefined ? '' : `, made ${describeDate(file.madeAtNs)}`;
  const owner = file?.owner;
  const who =
    owner !== undefined
      ? `; process ${owner.pid} (${owner.comm}) has it bound`
      : file?.owned === false
        ? '; no process has it bound'
        : '';
  const told = driver.says === '' ? driver.state : driver.says;
  const evidence: Evidence[] = [
    ...(driver.unregistered === undefined ? [] : evidenceOfRegistration(driver, driver.unregistered)),
    { source: 'csi', text: `${driver.socket}: ${told}${made}${who}` },
  ];
  for (const pod of driver.plugins)
    evidence.push({ source: 'pods', text: `its node plugin ${describePluginPod(pod)}` });
  if (driver.registered !== undefined) {
    const has = driver.registered ? 'lists it as registered' : 'does not list it';
    evidence.push({ source: 'csiNode', text: `the node's CSINode ${has}` });
  }
  if (inUse === undefined)
    evidence.push({ source: 'pods', text: 'whether anybody uses it is not known without the API' });
  return evidence;
}

/** What tells that kubelet has not registered a driver. */
function evidenceOfRegistration(
  { registration }: DriverView,
  { failed }: NonNullable<DriverView['unregistered']>,
): Evidence[] {
  const made = registration === undefined ? '' : `, made ${describeDate(registration.madeAtNs)}`;
  const socket =
    registration === undefined
      ? 'no registration socket of its name is in plugins_registry: its registrar does not run'
      : `${registration.path}: ${registration.state}${made}: kubelet was offered it and has not taken it`;
  const offered: Evidence = { source: 'csi', text: socket };
  if (failed === undefined) return [offered];
  return [{ source: 'kubeletLog', text: `${failed.error} (${times(failed.count)})`, at: failed.last }, offered];
}

/** What tells that nothing serves a driver. */
function evidenceOfNone({ error, count, last }: VolumeFailed, registered: boolean | undefined): Evidence[] {
  const listed = registered === true ? 'lists it, as it does drivers that are gone' : 'does not list it';
  return [
    { source: 'kubeletLog', text: `${error} (${times(count)})`, at: last },
    ...(registered === undefined ? [] : [{ source: 'csiNode' as const, text: `the node's CSINode ${listed}` }]),
    { source: 'pods', text: 'no pod of this node has a folder of it' },
    { source: 'csi', text: "no socket of it is in kubelet's folders" },
  ];
}

function describePluginPod(pod: Pod): string {
  const owner = pod.owner === undefined ? '' : `, of ${pod.owner.kind} ${pod.owner.name}`;
  const states = (pod.containers ?? []).map((each) => `${each.name} ${each.reason ?? each.state}`);
  return `${describePod(pod)}${owner}: ${states.join(', ') || pod.phase}`;
}

function remedyOf(driver: DriverView): Finding['remedy'] {
  const pod = driver.plugins.find((each) => !runs(each)) ?? driver.plugins[0];
  if (driver.unserved !== undefined) {
    return {
      tier: 'none',
      text: 'see why its DaemonSet has no pod on this node: it may be gone, or a selector or a taint keeps it away',
      command: 'kubectl get daemonsets --all-namespaces -o wide',
    };
  }
  if (pod === undefined) {
    return {
      tier: 'none',
      text: 'find the pod that serves it: no pod of this node is known to',
      noCommand: 'which pod that is was not seen',
    };
  }
  if (driver.unregistered !== undefined) return remedyOfRegistrar(pod);
  const container = pod.containers?.find((each) => isDriverContainer(each, pod)) ?? pod.containers?.[0];
  const which = container === undefined ? ['--all-containers'] : ['-c', container.name];
  return {
    tier: 'none',
    text: `see why its node plugin ${describePod(pod)} does not serve it`,
    command: shellLine('kubectl', '-n', pod.namespace, 'logs', pod.name, ...which, '--previous'),
  };
}

function remedyOfRegistrar(pod: Pod): Finding['remedy'] {
  const registrar = pod.containers?.find(registersPlugins);
  const which = registrar === undefined ? ['--all-containers'] : ['-c', registrar.name];
  const waits = registrar?.reason === 'CrashLoopBackOff';
  // One that runs tells of itself in the log that it writes now.
  const before = registrar?.state === 'running' ? [] : ['--previous'];
  return {
    tier: 'none',
    text: waits
      ? `its registrar in ${describePod(pod)} waits in back-off and is started again within 5 min; see why it ended`
      : `see why its node plugin ${describePod(pod)} does not register it`,
    command: shellLine('kubectl', '-n', pod.namespace, 'logs', pod.name, ...which, ...before),
  };
}

function runs(pod: Pod): boolean {
  const containers = pod.containers ?? [];
  return pod.phase === 'Running' && containers.every((each) => each.state === 'running' || each.ready);
}

function isStarting(pod: Pod): boolean {
  const containers = pod.containers ?? [];
  return (
    containers.length > 0 && containers.every((each) => each.state === 'running' && each.restarts === 0 && !each.ready)
  );
}
