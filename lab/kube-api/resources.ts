import { at, type Column, type KubeObject, listAt, type Resource, textAt } from './objects.ts';
import { ageOf, podColumns } from './pod-columns.ts';

const age: Column = { name: 'Age', of: ({ metadata }, nowMs) => ageOf(metadata.creationTimestamp, nowMs) };
const text = (name: string, ...path: (string | number)[]): Column => ({ name, of: (each) => textAt(each, ...path) });
const core = { group: '', version: 'v1', namespaced: true } as const;
const storage = { group: 'storage.k8s.io', version: 'v1', namespaced: false } as const;

/** The resources that Sandwarden has to do with, and what `kubectl` needs around them. */
export const builtIn: readonly Resource[] = [
  {
    ...core,
    name: 'pods',
    kind: 'Pod',
    shortNames: ['po'],
    selectable: ['spec.nodeName', 'spec.restartPolicy', 'status.phase', 'status.podIP', 'spec.schedulerName'],
    subresources: ['log', 'attach', 'eviction', 'ephemeralcontainers'],
    columns: podColumns,
  },
  {
    ...core,
    name: 'nodes',
    kind: 'Node',
    namespaced: false,
    shortNames: ['no'],
    selectable: ['spec.unschedulable'],
    columns: [
      { name: 'Status', of: nodeStatus },
      { name: 'Roles', of: nodeRoles },
      age,
      text('Version', 'status', 'nodeInfo', 'kubeletVersion'),
    ],
  },
  {
    ...core,
    name: 'events',
    kind: 'Event',
    shortNames: ['ev'],
    selectable: [
      ...['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map(
        (field) => `involvedObject.${field}`,
      ),
      ...['reason', 'reportingComponent', 'source', 'type'],
    ],
    columns: [
      { name: 'Last Seen', of: (event, nowMs) => ageOf(textAt(event, 'lastTimestamp'), nowMs) },
      text('Type', 'type'),
      text('Reason', 'reason'),
      {
        name: 'Object',
        of: (each) =>
          `${textAt(each, 'involvedObject', 'kind').toLowerCase()}/${textAt(each, 'involvedObject', 'name')}`,
      },
      text('Message', 'message'),
    ],
  },
  {
    ...core,
    name: 'namespaces',
    kind: 'Namespace',
    namespaced: false,
    shortNames: ['ns'],
    columns: [text('Status', 'status', 'phase'), age],
  },
  {
    ...core,
    name: 'persistentvolumes',
    kind: 'PersistentVolume',
    namespaced: false,
    shortNames: ['pv'],
    columns: [text('Capacity', 'spec', 'capacity', 'storage'), text('Status', 'status', 'phase'), age],
  },
  {
    ...core,
    name: 'persistentvolumeclaims',
    kind: 'PersistentVolumeClaim',
    shortNames: ['pvc'],
    columns: [text('Status', 'status', 'phase'), text('Volume', 'spec', 'volumeName'), age],
  },
  { ...core, name: 'configmaps', kind: 'ConfigMap', shortNames: ['cm'], columns: [age] },
  { ...core, name: 'serviceaccounts', kind: 'ServiceAccount', shortNames: ['sa'], columns: [age] },
  {
    ...storage,
    name: 'volumeattachments',
    kind: 'VolumeAttachment',
    columns: [
      text('Attacher', 'spec', 'attacher'),
      text('PV', 'spec', 'source', 'persistentVolumeName'),
      text('Node', 'spec', 'nodeName'),
      { name: 'Attached', of: (each) => String(at(each, 'status', 'attached') ?? false) },
      age,
    ],
  },
  {
    ...storage,
    name: 'csinodes',
    kind: 'CSINode',
    columns: [{ name: 'Drivers', type: 'integer', of: (each) => listAt(each, 'spec', 'drivers').length }, age],
  },
  { ...storage, name: 'csidrivers', kind: 'CSIDriver', columns: [age] },
  {
    group: 'coordination.k8s.io',
    version: 'v1',
    namespaced: true,
    name: 'leases',
    kind: 'Lease',
    columns: [text('Holder', 'spec', 'holderIdentity'), age],
  },
  {
    group: 'apps',
    version: 'v1',
    namespaced: true,
    name: 'statefulsets',
    kind: 'StatefulSet',
    shortNames: ['sts'],
    columns: [
      {
        name: 'Ready',
        of: (each) => `${at(each, 'status', 'readyReplicas') ?? 0}/${at(each, 'spec', 'replicas') ?? 1}`,
      },
      age,
    ],
  },
  {
    group: 'apps',
    version: 'v1',
    namespaced: true,
    name: 'daemonsets',
    kind: 'DaemonSet',
    shortNames: ['ds'],
    columns: [
      { name: 'Desired', type: 'integer', of: (each) => Number(at(each, 'status', 'desiredNumberScheduled') ?? 0) },
      { name: 'Ready', type: 'integer', of: (each) => Number(at(each, 'status', 'numberReady') ?? 0) },
      age,
    ],
  },
];

/** Argo CD's Application, as its CustomResourceDefinition makes it. */
export const applications: Resource = {
  group: 'argoproj.io',
  version: 'v1alpha1',
  namespaced: true,
  name: 'applications',
  kind: 'Application',
  shortNames: ['app', 'apps'],
  columns: [
    text('Sync Status', 'status', 'sync', 'status'),
    text('Health Status', 'status', 'health', 'status'),
    { ...text('Revision', 'status', 'sync', 'revision'), priority: 1 },
  ],
};

function nodeStatus(node: KubeObject): string {
  const ready = listAt(node, 'status', 'conditions').find((each) => at(each, 'type') === 'Ready');
  const status = { True: 'Ready', False: 'NotReady' }[textAt(ready, 'status')] ?? (ready ? 'NotReady' : 'Unknown');
  return at(node, 'spec', 'unschedulable') === true ? `${status},SchedulingDisabled` : status;
}

function nodeRoles({ metadata }: KubeObject): string {
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.keys(metadata.labels ?? {}).filter((label) => label.startsWith(prefix));
  return roles.map((label) => label.slice(prefix.length)).join(',') || '<none>';
}
