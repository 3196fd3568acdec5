import type { CommandSpec } from './command.ts';

/** What the units of `sandwarden install` run, and what tells of it. */
export const bootCommands: readonly CommandSpec[] = [
  {
    name: 'boot-report',
    summary: 'tell how this boot went, what was wrong and what was done',
    about:
      'How the last boot ended, what the boot hook found and did (clock, sandboxes), and how long it took from ' +
      "the kernel's start to the runtime, to kubelet, and until the last sandbox and its containers were made; when " +
      'a pod became ready is not measured. Changes nothing.',
    options: [
      { name: 'output', short: 'o', value: 'FORMAT', choices: ['text', 'json'], says: 'how to write it' },
      {
        name: 'runtime-endpoint',
        value: 'SOCKET',
        completes: 'file',
        says: 'the CRI socket (else CONTAINER_RUNTIME_ENDPOINT, crictl.yaml, the known sockets)',
      },
    ],
    examples: [['sandwarden boot-report', 'After a reboot.']],
    load: () => import('../boot-report.ts'),
  },
  {
    name: 'boot',
    summary: 'what the units run at boot: clock, heal',
    about:
      'Run by the units of the boot hook, not by people. `clock` moves the clock forward to the end of the last ' +
      'boot, before the runtime starts. `heal` does the safe tier of healing before kubelet starts; with ' +
      '--after-kubelet what kubelet is refused afterwards. Each ends with exit code 0 whatever it finds: a boot ' +
      'goes on.',
    argument: { name: 'STEP', choices: ['clock', 'heal'] },
    options: [
      { name: 'layout', value: 'LAYOUT', choices: ['containerd', 'k3s'], says: 'in place of the one in boot.conf' },
      { name: 'no-clock-floor', says: 'never move the clock' },
      { name: 'limit', value: 'SECONDS', says: 'limit of the whole step; default 60, with --after-kubelet 300' },
      { name: 'after-kubelet', says: 'watch kubelet after its start, in place of healing before it; tell the cluster' },
      {
        name: 'state-dir',
        value: 'DIR',
        completes: 'directory',
        says: 'where the journal is (/var/lib/sandwarden)',
      },
      { name: 'runtime-endpoint', value: 'SOCKET', completes: 'file', says: 'the CRI socket' },
    ],
    examples: [
      ['sandwarden boot clock', 'From early.sh.'],
      ['sandwarden boot heal --layout k3s', 'Before k3s starts.'],
      ['sandwarden boot heal --after-kubelet', 'After it.'],
    ],
    hidden: true,
    load: () => import('../boot.ts'),
  },
];
