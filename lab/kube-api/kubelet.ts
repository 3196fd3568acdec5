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
  /** Cuts all logs that are being followed; `quietly`: in good order, as a proxy ends what takes too long. */
  cutLogs(quietly?: boolean): void;
  /** Begins a new file for each log: what is in the old one is given to nobody who asks afterwards. */
  rotateLogs(): void;
  attach(api: KubeServer): void;
}

interface Life {
  readonly ending: AbortController;
  readonly stdin: PassThrough;
  text: string;
  /** The same with a timestamp before each line. */
  stamped: string;
  lines: number;
  /** Where the newest file begins, in both. */
  from: { text: number; stamped: number };
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

  return {
    onStdin: (pod, bytes) => void lives.get(pod.metadata.uid)?.stdin.write(bytes),
    cutLogs: (quietly = false) => {
      for (const each of cuts) each.abort(quietly);
    },
    rotateLogs: () => {
      for (const life of lives.values()) life.from = { text: life.text.length, stamped: life.stamped.length };
    },
    logOf: async function* (pod, query, signal) {
      const life = lives.get(pod.metadata.uid);
      const cut = new AbortController();
      cuts.add(cut);
      const either = AbortSignal.any([signal, cut.signal]);
      const aborted = new Promise<void>((resolve) => either.addEventListener('abort', () => resolve()));
      try {
        const which = query.get('timestamps') === 'true' ? 'stamped' : 'text';
        for (let at = life?.from[which] ?? 0; life !== undefined; ) {
          if (cut.signal.aborted && cut.signal.reason !== true) throw new Error('the log is cut');
          if (either.aborted) return;
          const [text, isOver] = [life[which].slice(at), life.isOver];
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
          queueMicrotask(() => void run(api, program, object, life));
        } else if (object.metadata.deletionTimestamp !== undefined) {
          known?.ending.abort();
          if (known === undefined || known.isOver) queueMicrotask(() => remove(api, object));
        }
      });
    },
  };
}

async function run(api: KubeServer, program: Program, pod: KubeObject, life: Life): Promise<void> {
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
      say(life, step.value);
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

function newLife(): Life {
  const woken = Promise.withResolvers<void>();
  const log = { text: '', stamped: '', lines: 0, from: { text: 0, stamped: 0 } };
  return { ending: new AbortController(), stdin: new PassThrough(), ...log, isOver: false, woken };
}

function say(life: Life, text: string): void {
  for (const part of text.split(/(?<=\n)/)) {
    const isNew = life.text === '' || life.text.endsWith('\n');
    const stamp = () => `2026-03-01T00:00:00.${String(++life.lines).padStart(9, '0')}Z `;
    life.text += part;
    life.stamped += part === '' || !isNew ? part : `${stamp()}${part}`;
  }
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
