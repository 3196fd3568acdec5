import type { OptionSpec } from './command.ts';

/** Where to look: the same for each command that looks at a node. */
export const looking: readonly OptionSpec[] = [
  {
    name: 'runtime-endpoint',
    value: 'SOCKET',
    completes: 'file',
    says: 'the CRI socket (else CONTAINER_RUNTIME_ENDPOINT, crictl.yaml, the known sockets)',
  },
  { name: 'kubelet-log', value: 'FILE', completes: 'file', says: "read kubelet's log from this file, not the journal" },
  {
    name: 'runtime-log',
    value: 'FILE',
    completes: 'file',
    says: "read the runtime's log from this file, not the journal",
  },
  {
    name: 'kubeconfig',
    value: 'FILE',
    completes: 'file',
    says: "the credentials to list this node's pods with (else KUBECONFIG, the node's own)",
  },
  {
    name: 'node-name',
    value: 'NAME',
    says: 'what this node is called in its cluster (else its certificate, its host name)',
  },
  { name: 'timeout', value: 'SECONDS', says: 'deadline of each question to the runtime (10)' },
];
