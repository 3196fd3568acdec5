import type { CommandSpec, OptionSpec } from './command.ts';

const root: OptionSpec = {
  name: 'root',
  value: 'DIR',
  completes: 'directory',
  says: 'work on the files of an image below DIR; nothing of this machine is changed',
};
const yes: OptionSpec = { name: 'yes', short: 'y', says: 'do not ask' };
const dryRun: OptionSpec = {
  name: 'dry-run',
  short: 'n',
  says: 'print what would be done, as a shell script, and stop',
};

/** The commands that put the boot hook there, take it away, and tell how it stands. */
export const installCommands: readonly CommandSpec[] = [
  {
    name: 'install',
    summary: 'heal each boot after a power cut, before kubelet starts',
    about:
      'Finds how this node starts its runtime and kubelet, shows the systemd units it will write, asks, writes ' +
      'them all or none, verifies them, and enables them for the next boot. A second run changes nothing. A file ' +
      'that somebody changed, or that is not ours, is never overwritten without --force.\n\n' +
      'Served: kubeadm, EKS and other nodes with containerd.service and kubelet.service; k3s and RKE2, server and ' +
      'agent. Exit codes: 0 done or nothing to do, 30 something is in the way, 64 no terminal and no --yes, 69 a ' +
      'layout that is not served, 77.',
    options: [
      yes,
      dryRun,
      { name: 'no-clock-floor', says: 'never move the clock at boot' },
      { name: 'no-boot-heal', says: 'only watch the clock and how boots end' },
      { name: 'no-publish', says: "never write an unclean boot into this node's object in the cluster" },
      {
        name: 'wait-for-time-sync',
        value: 'SECONDS',
        says: 'how long a boot whose clock is behind waits for its synchronisation (5)',
      },
      { name: 'limit', value: 'SECONDS', says: 'how long a boot waits for the healing before kubelet (60)' },
      { name: 'force', says: 'replace what was changed; uninstall puts foreign files back' },
      {
        name: 'program',
        value: 'FILE',
        completes: 'file',
        says: 'the sandwarden.js to run at boot, in place of the one that runs now',
      },
      root,
    ],
    examples: [
      ['sudo sandwarden install', 'Shows the units and asks.'],
      ['sandwarden install --dry-run', 'Every file, whole.'],
      ['sudo sandwarden install --yes --no-clock-floor', 'From a script; the clock is left alone.'],
      ['sandwarden install --yes --root /mnt/image', 'Into an image that is being built.'],
    ],
    load: () => import('../install.ts'),
  },
  {
    name: 'uninstall',
    summary: 'take away what install wrote, and nothing else',
    about:
      'Removes exactly the files that install wrote, puts back what it replaced, and lets systemd forget the units. ' +
      'The journal of what was healed stays; --purge removes it too. Files that were changed since stay where they ' +
      'are, and so does everything else, until --force.',
    options: [
      yes,
      dryRun,
      { name: 'force', says: 'also remove files that were changed since' },
      { name: 'purge', says: 'also remove /var/lib/sandwarden with the journal' },
      root,
    ],
    examples: [
      ['sudo sandwarden uninstall', 'Asks first.'],
      ['sudo sandwarden uninstall --yes --purge', 'As if it had never been there.'],
    ],
    load: () => import('../uninstall.ts'),
  },
  {
    name: 'status',
    summary: 'tell whether the boot hook is installed, ran, and what it did',
    about:
      'What is installed and by which version, what was changed since, whether each unit ran at this boot, what it ' +
      'did, and when the last boot was that followed a power cut. Changes nothing.\n\n' +
      'Exit codes: 0 installed and in order, 10 not installed, changed, cut off or failed, 77.',
    options: [
      { name: 'output', short: 'o', value: 'FORMAT', choices: ['text', 'json'], says: 'how to write it' },
      root,
    ],
    examples: [
      ['sandwarden status', 'Did it run?'],
      ['sandwarden status -o json', 'For a script.'],
    ],
    load: () => import('../status.ts'),
  },
];
