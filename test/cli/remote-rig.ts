import { writeFile } from 'node:fs/promises';
import { addNode } from '../../lab/kube-api/fleet.ts';
import { type Program, scriptedKubelet } from '../../lab/kube-api/kubelet.ts';
import { type KubeObject, listAt } from '../../lab/kube-api/objects.ts';
import { type KubeServer, type KubeServerOptions, kubeServer } from '../../lab/kube-api/server.ts';
import type { Io } from '../../src/cli/frame/io.ts';
import { run } from '../../src/cli/run.ts';
import { tempDir } from '../helpers/temp.ts';

/** `sandwarden --node` against an API server with a scripted kubelet, whose one node is `n1`. */
export interface Rig extends AsyncDisposable {
  readonly api: KubeServer;
  readonly io: Io;
  readonly out: { stdout: string; stderr: string };
  readonly pods: KubeObject[];
  sandwarden(...argv: string[]): Promise<number>;
  /** Ctrl-C. */
  interrupt(): void;
  cutLogs(quietly?: boolean): void;
  rotateLogs(): void;
  /** Waits until something was written that matches. */
  written(what: RegExp): Promise<void>;
}

export interface RigOptions extends KubeServerOptions {
  readonly refuses?: (pod: KubeObject) => object | undefined;
  readonly prepare?: (api: KubeServer) => void;
}

/** Makes one; its pods run by `program`. */
export async function rig(program: Program, { refuses, prepare, ...options }: RigOptions = {}): Promise<Rig> {
  const kubelet = scriptedKubelet(program, refuses);
  const api = await kubeServer({ logOf: kubelet.logOf, onStdin: kubelet.onStdin, ...options });
  addNode(api, 'n1', Date.now());
  prepare?.(api);
  kubelet.attach(api);
  const pods: KubeObject[] = [];
  api.store.subscribe(({ resource, object, before }) => {
    if (resource.name === 'pods' && before === undefined) pods.push(object);
  });
  const home = await tempDir();
  const clusters = [{ name: 'c', cluster: { server: api.url } }];
  const contexts = [{ name: 'c', context: { cluster: 'c' } }];
  await writeFile(home.join('config'), JSON.stringify({ 'current-context': 'c', contexts, clusters }));
  const out = { stdout: '', stderr: '' };
  let onWrite = () => {};
  const handlers = new Set<() => void>();
  const output = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      out[name] += text;
      onWrite();
    },
    whenGone: () => {},
    isTerminal: false,
    columns: 90,
    takesColour: false,
  });
  const io: Io = {
    env: { KUBECONFIG: home.join('config'), LC_ALL: 'C.UTF-8' },
    stdout: output('stdout'),
    stderr: output('stderr'),
    stdinIsTerminal: false,
    confirm: () => Promise.reject(new Error('nobody is asked')),
    onInterrupt: (handler) => {
      handlers.add(handler);
      return () => handlers.delete(handler);
    },
  };
  return {
    api,
    io,
    out,
    pods,
    sandwarden: (...argv) => run(argv, io),
    interrupt: () => {
      for (const each of handlers) each();
    },
    cutLogs: (quietly) => kubelet.cutLogs(quietly),
    rotateLogs: () => kubelet.rotateLogs(),
    written: async (what) => {
      const late = AbortSignal.timeout(10_000);
      while (!what.test(out.stdout)) {
        await new Promise<void>((wake, reject) => {
          onWrite = wake;
          late.addEventListener('abort', () => reject(late.reason), { once: true });
        });
      }
    },
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
}

/** The names of the pods that are still there. */
export const left = (api: KubeServer) => api.store.list(api.resource('pods')).map(({ metadata }) => metadata.name);
/** A pod that says one thing and ends. */
export const says = (text: string, code = 0): Program =>
  async function* () {
    yield text;
    return code;
  };
/** The command of a pod's container. */
export const commandOf = (pod: KubeObject | undefined) =>
  listAt(listAt(pod, 'spec', 'containers')[0], 'command') as string[];
