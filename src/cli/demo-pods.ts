import type { PodSpec } from '../embedded/pod-spec.ts';

/** What runs on the node of the demonstration: 48 pods as a small edge node has them, and a Job that finishes. */
export function demoPods(): PodSpec[] {
  const system = ['coredns', 'kube-proxy', 'metrics-server', 'node-exporter', 'local-path-provisioner', 'ingress'];
  const shops = ['web', 'api', 'cart', 'search', 'mail', 'cache', 'queue'];
  const names = [
    ...system.map((name) => ['kube-system', name] as const),
    ...shops.flatMap((name) => [0, 1, 2, 3, 4, 5].map((copy) => ['shop', `${name}-${copy}`] as const)),
  ];
  const pods = names.map(([namespace, name], index): PodSpec => {
    return { namespace, name, uid: uidOf(index), restartPolicy: 'Always', containers: [{ name, runs: 'forever' }] };
  });
  const report = { name: 'report', runs: { exitsAfterMs: 20_000, code: 0 } } as const;
  const job: PodSpec = {
    namespace: 'shop',
    name: 'nightly-report',
    uid: uidOf(names.length),
    restartPolicy: 'Never',
    containers: [report],
  };
  return [...pods, job];
}

function uidOf(index: number): string {
  return `5a4d0000-0000-4000-8000-${String(index + 1).padStart(12, '0')}`;
}
