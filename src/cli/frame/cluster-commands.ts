import type { CommandSpec, OptionSpec } from './command.ts';

/** Which cluster, for what asks about more than this node. */
export const clusterOptions: readonly OptionSpec[] = [
  {
    name: 'kubeconfig',
    value: 'FILE',
    completes: 'file',
    says: 'the credentials (else KUBECONFIG, ~/.kube/config, those of a control plane)',
  },
  { name: 'context', value: 'NAME', says: 'the context of the kubeconfig, in place of the current one' },
];

/** What looks at a cluster by its API, from anywhere. */
export const clusterCommands: readonly CommandSpec[] = [
  {
    name: 'fleet',
    summary: 'say which nodes of the cluster are in trouble, and with what',
    about:
      'Asks the Kubernetes API, and no node: conditions, leases, pods that are not well, and the events of the last ' +
      'hour (names that old sandboxes hold, sandboxes made again and again, reboots, CSI drivers that are not ' +
      'registered). What has lasted longest comes first. `sandwarden --node NAME check` then tells why. Changes ' +
      'nothing.\n\n' +
      'Exit codes: 0 all healthy, 10 warnings, 20 errors, 69 the API could not be asked, 77 it forbids it.',
    options: [
      { name: 'output', short: 'o', value: 'FORMAT', choices: ['text', 'json'], says: 'how to write it' },
      { name: 'all', says: 'every node, also those in order' },
      ...clusterOptions,
    ],
    examples: [
      ['sandwarden fleet', 'One screen of what is wrong.'],
      ['kubectl sandwarden fleet --context prod', 'As a plugin of kubectl.'],
      ['sandwarden fleet --all -o json', 'Every node, for a script.'],
    ],
    load: () => import('../fleet.ts'),
  },
];
