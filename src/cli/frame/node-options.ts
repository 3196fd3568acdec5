import { clusterOptions } from './cluster-commands.ts';
import type { OptionSpec } from './command.ts';

/** What may stand before COMMAND together with `--node`. What stands after it is for the program on the node. */
export const nodeOptions: readonly OptionSpec[] = [
  { name: 'node', value: 'NAME', says: 'run COMMAND on this node of the cluster, through a debug pod' },
  ...clusterOptions,
  { name: 'namespace', value: 'NAME', says: 'where the debug pod is made (kube-system)' },
  {
    name: 'program',
    value: 'PATH',
    says: 'where the program is on the node (/usr/local/bin/sandwarden, else as --copy)',
  },
  { name: 'copy', says: 'take this program there for the run, in place of the one on the node' },
  {
    name: 'program-image',
    value: 'NAME',
    says: 'take the program from an image of `make image`; where it cannot be pulled, as --copy',
  },
  { name: 'image', value: 'NAME', says: 'the image of the debug pod otherwise: any, nothing of it is run' },
  { name: 'start-timeout', value: 'SECONDS', says: 'how long the debug pod may take to start (60)' },
];

/** What `sandwarden --node NAME --help` tells. */
export const nodePage = {
  usage: ['sandwarden --node NAME [OPTION]... COMMAND [OPTION]...'],
  about:
    'Runs COMMAND on a node without SSH, through a debug pod: its output comes as it is written, its exit code is ' +
    'given, and the pod is removed. What stands after COMMAND is for the program on the node; its own --help tells ' +
    'it.\n\nNobody is asked on that side: heal needs --yes. docs/cluster.md tells all.',
  options: nodeOptions,
  examples: [
    ['sandwarden --node node-7 check', 'With the program that is installed there; with this one where none is.'],
    ['sandwarden --node node-7 --copy heal --dry-run', 'With this one, whatever is installed there.'],
    ['sandwarden --node node-7 --program-image registry.example/sandwarden:1 check', 'With that of an image.'],
  ],
} as const;
