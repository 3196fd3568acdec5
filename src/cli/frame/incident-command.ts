import type { CommandSpec } from './command.ts';

/** The history of a node, over all its boots. */
export const incidentCommand: CommandSpec = {
  name: 'incident',
  summary: 'tell what happened on this node, boot by boot, and what fed what',
  about:
    'Reads the journal of all boots, the kernel log in it, pstore and our own journal: boots and how they ended, ' +
    'steps of the clock, dead sandboxes, CSI drivers, crash loops, stalls of the kernel an hour, freezes of the ' +
    'API, what was healed. The verdict comes first: whether a reset has led to the next one, by which links, and ' +
    'what ends it. Changes nothing.\n\n' +
    'Dates are by the wall clock of each boot, which may have been wrong; the order is by boot and by the ' +
    "kernel's own count. Exit codes: 0 told, whatever happened; 64 wrong usage; 69 no journal tells of this " +
    'time; 77 permission denied.',
  options: [
    { name: 'since', value: 'WHEN', says: 'how far back: 12h, 2d, 3w or a date (2025-11-13); default 3d' },
    {
      name: 'output',
      short: 'o',
      value: 'FORMAT',
      choices: ['text', 'json', 'html'],
      says: 'how to write it; html is one page that needs nothing else',
    },
    {
      name: 'journal',
      value: 'PATH',
      completes: 'file',
      says: 'a journal file or directory of another machine, in place of this one',
    },
    {
      name: 'state-dir',
      value: 'DIR',
      completes: 'directory',
      says: 'where our own journal is (/var/lib/sandwarden)',
    },
    {
      name: 'kubeconfig',
      value: 'FILE',
      completes: 'file',
      says: "also the cluster's events about this node (else KUBECONFIG; without both it is not asked)",
    },
    {
      name: 'node-name',
      value: 'NAME',
      says: 'what the node is called in its cluster (else the host name; with --journal the cluster is asked only so)',
    },
  ],
  examples: [
    ['sandwarden incident', 'The last three days.'],
    ['sandwarden incident --since 2w -o html > incident.html', 'Two weeks, as a page to send around.'],
    ['sandwarden incident --journal /mnt/disk/var/log/journal', 'The disk of a node that is dead.'],
    ['sandwarden incident -o json', 'For a script.'],
  ],
  load: () => import('../incident.ts'),
};
