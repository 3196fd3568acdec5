import type { Evidence, Finding } from '../../model/finding.ts';
import { valueOr } from '../../model/observed.ts';
import type { HandlerSettings, RuntimeConfigFacts } from '../../model/runtime-config.ts';
import { shellLine } from '../../model/shell-word.ts';
import {
  configOf,
  driverNow,
  filesNow,
  liveSettings,
  place,
  podsOf,
  restartCommand,
  runtimeUnitName,
} from '../config/drivers.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';
import { describeDuration } from '../time.ts';

/** SW505: what runs is not what the files give. */
export const sw505: Rule = {
  code: 'SW505',
  name: 'stale-runtime-config',
  title: 'The runtime runs with another configuration than its files give',
  severity: 'error',
  says: 'the runtime was started before its files were what they are now, or would not start with them at all',
  explanation: `The runtime reads its configuration once, at its start. Something wrote the files afterwards: a tool
that sets up the node at boot (SW507), an installer of a driver, a person. Until a restart the old values are in force;
after the next one, whenever that comes, the new ones are, under the pods that run then.

Only what is in force now and what the files give now are compared. A file that was written later with the same content
is no finding. \`containerd config dump\` reads the files as well: it does not tell what the running daemon has.

A file that the runtime refuses shows up only at its next start, and then the node has no runtime.`,
  evidence: 'the values in force, the lines of the files, when these were written and the runtime was started',
  remedy: { tier: 'disruptive', text: 'Restart the runtime, then kubelet; first mend files that would be refused.' },
  sources: [
    'CRI Status, verbose: info["config"]; containerd cmd/containerd/command/config.go (config dump)',
    'awslabs/amazon-eks-ami issue 2702, pull request 2705',
  ],
  needs: ['runtime', 'runtimeConfig'],
  examine: (facts) => {
    const config = configOf(facts);
    if (config === undefined) return [];
    const refused = refusalOf(config);
    if (refused !== undefined) return [refusedFinding(facts, config, refused)];
    const [live, files] = [liveSettings(facts), filesNow(config)];
    if (live === undefined || files === undefined) return [];
    const differences = differencesOf(live, files, config);
    return differences.length === 0 ? [] : [staleFinding(facts, config, live, differences)];
  },
};

interface Difference {
  readonly handler?: string;
  readonly text: string;
  readonly isMending: boolean;
}

function differencesOf(live: HandlerSettings, files: HandlerSettings, config: RuntimeConfigFacts): Difference[] {
  const where = (name: string) => config.settings?.handlers.find((each) => each.name === name)?.at;
  const handlers = live.handlers.flatMap((each): Difference[] => {
    const given = files.handlers.find((other) => other.name === each.name);
    if (given === undefined || given.systemdCgroup === each.systemdCgroup) return [];
    const at = where(each.name);
    const says = at ? place(at) : 'the files';
    const text = `SystemdCgroup of ${each.name}: ${each.systemdCgroup} in force, ${given.systemdCgroup} by ${says}`;
    return [{ handler: each.name, text, isMending: given.systemdCgroup }];
  });
  if (live.defaultHandler === files.defaultHandler) return handlers;
  const at = config.settings?.defaultAt;
  const says = at ? place(at) : 'the files';
  const text = `default_runtime_name: ${live.defaultHandler} in force, ${files.defaultHandler} by ${says}`;
  return [...handlers, { text, isMending: false }];
}

function staleFinding(
  facts: Facts,
  config: RuntimeConfigFacts,
  live: HandlerSettings,
  differences: readonly Difference[],
): Finding {
  const underSystemd = driverNow(facts)?.driver === 'systemd';
  const mending = underSystemd ? differences.filter((each) => each.isMending) : [];
  const pods = mending.flatMap((each) => (each.handler === undefined ? [] : podsOf(facts, each.handler, live)));
  return {
    code: 'SW505',
    severity: pods.length > 0 ? 'error' : 'warning',
    object: { kind: 'runtime', name: runtimeUnitName(facts) },
    why:
      mending.length > 0
        ? 'The files of the runtime are right, but it was started before they were: the old values are in force.'
        : "The runtime runs with other values than its files give: its next start changes them under the node's pods.",
    evidence: [
      ...differences.map((each): Evidence => ({ source: 'runtimeConfig', text: each.text })),
      ...writtenAfter(facts, config),
    ],
    remedy: {
      tier: 'disruptive',
      text: 'restart the runtime, then kubelet, when the pods can bear it',
      command: restartCommand(facts),
    },
    pods: [...new Set(pods)].sort(),
  };
}

/** The files that were written after the runtime's start. The dates are of the wall clock: a hint, never the proof. */
function writtenAfter(facts: Facts, config: RuntimeConfigFacts): Evidence[] {
  const started = valueOr(facts.snapshot.processes, undefined)?.runtimeStartedUptimeNs;
  if (facts.node === undefined || started === undefined) return [];
  const startedNs = facts.node.wallNs - facts.node.uptimeNs + started;
  return config.files.flatMap(({ path, modifiedNs }): Evidence[] => {
    if (modifiedNs === undefined || modifiedNs <= startedNs) return [];
    const after = describeDuration(modifiedNs - startedNs);
    return [{ source: 'runtimeConfig', text: `${path} was written ${after} after the runtime's start` }];
  });
}

function refusalOf(config: RuntimeConfigFacts): string | undefined {
  // The runtime's own word goes before ours.
  if (config.dump !== undefined) return 'refusal' in config.dump ? config.dump.refusal : undefined;
  const { refusal } = config;
  return refusal && `${refusal.at ? `${place(refusal.at)}: ` : ''}${refusal.text}`;
}

function refusedFinding(facts: Facts, config: RuntimeConfigFacts, refusal: string): Finding {
  const runs = facts.snapshot.runtime.known;
  const at = config.refusal?.at;
  return {
    code: 'SW505',
    severity: runs ? 'warning' : 'error',
    object: { kind: 'runtime', name: config.file },
    why: runs
      ? 'The runtime runs, but would not start again: it refuses its configuration as it is now.'
      : 'The runtime does not start: it refuses its configuration.',
    evidence: [
      { source: 'runtimeConfig', text: refusal },
      ...(at && config.dump
        ? [{ source: 'runtimeConfig' as const, text: `${place(at)}: ${config.refusal?.text}` }]
        : []),
    ],
    remedy: {
      tier: 'disruptive',
      text: `mend ${at ? place(at) : config.file} before the runtime is restarted`,
      ...(config.rule === 'cri-o'
        ? { noCommand: 'CRI-O says only at its start what it refuses' }
        : { command: `${shellLine('containerd', '-c', config.file, 'config', 'dump')} >/dev/null` }),
    },
    pods: [],
  };
}
