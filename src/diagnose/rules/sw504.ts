import type { Evidence, Finding, NoCommand, RemedyCommand } from '../../model/finding.ts';
import { valueOr } from '../../model/observed.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import { asksRuntime, driverAtStart, driverNow, isRunc, type KnownDriver, liveSettings } from '../config/drivers.ts';
import type { Facts } from '../facts.ts';
import { ofDriver } from '../needs.ts';
import type { Rule } from '../rule.ts';
import { describeDuration } from '../time.ts';

/** SW504: kubelet and the runtime disagree about who makes cgroups, now or at kubelet's next start. */
export const sw504: Rule = {
  code: 'SW504',
  name: 'driver-mismatch',
  title: 'kubelet and the runtime use different cgroup drivers',
  severity: 'error',
  says: 'kubelet and the runtime disagree about the cgroup driver, or will after the next start of kubelet',
  explanation: `kubelet names the cgroup of a pod in the manner of its own driver. With cgroupfs it is a path
(\`/kubepods/burstable/pod…\`), and a runtime with \`SystemdCgroup = true\` refuses it: \`expected cgroupsPath to be of
format "slice:prefix:name"\`; no new pod starts. The other way round is SW503.

kubelet from 1.31 on asks a runtime that can tell (containerd from 2.0, CRI-O from 1.28) once, at its own start, and
goes by that whatever its own files say. A runtime that is reconfigured afterwards and restarted alone leaves kubelet
with the old answer. The order is: the runtime first, then kubelet.`,
  evidence: 'both drivers, what names them, and when each was started',
  remedy: { tier: 'disruptive', text: 'Make both the same, restart the runtime, then kubelet.' },
  sources: [
    'kubelet cmd/kubelet/app/server.go getCgroupDriverFromCRI; KEP 4033',
    'runc libcontainer/specconv createCgroupConfig; containerd issue 4857',
  ],
  needs: (facts) => ['runtime', ...ofDriver(facts)],
  examine: (facts) => {
    const now = driverNow(facts);
    const next = driverAtStart(facts);
    const live = liveSettings(facts);
    const handler = live?.handlers.find((each) => each.name === live.defaultHandler);
    if (now === undefined || handler === undefined || !isRunc(handler)) return [];
    const runtime = handler.systemdCgroup ? 'systemd' : 'cgroupfs';
    if (now.driver === 'cgroupfs' && runtime === 'systemd') return [refused(facts, now, next, handler.name)];
    if (next === undefined || next.driver === now.driver) return [];
    return [changes(facts, now, next)];
  },
};

function refused(facts: Facts, now: KnownDriver, next: KnownDriver | undefined, handler: string): Finding {
  const down = [...facts.pods.values()].filter(
    (view) => view.wanted.wants !== 'no' && !view.sandboxes.some((each) => each.ready),
  );
  const mends = next?.driver === 'systemd';
  return {
    code: 'SW504',
    severity: 'error',
    object: { kind: 'node', name: 'cgroup driver' },
    why:
      `kubelet uses cgroupfs and the runtime handler ${handler} systemd: each new pod is refused with ` +
      '"expected cgroupsPath to be of format slice:prefix:name".',
    evidence: [
      now.evidence,
      { source: 'runtime', text: `in force for ${handler}: SystemdCgroup = true` },
      ...(next && next.evidence.text !== now.evidence.text ? [next.evidence] : []),
      ...starts(facts),
    ],
    remedy: {
      tier: 'disruptive',
      ...(mends
        ? {
            text: 'restart kubelet: it takes the right driver at its next start',
            command: 'systemctl restart kubelet.service',
          }
        : {
            text: "set cgroupDriver: systemd in kubelet's configuration and restart kubelet",
            ...setSystemd(facts),
          }),
    },
    pods: down.map(describePod).sort(),
  };
}

/** They fit (or SW503 tells), but kubelet's next start takes the other one. */
/** The very line of kubelet's file, where a file names the driver. */
function setSystemd({ snapshot }: Facts): RemedyCommand | NoCommand {
  const named = snapshot.kubeletConfig?.known ? snapshot.kubeletConfig.value.drivers.at(-1) : undefined;
  const { at } = named ?? {};
  if (at === undefined || (named?.from !== 'file' && named?.from !== 'drop-in')) {
    return { noCommand: 'no file is known that names the driver: a flag does, or the default' };
  }
  const expression = `${at.line}s/cgroupfs/systemd/`;
  return { command: `${shellLine('sed', '-i', expression, at.file)} && systemctl restart kubelet.service` };
}

function changes(facts: Facts, now: KnownDriver, next: KnownDriver): Finding {
  const asked = asksRuntime(facts) && next.evidence.source === 'runtime';
  return {
    code: 'SW504',
    severity: 'warning',
    object: { kind: 'node', name: 'cgroup driver' },
    why: asked
      ? `kubelet took ${now.driver} from the runtime at its start, and the runtime has been reconfigured since: ` +
        `kubelet's next start takes ${next.driver}, and the pods that run are in the other tree.`
      : `kubelet uses ${now.driver}, and its next start takes ${next.driver} (${next.evidence.text}).`,
    evidence: [now.evidence, next.evidence, ...starts(facts)],
    remedy: {
      tier: 'disruptive',
      text: `decide for one (systemd where systemd is pid 1), set it in both, restart the runtime, then kubelet`,
      noCommand: 'which of the two is right is a decision',
    },
    pods: [],
  };
}

function starts(facts: Facts): Evidence[] {
  const { node, snapshot } = facts;
  const kubelet = valueOr(snapshot.kubelet, undefined)?.startedUptimeNs;
  const runtime = valueOr(snapshot.processes, undefined)?.runtimeStartedUptimeNs;
  if (node === undefined || kubelet === undefined || runtime === undefined) return [];
  const ago = (startedNs: bigint) => describeDuration(node.uptimeNs - startedNs);
  const text = `kubelet was started ${ago(kubelet)} ago, the runtime ${ago(runtime)} ago`;
  return [{ source: 'processes', text: kubelet < runtime ? `${text}: after kubelet` : text }];
}
