import type { CommandSpec } from './command.ts';

/** What shows a node as things happen. */
export const watchCommands: readonly CommandSpec[] = [
  {
    name: 'watch',
    summary: 'show live who takes controllers away, or that the kernel stalls',
    about:
      'One line for each change: when, which controller, which slice, gone or back, who wrote (pid and unit), which ' +
      'pods lose by it and when kubelet looks next. At a terminal also a table of the slices, changed cells marked. ' +
      'At the end, or at Ctrl-C, a summary. Sleeps until somebody writes; changes nothing. Writers are named by ' +
      'fanotify, which is for root; without it changes are told, and nobody is named.\n\n' +
      'With `kernel`: each RCU stall, lock-up, hung task and OOM kill that the kernel writes to /dev/kmsg, within a ' +
      'second; at the end how many of each.\n\n' +
      'Exit codes: 0 nothing went, no stall; 10 a controller went from a slice with pods in it or is missing there, ' +
      'or the kernel lost events, or stalled; 69 nothing to watch here (cgroup v1, a container of its own); 77 ' +
      'permission denied. Ctrl-C ends it as --for does.',
    argument: { name: 'WHAT', choices: ['controllers', 'kernel'] },
    options: [
      { name: 'for', value: 'DURATION', says: 'end after this time (90s, 5m, 1h); else at Ctrl-C' },
      {
        name: 'output',
        short: 'o',
        value: 'FORMAT',
        choices: ['text', 'json'],
        says: 'how to write it; json: one object on each line',
      },
      {
        name: 'runtime-endpoint',
        value: 'SOCKET',
        completes: 'file',
        says: 'the CRI socket that knows the names of pods (else as for check)',
      },
    ],
    examples: [
      ['sandwarden watch controllers', 'Until Ctrl-C.'],
      ['sandwarden watch controllers --for 3m', 'Three minutes, then the summary.'],
      ['sandwarden watch controllers --for 90s -o json > changes.jsonl', 'For a script.'],
      ['sandwarden watch kernel --for 1h', 'Stalls, lock-ups, hung tasks and OOM kills, as they happen.'],
      ['sandwarden check --watch 90s', 'Into the findings: SW502 names who fights.'],
    ],
    load: () => import('../watch-what.ts'),
  },
];
