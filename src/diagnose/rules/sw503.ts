import type { Evidence, Finding, NoCommand, RemedyCommand } from '../../model/finding.ts';
import type { RuntimeHandler } from '../../model/runtime-config.ts';
import {
  configOf,
  driverNow,
  filesNow,
  isGenerated,
  isRunc,
  liveSettings,
  place,
  podsOf,
  restartCommand,
} from '../config/drivers.ts';
import type { Facts } from '../facts.ts';
import { ofDriver } from '../needs.ts';
import type { Rule } from '../rule.ts';

/** SW503: a runtime handler makes cgroups by itself under a kubelet that leaves it to systemd. */
export const sw503: Rule = {
  code: 'SW503',
  name: 'systemd-cgroup-off',
  title: 'A runtime handler runs without SystemdCgroup',
  severity: 'error',
  says: 'a runtime handler runs with `SystemdCgroup = false` while kubelet uses the systemd driver',
  explanation: `kubelet makes a slice for each pod through systemd and asks the runtime to put the containers into it.
With \`SystemdCgroup = true\` runc asks systemd for a delegated scope there. With \`false\`, containerd's default in
every version, it writes cgroups past systemd: the containers end up in a directory with colons in its name beside
containerd's own cgroup, no limit of the pod applies to them, and the pod's slice stays empty.

On cgroup v2 systemd takes controllers that it did not give from such empty slices. kubelet misses them at its next look
and kills the pod without a word: \`Pod sandbox changed, it will be killed and re-created\`, again and again.

The option belongs to each handler: \`nvidia\` or another one has its own. It must stand in the table of the plugin that
this version of containerd reads (SW506).`,
  evidence: "the value in force for each handler, kubelet's driver, the line of the file",
  remedy: {
    tier: 'disruptive',
    text: 'Set SystemdCgroup = true for the handler, restart the runtime, then kubelet.',
  },
  sources: [
    'containerd docs/cri/config.md (SystemdCgroup); CRI Status, verbose: info["config"]',
    'kubernetes issues 110177, 111776, 113322, 117293; containerd issues 7276, 4900',
    'reproduced: kubelet 1.36.2 (systemd) with containerd 1.7.24, SystemdCgroup=false',
  ],
  needs: (facts) => ['runtime', ...ofDriver(facts)],
  examine: (facts) => {
    const kubelet = driverNow(facts);
    const live = liveSettings(facts);
    if (kubelet?.driver !== 'systemd' || live === undefined) return [];
    return live.handlers
      .filter((each) => !each.systemdCgroup && isRunc(each))
      .flatMap((each) => {
        const pods = podsOf(facts, each.name, live);
        const isDefault = each.name === live.defaultHandler;
        // A handler that nobody uses and nobody gets by default hurts nobody yet.
        const severity = pods.length > 0 ? 'error' : isDefault ? 'warning' : 'info';
        return [findingOf(facts, each, kubelet.evidence, severity, pods)];
      });
  },
};

function findingOf(
  facts: Facts,
  handler: RuntimeHandler,
  kubelet: Evidence,
  severity: Finding['severity'],
  pods: readonly string[],
): Finding {
  const config = configOf(facts);
  const inFiles = filesNow(config)?.handlers.find((each) => each.name === handler.name);
  const written = config?.settings?.handlers.find((each) => each.name === handler.name)?.at;
  const evidence: Evidence[] = [
    { source: 'runtime', text: `in force for ${handler.name}: SystemdCgroup = false` },
    kubelet,
  ];
  if (config !== undefined) {
    const where = written ? `${place(written)}: SystemdCgroup = ${inFiles?.systemdCgroup ?? false}` : undefined;
    evidence.push({
      source: 'runtimeConfig',
      text: where ?? `no line of ${config.file} sets it; its default is false`,
    });
  }
  const { cgroups } = facts.snapshot;
  const isV1 = cgroups?.known && cgroups.value.mode !== 'v2';
  const consequence = isV1
    ? 'and no limit of a pod applies to them'
    : 'and systemd takes controllers of the empty slices away';
  return {
    code: 'SW503',
    severity,
    object: { kind: 'runtime', name: handler.name },
    why:
      `The runtime handler ${handler.name} makes cgroups past systemd, while kubelet uses the systemd driver: ` +
      `its containers run outside the slices of their pods, ${consequence}.`,
    evidence,
    remedy: { tier: 'disruptive', ...remedyOf(facts, handler.name, inFiles?.systemdCgroup === true) },
    pods,
  };
}

function remedyOf(
  facts: Facts,
  handler: string,
  isRightInFiles: boolean,
): { text: string } & (RemedyCommand | NoCommand) {
  const config = configOf(facts);
  if (isRightInFiles) {
    return {
      text: 'its files have it right by now: restart the runtime, then kubelet',
      command: restartCommand(facts),
    };
  }
  if (isGenerated(config)) {
    const template = config?.template;
    return template
      ? {
          text: `take the fixed SystemdCgroup out of ${template}, which k3s makes its file from, and restart k3s`,
          noCommand: 'a template is a program, and whoever wrote it knows what else hangs on it',
        }
      : {
          text: 'k3s found no cpuset controller at its start, or was not started by systemd: restart it as a service',
          command: restartCommand(facts),
        };
  }
  if (config?.rule === 'cri-o') {
    return {
      text: 'set cgroup_manager = "systemd" in a drop-in of /etc/crio/crio.conf.d, restart CRI-O, then kubelet',
      noCommand: 'files of CRI-O are for a person to write',
    };
  }
  const file = config?.file ?? "containerd's configuration";
  return {
    text: `set SystemdCgroup = true for ${handler} in ${file}, restart containerd, then kubelet`,
    command: 'sandwarden heal --allow=disruptive --only SW503',
  };
}
