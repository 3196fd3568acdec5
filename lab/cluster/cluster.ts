import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { closeAtSignals } from '../at-signals.ts';
import { layout } from '../daemon.ts';
import { type RealRig, realRig } from '../rig.ts';
import { run, until } from '../run.ts';
import { type Authority, authorityIn, type Subject } from './certificates.ts';
import { kubernetes } from './kubernetes.ts';

/**
 * A real cluster of one node on this machine, on loopback alone: etcd, API server with the node authorizer and RBAC,
 * controller manager, scheduler, and kubelet over a real containerd 1.7 in a node space of its own. The node is called
 * `localhost`, by which the API server finds its kubelet.
 */
export interface Cluster extends AsyncDisposable {
  readonly rig: RealRig;
  readonly node: 'localhost';
  /** Kubeconfigs: of an admin, and of kubelet. */
  readonly admin: string;
  readonly kubelet: string;
  readonly kubeletLog: string;
  readonly runtimeLog: string;
  readonly endpoint: string;
  /** The kubeconfig of somebody whom nothing is allowed yet. */
  kubeconfig(subject: Subject): Promise<string>;
  /** `kubectl ARGS`, as admin: its stdout. Throws an Error with its stderr. */
  kubectl(...args: string[]): Promise<string>;
  /** `kubectl apply` of objects. */
  apply(...objects: object[]): Promise<void>;
  /** The power is cut; containerd and kubelet start again, with all dates on disk `datesAheadS` later. */
  powerCut(options?: { datesAheadS?: number }): Promise<void>;
}

/** Makes Kubernetes where that is missing (kubernetes.ts) and starts a cluster. Throws an Error; root only. */
export async function startCluster(): Promise<Cluster> {
  const { bin } = await kubernetes();
  const rig = await realRig('1.7', { keepsConfig: true });
  const parts = new Parts(rig, bin);
  const forget = closeAtSignals(() => parts.end());
  try {
    const control = await parts.startControl();
    await parts.startNode();
    return {
      rig,
      node: 'localhost',
      ...control,
      kubeletLog: parts.log('kubelet'),
      runtimeLog: layout(rig.home).log,
      endpoint: `unix://${layout(rig.home).socket}`,
      kubeconfig: (subject) => parts.kubeconfig(subject.name, subject),
      kubectl: (...args) => parts.kubectl(args),
      apply: async (...objects) => {
        const file = join(rig.home, 'apply.json');
        await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
        await parts.kubectl(['apply', '-f', file]);
      },
      powerCut: async ({ datesAheadS = 0 } = {}) => {
        await rig.powerCut();
        if (datesAheadS !== 0) await rig.shiftDates(datesAheadS);
        await parts.startNode();
      },
      [Symbol.asyncDispose]: async () => {
        await parts.end();
        forget();
      },
    };
  } catch (error) {
    await parts.end();
    forget();
    throw error;
  }
}

