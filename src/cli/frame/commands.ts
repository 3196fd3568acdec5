import { anchorCommands } from './anchor-commands.ts';
import { bootCommands } from './boot-commands.ts';
import { cgroupCommands } from './cgroup-commands.ts';
import { clusterCommands } from './cluster-commands.ts';
import type { CommandSpec, OptionSpec } from './command.ts';
import { incidentCommand } from './incident-command.ts';
import { installCommands } from './install-commands.ts';
import { looking } from './looking.ts';
import { watchCommands } from './watch-commands.ts';

const severitiesAndAll = ['error', 'warning', 'info', 'all'] as const;

const output = (...choices: string[]): OptionSpec => ({
  name: 'output',
  short: 'o',
  value: 'FORMAT',
  choices,
  says: 'how to write it',
});

const stateDir: OptionSpec = {
  name: 'state-dir',
  value: 'DIR',
  completes: 'directory',
  says: 'where the journal is (/var/lib/sandwarden)',
};

const watchBefore: OptionSpec = {
  name: 'watch',
  value: 'DURATION',
  says: 'first watch who takes controllers away for so long (90s, 3m), for SW502',
};

/**
 * Every command, as plain data. Help, completion and parsing are made from it; nothing of a command is loaded before
 * it runs.
 */
export const commands: readonly CommandSpec[] = [
  {
    name: 'check',
    summary: 'say what is wrong with the pod sandboxes of this node, and why',
    about:
      'Looks at the node and changes nothing. Prints the verdict, the chain of causes (oldest first; @-00:14:02 ' +
      "is 14 min 2 s before this look by the kernel's own count; + is how long it lasted), each finding with its " +
      'evidence and the command that mends it, and what was not looked at.\n\n' +
      'Exit codes: 0 healthy, 10 warnings, 20 errors (--fail-on moves the threshold), 69 nothing could be ' +
      'observed, 77 permission denied.',
    options: [
      output('text', 'json', 'sarif', 'junit'),
      {
        name: 'show',
        value: 'SEVERITY',
        choices: severitiesAndAll,
        says: 'print findings at least this severe; all leaves nothing out',
      },
      {
        name: 'fail-on',
        value: 'SEVERITY',
        choices: ['error', 'warning', 'never'],
        says: 'the least severity that makes the exit code other than 0; default warning',
      },
      { name: 'snapshot', value: 'FILE', completes: 'file', says: 'check a recorded node in place of this one' },
      watchBefore,
      ...looking,
    ],
    examples: [
      ['sandwarden check', 'What is wrong here?'],
      ['sandwarden check -o json --show all', 'Everything, for a script.'],
      ['sandwarden check --fail-on error || page-somebody', 'Only pods that are down count.'],
      ['sandwarden check --snapshot node.json', 'A node recorded elsewhere.'],
      ['sandwarden check --watch 90s', 'Who takes controllers away from pods?'],
    ],
    load: () => import('../check.ts'),
  },
  {
    name: 'heal',
    summary: 'mend exactly what blocks the pods, after showing the plan',
    about:
      'Prints the plan and what it will not touch, asks, acts, and watches until the pods are back. Each ' +
      'condition is read again immediately before each step; at the first surprise it stops. Ctrl-C stops ' +
      'after the step in hand; a second one ends at once.\n\n' +
      'Only safe actions are done unless --allow says more. Exit codes: 0 healed or nothing to do, 30 ' +
      'incomplete, 64 no terminal and no --yes, 69, 77, 130 interrupted.',
    options: [
      { name: 'yes', short: 'y', says: 'do not ask' },
      { name: 'dry-run', short: 'n', says: 'print the plan and stop' },
      {
        name: 'only',
        value: 'CODE[/OBJECT]',
        multiple: true,
        completes: 'code',
        says: 'only what mends this finding',
      },
      {
        name: 'allow',
        value: 'TIER',
        choices: ['disruptive', 'destructive'],
        says: 'also actions that hurt others; destructive needs --only CODE/OBJECT',
      },
      { name: 'undo', value: 'ID', says: 'take back the files and properties that a run changed; history has its ID' },
      output('text', 'json'),
      stateDir,
      ...looking,
    ],
    examples: [
      ['sandwarden heal', 'Shows the plan and asks.'],
      ['sandwarden heal --dry-run', 'Only the plan.'],
      ['sandwarden heal --yes --only SW102', 'One kind of finding, from a script.'],
      ['sandwarden heal --allow=disruptive', 'May restart the runtime, change its files, or kill a hung CNI plugin.'],
      ['sandwarden heal --undo 3f2a91c0', 'Puts back what that run wrote, and restarts what reads it.'],
    ],
    load: () => import('../heal.ts'),
  },
  {
    name: 'explain',
    summary: 'tell all about one finding, or about one pod',
    about:
      'What a finding means, what it rests on, what mends it, and where the facts come from.\n\n' +
      "With `pod`: kubelet's own decision about that pod, replayed over what is there. Its sandboxes as kubelet " +
      'sorts them, the cgroup it looks for, which branch makes it create the sandbox anew or leave it, what happens ' +
      'next, what would end it, and what keeps its controllers in place. Changes nothing.',
    argument: { name: 'CODE', completes: 'code' },
    second: { after: 'pod', name: 'NAMESPACE/NAME|UID' },
    options: [
      output('text', 'json'),
      { name: 'snapshot', value: 'FILE', completes: 'file', says: 'a pod of a recorded node' },
      ...looking,
    ],
    examples: [
      ['sandwarden explain SW102', 'By its code.'],
      ['sandwarden explain ghost-holds-name', 'By its name.'],
      ['sandwarden explain pod default/web', 'Why kubelet kills this pod, or does not.'],
    ],
    load: () => import('../explain.ts'),
  },
  {
    name: 'findings',
    summary: 'list everything that can be found',
    about: 'The catalogue of findings. Codes are stable and never reused.',
    options: [output('text', 'json')],
    examples: [['sandwarden findings', 'The list.']],
    load: () => import('../findings.ts'),
  },
  {
    name: 'snapshot',
    summary: 'write the node down as a file, for a bug report',
    about:
      'Everything that check looks at, as one JSON file. It holds names of pods and log lines about ' +
      'sandboxes, and no secrets: no environment, no command lines, no annotations but those of kubelet.',
    options: [
      { name: 'output', short: 'o', value: 'FILE', completes: 'file', says: 'write to FILE, not to the terminal' },
      watchBefore,
      ...looking,
    ],
    examples: [
      ['sandwarden snapshot -o node.json', 'Record this node.'],
      ['sandwarden check --snapshot node.json', 'Look at it anywhere.'],
    ],
    load: () => import('../snapshot.ts'),
  },
  {
    name: 'history',
    summary: 'list what was done here, when, why, and how it ended',
    about:
      'Reads the journal of healing. Dates are by the wall clock of that moment, which may have been wrong; ' +
      'the boot and the time since boot are beside them.',
    options: [
      output('text', 'json'),
      { name: 'since', value: 'WHEN', says: 'only newer than this: 30m, 2h, 3d or a date (2026-11-21)' },
      stateDir,
    ],
    examples: [
      ['sandwarden history', 'All of it, oldest first.'],
      ['sandwarden history --since 2h -o json', 'For a script.'],
    ],
    load: () => import('../history.ts'),
  },
  incidentCommand,
  ...cgroupCommands,
  ...watchCommands,
  ...clusterCommands,
  ...anchorCommands,
  ...bootCommands,
  ...installCommands,
  {
    name: 'demo',
    summary: 'watch a power cut being found and healed, on an embedded node',
    about:
      'A node of 49 pods inside this program loses its power and comes back with its clock two hours ' +
      'behind. The same check and heal as on a real node, on simulated time. Needs no root, touches ' +
      'nothing.',
    options: [
      { name: 'fast', says: 'no pauses for reading' },
      { name: 'pause', says: 'wait for Enter between the scenes' },
    ],
    examples: [['sandwarden demo', 'Ten seconds.']],
    load: () => import('../demo.ts'),
  },
  {
    name: 'completion',
    summary: 'print the completion script of a shell',
    about: 'Completes commands, options, codes and values.',
    argument: { name: 'SHELL', choices: ['bash', 'zsh', 'fish'] },
    options: [],
    examples: [
      ['source <(sandwarden completion bash)', 'For this bash.'],
      ['sandwarden completion zsh > /usr/local/share/zsh/site-functions/_sandwarden', 'For every zsh.'],
      ['sandwarden completion fish > ~/.config/fish/completions/sandwarden.fish', 'For every fish.'],
    ],
    load: () => import('../completion.ts'),
  },
  {
    name: '__complete',
    summary: 'what the completion scripts ask',
    about: '',
    options: [],
    examples: [],
    hidden: true,
    raw: true,
    load: () => import('../complete.ts'),
  },
];
