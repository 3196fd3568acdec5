/** The part of a kubelet that pods of a test meet: they start, write a log, end, and go when they are deleted. */
import { PassThrough } from 'node:stream';
import { type KubeObject, listAt, textAt } from './objects.ts';
import type { KubeServer, KubeServerOptions } from './server.ts';

/** What a pod does: yields what it writes, returns its exit code. `ending` is aborted when it gets SIGTERM. */
export type Program = (pod: KubeObject, ending: AbortSignal, stdin: PassThrough) => AsyncGenerator<string, number>;

export interface ScriptedKubelet {
  /** To be given to the server, which has to be made first of both. */
  readonly logOf: NonNullable<KubeServerOptions['logOf']>;
  readonly onStdin: NonNullable<KubeServerOptions['onStdin']>;
  /** Cuts all logs that are being followed. */
  cutLogs(): void;
  attach(api: KubeServer): void;
}

interface Life {
  readonly ending: AbortController;
  readonly stdin: PassThrough;
  text: string;
  isOver: boolean;
  woken: PromiseWithResolvers<void>;
}

/**
 * A kubelet of all nodes that runs each pod by `program`. `refuses` may keep one from starting: the state that is
 * given (`{ waiting: { reason } }`, with the pod's conditions where it matters) is then all that happens.
 */
export function scriptedKubelet(program: Program, refuses?: (pod: KubeObject) => object | undefined): ScriptedKubelet {
  const lives = new Map<string, Life>();
  const cuts = new Set<AbortController>();

  async function run(api: KubeServer, pod: KubeObject, life: Life): Promise<void> {
    setState(api, pod, 'Running', { running: {} });
    const running = program(pod, life.ending.signal, life.stdin);
    let exitCode = 137;
    try {
      for (;;) {
        const step = await running.next();
        if (step.done) {
          exitCode = step.value;
          break;
        }
        life.text += step.value;
        wake(life);
      }
    } finally {
      life.isOver = true;
      wake(life);
      const reason = exitCode === 0 ? 'Completed' : 'Error';
      setState(api, pod, exitCode === 0 ? 'Succeeded' : 'Failed', { terminated: { exitCode, reason } });
      if (life.ending.signal.aborted) remove(api, pod);
    }
  }

  return {
    onStdin: (pod, bytes) => void lives.get(pod.metadata.uid)?.stdin.write(bytes),
    cutLogs: () => {
      for (const each of cuts) each.abort();
    },
    logOf: async function* (pod, _query, signal) {
      const life = lives.get(pod.metadata.uid);
      const cut = new AbortController();
      cuts.add(cut);
      const either = AbortSignal.any([signal, cut.signal]);
      const aborted = new Promise<void>((resolve) => either.addEventListener('abort', () => resolve()));
      try {
        for (let at = 0; life !== undefined; ) {
          if (cut.signal.aborted) throw new Error('the log is cut');
          if (either.aborted) return;
          const [text, isOver] = [life.text.slice(at), life.isOver];
          at += text.length;
          if (text !== '') yield text;
          else if (isOver) return;
          else await Promise.race([life.woken.promise, aborted]);
        }
      } finally {
        cuts.delete(cut);
      }
    },
    attach: (api) => {
      api.store.subscribe(({ resource, object, before, deleted }) => {
        if (resource.name !== 'pods' || deleted) return;
        const known = lives.get(object.metadata.uid);
        if (before === undefined && textAt(object, 'spec', 'nodeName') !== '') {
          const refused = refuses?.(object);
          if (refused !== undefined) return queueMicrotask(() => setState(api, object, 'Pending', refused));
          const life = newLife();
          lives.set(object.metadata.uid, life);
          queueMicrotask(() => void run(api, object, life));
        } else if (object.metadata.deletionTimestamp !== undefined) {
          known?.ending.abort();
          if (known === undefined || known.isOver) queueMicrotask(() => remove(api, object));
        }
      });
    },
  };
}

function newLife(): Life {
  const woken = Promise.withResolvers<void>();
  return { ending: new AbortController(), stdin: new PassThrough(), text: '', isOver: false, woken };
}

function wake(life: Life): void {
  life.woken.resolve();
  life.woken = Promise.withResolvers();
}

function setState(api: KubeServer, { metadata }: KubeObject, phase: string, told: object): void {
  const pods = api.resource('pods');
  const pod = api.store.find(pods, metadata.namespace, metadata.name);
  if (pod?.metadata.uid !== metadata.uid) return;
  const name = textAt(listAt(pod, 'spec', 'containers')[0], 'name');
  const { conditions = [], ...state } = told as { conditions?: unknown[] };
  const containerStatuses = [{ name, ready: false, restartCount: 0, image: '', imageID: '', state }];
  api.store.update(pods, metadata.namespace, metadata.name, {
    ...pod,
    status: { phase, conditions, containerStatuses },
  });
}

function remove(api: KubeServer, { metadata }: KubeObject): void {
  const pods = api.resource('pods');
  const pod = api.store.find(pods, metadata.namespace, metadata.name);
  if (pod?.metadata.uid !== metadata.uid) return;
  api.store.delete(pods, metadata.namespace, metadata.name, { gracePeriodSeconds: 0 });
}
