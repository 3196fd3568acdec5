import type { CommandSpec } from './command.ts';
import { looking } from './looking.ts';

/** What holds slices. */
export const anchorCommands: readonly CommandSpec[] = [
  {
    name: 'anchor',
    summary: 'hold the slices of pods, so that no controller is taken away',
    about:
      'Puts a delegated scope with one sleeping process (about 250 KiB) into a slice. As long as it is there systemd ' +
      'keeps every controller in the slice and in all above it, and kubelet has no reason to kill pods whose ' +
      'runtime leaves their slice empty (SW508, SW509).\n\n' +
      "--pod holds one pod's slice, until the pod ends. --node holds the slices of the QoS classes, which is enough " +
      'for all pods in them: a unit each, which systemd makes anew with its slice and at each boot. `list` shows ' +
      'what is held, `release` ends it.\n\n' +
      'Exit codes: 0 held (or listed, or released), 10 held and a controller is still missing, 30 the slice is ' +
      'not there or a file is in the way, 64, 69 no systemd, or one that cannot do it, 77.',
    argument: { name: 'list|release', choices: ['list', 'release'], optional: true },
    second: { after: 'release', name: 'NAME', optional: true },
    options: [
      { name: 'pod', value: 'NAMESPACE/NAME|UID', says: "hold this pod's slice" },
      { name: 'slice', value: 'SLICE', says: 'hold this slice (kubepods-burstable.slice)' },
      { name: 'node', says: 'hold the slices of all QoS classes, now and at each boot' },
      { name: 'until-reboot', says: 'with --node: not at the next boot' },
      { name: 'all', says: 'with release: everything that is held' },
      { name: 'dry-run', short: 'n', says: 'print what would be done, as a shell script, and stop' },
      { name: 'output', short: 'o', value: 'FORMAT', choices: ['text', 'json'], says: 'how to write it' },
      ...looking.filter((each) => each.name === 'runtime-endpoint'),
    ],
    examples: [
      ['sudo sandwarden anchor --node', 'Every pod of this node, for good.'],
      ['sudo sandwarden anchor --pod default/vm', 'One pod, until it ends.'],
      ['sandwarden anchor --pod default/vm --dry-run', 'The call to systemd, spelled out.'],
      ['sandwarden anchor list', 'What is held, and since when.'],
      ['sudo sandwarden anchor release --all', 'As if it had never been there.'],
    ],
    load: () => import('../anchor.ts'),
  },
];
