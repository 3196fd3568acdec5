import type { Evidence, Finding } from '../../model/finding.ts';
import type { HandlerSettings, LostSetting, RuntimeConfigFacts } from '../../model/runtime-config.ts';
import { configOf, driverNow, filesNow, place } from '../config/drivers.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';

/** SW506: a setting stands in a file and does not count. */
export const sw506: Rule = {
  code: 'SW506',
  name: 'config-merge-surprise',
  title: "A setting in the runtime's files does not count",
  severity: 'warning',
  says: 'an import replaces the whole CRI table (containerd 1.x), or a section has the name of another file version',
  explanation: `containerd merges the files that its configuration imports, and how depends on its version:

- up to 1.7 a file that mentions a plugin **replaces that plugin's whole table**. The last \`version\` counts for all
  files, and sections with the names of another one are ignored.
- 2.0 to 2.2 merge table by table; values and arrays are replaced. The last \`version\` counts for all files: under 3 a
  section of version 2 is ignored, and the short name \`cri\` of version 1 always is.
- from 2.3 on each file is brought up to date by its own \`version\`, then merged in the same way; a drop-in with a
  higher version than the main file is refused.

So a drop-in that sets a registry can turn \`SystemdCgroup\` off in 1.7, and a \`version = 3\` added to a file that was
written for 1.7 turns off all of its CRI part in 2.1. containerd says nothing, or one line at level warning.`,
  evidence: 'the line that does not count, and the line because of which',
  remedy: {
    tier: 'disruptive',
    text: 'Write the setting into the file that is loaded last, in the table of the version that counts.',
  },
  sources: [
    'containerd services/server/config/config.go mergeConfig (1.6, 1.7); cmd/containerd/server/config (2.x)',
    'containerd plugins/cri/runtime/plugin.go configMigration, migrateConfig',
    'reproduced with config dump of containerd 1.6.20, 1.7.24 and 2.1.9',
  ],
  needs: ['runtimeConfig'],
  examine: (facts) => {
    const config = configOf(facts);
    if (config === undefined) return [];
    // Where the runtime itself was asked, its word counts.
    const files = filesNow(config);
    const lost = config.lost.filter((each) => files === undefined || valueIn(files, each.key) === each.effective);
    return [...Map.groupBy(lost, (each) => `${place(each.by)} ${each.reason}`).values()].flatMap((group) =>
      findingOf(facts, config, group),
    );
  },
};

function valueIn(files: HandlerSettings, key: string): string {
  if (key === 'default_runtime_name') return files.defaultHandler;
  const handler = files.handlers.find((each) => key === `runtimes.${each.name}.options.SystemdCgroup`);
  return String(handler?.systemdCgroup ?? false);
}

function findingOf(facts: Facts, config: RuntimeConfigFacts, group: readonly LostSetting[]): Finding[] {
  const [first] = group;
  if (first === undefined) return [];
  const hurts = driverNow(facts)?.driver === 'systemd' && group.some((each) => each.value === 'true');
  const lines = group.map((each): Evidence => {
    const text = `${place(each.at)}: ${each.key} = ${each.value} does not count; ${each.effective} does`;
    return { source: 'runtimeConfig', text };
  });
  return [
    {
      code: 'SW506',
      severity: hurts ? 'warning' : 'info',
      object: { kind: 'runtime', name: place(first.by) },
      why: whyOf(first, config),
      evidence: [...lines, { source: 'runtimeConfig', text: `${place(first.by)}: ${becauseOf(first, config)}` }],
      remedy: {
        tier: 'disruptive',
        text:
          first.reason === 'plugin-replaced'
            ? `write the whole CRI table into ${first.by.file}, which comes last; restart containerd, then kubelet`
            : `rename the section to that of version ${config.version ?? '?'} (containerd config migrate); restart ` +
              'containerd, then kubelet',
        command: 'containerd config dump | grep -n SystemdCgroup',
      },
      pods: [],
    },
  ];
}

function whyOf(lost: LostSetting, config: RuntimeConfigFacts): string {
  return lost.reason === 'plugin-replaced'
    ? `This file mentions the CRI plugin, and this containerd then drops all that ${lost.at.file} says of it.`
    : `The files count as version ${config.version ?? '?'}, and ${lost.at.file} has it in a section of another.`;
}

function becauseOf(lost: LostSetting, config: RuntimeConfigFacts): string {
  if (lost.reason === 'plugin-replaced') return 'the table that replaces it';
  return `here the files get version ${config.version ?? '?'}`;
}
