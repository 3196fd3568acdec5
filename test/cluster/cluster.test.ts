// Goal: what is promised of a cluster holds on a real one, whose API server, kubelet and access rules are not ours.
// Method: Kubernetes 1.20.2 made of Debian's source over a real containerd 1.7 (lab/cluster/); the built program, on
// the node and beside it, with no more rights than docs/kubernetes-access.md names.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { type Cluster, startCluster } from '../../lab/cluster/cluster.ts';
import { type Finished, run, until } from '../../lab/run.ts';

const program = resolve(import.meta.dirname, '../../dist/sandwarden.js');
const lab = await labAvailable(['1.7']);
const image = 'sandwarden.test/workload:1';

describe('a real cluster', { skip: lab.ok ? false : lab.why }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster();
    await cluster.apply(deployment('web', 2), job('report'));
    await untilRuns('web', 2);
    await until('the Job is done', 90_000, async () => {
      const done = await cluster.kubectl('get', 'job', 'report', '-o', 'jsonpath={.status.succeeded}');
      return done === '1' || undefined;
    });
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const untilRuns = (name: string, count: number) =>
    until(`${name} runs`, 120_000, async () => {
      const path = 'jsonpath={.status.readyReplicas}';
      return (await cluster.kubectl('get', 'deployment', name, '-o', path)) === String(count) || undefined;
    });
  /** The program on the node: its /proc, /run and /var/lib are the node's. */
  const onNode = (...args: string[]): Promise<Finished> => {
    const [enter = '', ...prefix] = cluster.rig.enter;
    return run(enter, [...prefix, process.execPath, program, ...args], { check: false, timeoutMs: 300_000 });
  };
  const looks = () => [
    ...['--runtime-endpoint', cluster.endpoint, '--kubelet-log', cluster.kubeletLog],
    ...['--runtime-log', cluster.runtimeLog],
  ];
  const beside = (...args: string[]) => run(process.execPath, [program, ...args], { check: false, timeoutMs: 120_000 });
  const throughPod = (kubeconfig: string, ...args: string[]) =>
    beside('--node', cluster.node, '--kubeconfig', kubeconfig, ...args);

  /** Somebody with these of the documented roles. */
  async function personWith(name: string, ...roles: string[]): Promise<string> {
    await cluster.kubectl('apply', '-f', await documentedRoles(cluster));
    const subjects = [{ kind: 'User', name, apiGroup: 'rbac.authorization.k8s.io' }];
    await cluster.apply(
      ...roles.map((role) => ({
        ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding' },
        metadata: { name: `${name}-${role}` },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
        subjects,
      })),
    );
    return cluster.kubeconfig({ name });
  }

  test("a healthy node, with kubelet's own credentials", async () => {
    const { status, stdout, stderr } = await onNode('check', ...looks(), '--kubeconfig', cluster.kubelet);
    assert.ok(status === 0 || status === 10, stdout + stderr);
    assert.match(stdout, /2 pods have their sandboxes/);
    assert.doesNotMatch(stdout, /pods of the API/);
  });

  test('--node takes the program there with the documented roles and no more, and leaves no pod', async () => {
    const some = await personWith('some', 'sandwarden-node');
    const refused = await throughPod(some, 'check');
    assert.equal(refused.status, 77, refused.stderr);
    assert.match(refused.stderr, /get resource "pods\/attach"/);
    const all = await personWith('all', 'sandwarden-node', 'sandwarden-node-copy');
    const done = await throughPod(all, 'check', ...looks());
    assert.ok(done.status === 0 || done.status === 10, done.stdout + done.stderr);
    assert.match(done.stdout, /pods have their sandboxes/);
    await until('the debug pods are gone', 60_000, async () => {
      return (await cluster.kubectl('-n', 'kube-system', 'get', 'pods', '-o', 'name')) === '' || undefined;
    });
  });

  test('a power cut with dates ahead: the loop is real, heal ends it, and the Job keeps its log', async () => {
    await cluster.powerCut({ datesAheadS: 7_200 });
    await until('kubelet is refused', 180_000, async () => {
      return /is reserved for/.test(await readFile(cluster.kubeletLog, 'utf8')) || undefined;
    });
    const check = await onNode('check', ...looks(), '--kubeconfig', cluster.kubelet);
    assert.equal(check.status, 20, check.stdout + check.stderr);
    assert.match(check.stdout, /^2 pods do not run: the node booted with its clock/);
    const heal = await onNode('heal', '--yes', ...looks(), '--kubeconfig', cluster.kubelet);
    assert.equal(heal.status, 0, heal.stdout + heal.stderr);
    assert.match(heal.stdout, /not touching default\/report-\w+\/0: finished pod \(Succeeded\)/);
    assert.match(heal.stdout, /Recovered in .*: 2 pods came back/);
    await untilRuns('web', 2);
    assert.equal(await cluster.kubectl('logs', 'job/report'), 'done\n');
  });

  test("an unclean boot is told with kubelet's credentials, which may write that and no other node", async () => {
    const [enter = '', ...prefix] = cluster.rig.enter;
    const script = 'cp "$1" /var/lib/kubelet/kubeconfig; mkdir -p /run/sandwarden; touch /run/sandwarden/unclean';
    await run(enter, [...prefix, 'sh', '-ec', script, 'sh', cluster.kubelet]);
    const { stdout } = await onNode('boot', 'heal', '--after-kubelet', '--runtime-endpoint', cluster.endpoint);
    assert.match(stdout, /the cluster was told: sandwarden\/last-unclean-boot on node localhost/);
    const person = await personWith('watcher', 'sandwarden-fleet');
    const fleet = await beside('fleet', '--all', '--kubeconfig', person);
    // By the events of the loop that has just ended it may be in trouble still.
    assert.ok(fleet.status === 0 || fleet.status === 20, fleet.stdout + fleet.stderr);
    assert.match(fleet.stdout, /^localhost +\S+ +\S+ +\d+\w+ /m);
    assert.doesNotMatch(fleet.stdout, /Not looked at/);
  });
});

async function documentedRoles({ rig }: Cluster): Promise<string> {
  const text = await readFile(resolve(import.meta.dirname, '../../docs/kubernetes-access.md'), 'utf8');
  const file = join(rig.home, 'roles.yaml');
  await writeFile(file, [...text.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml]) => yaml).join('---\n'));
  return file;
}

const pod = (command: readonly string[]) => ({
  terminationGracePeriodSeconds: 1,
  dnsPolicy: 'Default',
  containers: [{ name: 'c', image, imagePullPolicy: 'Never', command }],
});

function deployment(name: string, replicas: number): object {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: pod(['/bin/sleep', '1000000']) };
  const spec = { replicas, selector: { matchLabels: labels }, template };
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: 'default' }, spec };
}

function job(name: string): object {
  const template = { spec: { ...pod(['/bin/sh', '-c', 'echo done']), restartPolicy: 'Never' } };
  return { apiVersion: 'batch/v1', kind: 'Job', metadata: { name, namespace: 'default' }, spec: { template } };
}