class Parts {
  readonly #rig: RealRig;
  readonly #bin: string;
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];
  #authority: Authority | undefined;
  #server = '';
  #kubeletPort: number | undefined;

  constructor(rig: RealRig, bin: string) {
    this.#rig = rig;
    this.#bin = bin;
    this.#folder = join(rig.home, 'cluster');
  }

  log(name: string): string {
    return join(this.#folder, `${name}.log`);
  }

  async startControl(): Promise<{ admin: string; kubelet: string }> {
    await mkdir(this.#folder, { recursive: true });
    const [etcdPort, peerPort, port] = await Promise.all([freePort(), freePort(), freePort()]);
    const [etcd, peer] = [`http://127.0.0.1:${etcdPort}`, `http://127.0.0.1:${peerPort}`];
    const clients = ['--listen-client-urls', etcd, '--advertise-client-urls', etcd];
    const peers = ['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer];
    const initial = ['--initial-cluster', `default=${peer}`, '--data-dir', join(this.#folder, 'etcd')];
    this.#start('etcd', 'etcd', [...clients, ...peers, ...initial]);
    this.#server = `https://127.0.0.1:${port}`;
    const authority = await authorityIn(this.#folder);
    this.#authority = authority;
    const [served, tokens] = [await authority.server('server'), await authority.tokenKeys()];
    const toKubelet = await authority.client('to-kubelet', { name: 'to-kubelet', groups: ['system:masters'] });
    this.#start('apiserver', join(this.#bin, 'kube-apiserver'), [
      ...[`--etcd-servers=${etcd}`, '--bind-address=127.0.0.1', `--secure-port=${port}`],
      // An address of documentation (RFC 5737): nobody is told of it, since nothing reconciles endpoints.
      ...[
        '--advertise-address=192.0.2.1',
        '--endpoint-reconciler-type=none',
        '--service-cluster-ip-range=10.96.0.0/16',
      ],
      ...[`--tls-cert-file=${served.certificate}`, `--tls-private-key-file=${served.key}`],
      ...[`--client-ca-file=${authority.certificate}`, `--service-account-key-file=${tokens.verify}`],
      ...[
        `--service-account-signing-key-file=${tokens.sign}`,
        '--service-account-issuer=https://kubernetes.default.svc',
      ],
      ...['--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction', '--allow-privileged=true'],
      ...[`--kubelet-client-certificate=${toKubelet.certificate}`, `--kubelet-client-key=${toKubelet.key}`],
      '--kubelet-preferred-address-types=Hostname',
    ]);
    const admin = await this.kubeconfig('admin', { name: 'admin', groups: ['system:masters'] });
    await until('the API server is ready', 90_000, async () => {
      return (await this.#asked('get', '--raw', '/readyz')) === 'ok' || undefined;
    });
    const manager = await this.kubeconfig('manager', { name: 'system:kube-controller-manager' });
    const scheduler = await this.kubeconfig('scheduler', { name: 'system:kube-scheduler' });
    const alone = ['--bind-address=127.0.0.1', '--leader-elect=false', '--secure-port=0', '--port=0'];
    this.#start('manager', join(this.#bin, 'kube-controller-manager'), [
      ...[`--kubeconfig=${manager}`, `--root-ca-file=${authority.certificate}`, '--use-service-account-credentials'],
      ...[`--service-account-private-key-file=${tokens.sign}`, ...alone],
    ]);
    this.#start('scheduler', join(this.#bin, 'kube-scheduler'), [`--kubeconfig=${scheduler}`, ...alone]);
    const groups = ['system:nodes'];
    return { admin, kubelet: await this.kubeconfig('kubelet', { name: 'system:node:localhost', groups }) };
  }

  async kubeconfig(file: string, subject: Subject): Promise<string> {
    if (this.#authority === undefined) throw new Error('the cluster has no authority yet');
    const { certificate, key } = await this.#authority.client(file, subject);
    const path = join(this.#folder, `${file}.conf`);
    const cluster = { server: this.#server, 'certificate-authority': this.#authority.certificate };
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'lab' },
      clusters: [{ name: 'lab', cluster }],
      users: [{ name: 'lab', user: { 'client-certificate': certificate, 'client-key': key } }],
      contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'lab' } }],
    };
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  async kubectl(args: readonly string[], check = true): Promise<string> {
    return (await run('kubectl', ['--kubeconfig', join(this.#folder, 'admin.conf'), ...args], { check })).stdout;
  }

  /** What kubectl said; nothing while the server does not answer. */
  #asked(...args: readonly string[]): Promise<string> {
    return this.kubectl(args, false);
  }

  async startNode(): Promise<void> {
    const started = await this.#rig.start();
    if (!started.ok) throw new Error(`containerd did not start: ${started.fatal}`);
    this.#kubeletPort ??= await freePort();
    const [program = '', ...prefix] = this.#rig.enter;
    this.#start('kubelet', program, [
      ...[...prefix, join(this.#bin, 'kubelet'), `--kubeconfig=${join(this.#folder, 'kubelet.conf')}`],
      ...['--container-runtime=remote', `--container-runtime-endpoint=unix://${layout(this.#rig.home).socket}`],
      ...['--hostname-override=localhost', '--address=127.0.0.1', `--port=${this.#kubeletPort}`],
      ...['--healthz-port=0', '--read-only-port=0'],
      // The laboratory's machine has cgroups of its own kind; controllers are what lab/vm is for.
      ...['--cgroups-per-qos=false', '--enforce-node-allocatable=', '--cgroup-driver=cgroupfs', '--fail-swap-on=false'],
      ...['--eviction-hard=', '--image-gc-high-threshold=100', '--resolv-conf=', '--v=2'],
      ...[`--client-ca-file=${this.#authority?.certificate}`, '--anonymous-auth=false', '--authorization-mode=Webhook'],
      ...['--volume-plugin-dir=/var/lib/kubelet/volume-plugins', '--cert-dir=/var/lib/kubelet/pki'],
    ]);
    await until('the node is ready', 90_000, async () => {
      const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
      return (await this.#asked('get', 'node', 'localhost', '-o', path)) === 'True' || undefined;
    }).catch(async (error: unknown) => {
      const log = await readFile(this.log('kubelet'), 'utf8');
      throw new Error(`kubelet does not come up: ${log.slice(-2_000)}`, { cause: error });
    });
  }

  async end(): Promise<void> {
    await this.#rig.close();
    for (const child of this.#children.reverse()) child.kill('SIGKILL');
    this.#children.length = 0;
  }

  #start(name: string, program: string, args: readonly string[]): void {
    const log = openSync(this.log(name), 'a');
    try {
      const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
      const child = spawn(program, args, { stdio: ['ignore', log, log], env });
      child.on('error', () => undefined);
      this.#children.push(child);
    } finally {
      closeSync(log);
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
