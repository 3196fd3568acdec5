import type { SnapshotSource } from '../../model/snapshot.ts';

/** What a source of a snapshot is called in a report. */
export const sourceNames: Readonly<Record<SnapshotSource, string>> = {
  node: 'the node',
  clock: 'the clock',
  boots: 'boot record',
  runtime: 'the runtime',
  runtimeUnit: "the runtime's unit",
  sandboxes: 'sandbox list',
  containers: 'container list',
  kubelet: 'kubelet',
  kubeletLog: "kubelet's log",
  runtimeLog: "the runtime's log",
  processes: 'processes',
  pods: 'pods of the API',
  units: 'units of systemd',
  cgroups: 'the cgroup tree',
  runtimeConfig: "the runtime's configuration",
  kubeletConfig: "kubelet's configuration",
  controllerChanges: 'the watch over controllers',
  kernelLog: "the kernel's log",
  csi: "sockets in kubelet's plugin folders",
  containerEvents: "the runtime's events",
  refusals: "kubelet's events in the API",
  volumes: 'VolumeAttachments of the API',
  csiNode: 'CSINode of the API',
};
