import type { CommandSpec } from './command.ts';
import { looking } from './looking.ts';

/** What shows the cgroups of pods. */
export const cgroupCommands: readonly CommandSpec[] = [
  {
    name: 'cgroups',
    summary: "show the pods' part of the cgroup tree, and what is missing in it",
    about:
      'Prints the tree as systemd-cgls does, with what that lacks: the name and QoS class of each pod, the ' +
      'controllers that each slice hands down with the missing ones marked, which scopes are delegated and so hold ' +
      'the slices above them, and directories where no pod should be. Changes nothing.\n\n' +
      'Exit codes: 0 shown, 10 a controller is missing or a process is outside, 69 nothing could be observed.',
    options: [
      { name: 'output', short: 'o', value: 'FORMAT', choices: ['text', 'json'], says: 'how to write it' },
      { name: 'pod', value: 'NAMESPACE/NAME', says: 'only this pod (or a uid) and the slices above it' },
      { name: 'snapshot', value: 'FILE', completes: 'file', says: 'show a recorded node in place of this one' },
      ...looking,
    ],
    examples: [
      ['sandwarden cgroups', 'The whole tree.'],
      ['sandwarden cgroups --pod default/web', 'One pod, and what holds it.'],
    ],
    load: () => import('../cgroups.ts'),
  },
];
