/** What `--node` needs of the API: test/cli/remote.test.ts measures it, docs/kubernetes-access.md grants it. */
export const remotePermissions = [
  'create pods',
  'delete pods',
  'get namespaces',
  'get nodes',
  'get pods/log',
  'list pods',
  'watch pods',
];
