import { connectKube, type KubeClient } from '../../kube/client.ts';
import { type ExitCode, isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { at, textOf } from '../../observe/json.ts';
import { findKubeAccess } from '../../observe/kube/credentials.ts';
import type { Io } from '../frame/io.ts';
import { consoleHint, refusedSandbox } from './console.ts';
import { packProgram, receiver } from './copy.ts';
import { PodLife } from './life.ts';
import { followLog } from './log.ts';
import type { RemoteRequest } from './options.ts';
import { containerName, debugPod } from './pod.ts';
import type { Progress } from './progress.ts';
import { checkNamespace, keptOut, type Target, targetOf } from './target.ts';

/**
 * `sandwarden --node NAME COMMAND`: runs the program of a node on that node, through a debug pod, and gives its exit
 * code. Its output comes as it is written. The pod is removed whatever happens; at Ctrl-C it gets SIGTERM first, and
 * what it still says is shown; a second Ctrl-C does not wait for it. `given` is the packed program, for `--copy`; this
 * one is packed where it is absent.
 */
export async function runOnNode(request: RemoteRequest, io: Io, given?: Buffer): Promise<ExitCode> {
  const access = await findKubeAccess({
    env: io.env,
    of: 'person',
    ...(request.kubeconfig === undefined ? {} : { flag: request.kubeconfig }),
    ...(request.context === undefined ? {} : { context: request.context }),
  });
  if (!access) {
    throw new SandwardenError('ERR_CONFIG', 'no Kubernetes credentials were found', {
      hint: 'Name a kubeconfig: sandwarden --node NAME --kubeconfig FILE COMMAND.',
    });
  }
  const client = connectKube(access, { timeoutMs: limits.nodeAnswerMs });
  const impatient = new AbortController();
  const ending = new AbortController();
  const stop = io.onInterrupt(() => (ending.signal.aborted ? impatient.abort() : ending.abort()));
  try {
    await checkNamespace(client, request.namespace, ending.signal);
    const target = await targetOf(client, request.node, ending.signal);
    const packed = request.copy ? (given ?? (await packProgram(target.architecture))) : undefined;
    return await tryImages({ client, request, io, target, packed, ending: ending.signal, impatient: impatient.signal });
  } finally {
    stop();
    client.close();
  }
}

interface Run {
  readonly client: KubeClient;
  readonly request: RemoteRequest;
  readonly io: Io;
  readonly target: Target;
  /** The program, where it is copied to the node. */
  readonly packed: Buffer | undefined;
  /** The first Ctrl-C, and the second one. */
  readonly ending: AbortSignal;
  readonly impatient: AbortSignal;
}

/** One image after another, until one is there: a pod's image cannot be changed to one of another policy. */
async function tryImages(run: Run): Promise<ExitCode> {
  const { request, target, io } = run;
  const named = request.image === undefined ? [] : [{ image: request.image, pull: 'IfNotPresent' as const }];
  const there = target.images.slice(0, limits.nodeImages).map((image) => ({ image, pull: 'Never' as const }));
  const images = [...named, ...there];
  if (images.length === 0) images.push({ image: 'registry.k8s.io/pause:3.10', pull: 'IfNotPresent' });
  let last = '';
  for (const { image, pull } of images) {
    const outcome = await runPod(run, image, pull);
    if (typeof outcome === 'number') return outcome as ExitCode;
    last = `${image}: ${outcome.why}`;
    io.stderr.write(`sandwarden: ${last}\n`);
  }
  throw new SandwardenError('ERR_PRECONDITION', `no image for the debug pod is on ${request.node} (${last})`, {
    hint: 'Any image will do, nothing of it is run: --image NAME.',
  });
}

/** An exit code, or why another image is needed. */
async function runPod(run: Run, image: string, pull: 'IfNotPresent' | 'Never'): Promise<number | { why: string }> {
  const { client, request, target, io, ending, impatient } = run;
  const { node, namespace, program, argv } = request;
  const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const command = run.packed
    ? ['/bin/sh', '-c', receiver, 'sh', String(run.packed.length), ...argv]
    : [program, ...argv];
  const parts = { node, namespace, image, pull, command, stdin: run.packed !== undefined, env: environment(io) };
  const pod = debugPod({ ...parts, architecture: target.architecture });
  ending.throwIfAborted();
  const uid = await create(run, collection, pod);
  await using life = new PodLife(client, { collection, name: pod.metadata.name, uid });
  // It is told at once; its last words and its exit code are still waited for.
  const terminate = () => void life.remove().catch(() => life.abandon());
  const abandon = () => life.abandon();
  ending.addEventListener('abort', terminate, { once: true });
  impatient.addEventListener('abort', abandon, { once: true });
  if (ending.aborted) terminate();
  try {
    const started = await life.until(({ kind }) => kind !== 'waiting', request.startMs);
    if (started.kind === 'no-image') return { why: started.why };
    if (started.kind === 'waiting') throw await notStarted(run, life, started.why);
    if (started.kind === 'broken') throw cannotRun(run, started.why);
    const log = followLog(client, `${life.path}/log?container=${containerName}`, io.stdout, life);
    await Promise.all([log, ...(run.packed ? [feed(client, life, run.packed)] : [])]);
    const ended = await life.until(({ kind }) => kind !== 'running' && kind !== 'waiting');
    if (ended.kind === 'gone') throw goneError(run);
    // chroot(1): 127 the program is not there, 126 it cannot be run.
    if (ended.kind !== 'ended' || ended.exitCode === 127 || ended.exitCode === 126) throw cannotRun(run, whyOf(ended));
    return ended.exitCode;
  } finally {
    ending.removeEventListener('abort', terminate);
    impatient.removeEventListener('abort', abandon);
  }
}

/** Writes the program to the pod's stdin. A pod that ended meanwhile tells itself why. */
async function feed(client: KubeClient, life: PodLife, bytes: Buffer): Promise<void> {
  try {
    using stdin = await client.attach(`${life.path}/attach?container=${containerName}&stdin=true`, life.signal);
    await stdin.write(bytes);
    // The connection is kept until the end: what is on its way would be lost with it.
    await life.until(({ kind }) => kind !== 'running');
  } catch (error) {
    const { kind } = await life.until((now) => now.kind !== 'running', limits.nodeLogAgainMs);
    if (kind === 'running') throw error;
  }
}

async function create({ client, request, ending }: Run, collection: string, pod: object): Promise<string> {
  try {
    const made = await client.create(collection, pod, ending);
    return textOf(at(made, 'metadata', 'uid'), 100) ?? '';
  } catch (error) {
    const level = isSandwardenError(error, 'ERR_FORBIDDEN') && /violates PodSecurity "(\w+)/.exec(error.message)?.[1];
    throw level ? keptOut(request.namespace, level, error) : error;
  }
}

/** The pod waits: what its events say, and what is left to do. */
async function notStarted(
  { client, request, target, ending }: Run,
  life: PodLife,
  why: string,
): Promise<SandwardenError> {
  const { node, argv } = request;
  const message = await life.refusal(client, ending);
  if (message !== undefined) return refusedSandbox(node, message, argv);
  const heard = target.isReady ? '' : '; the cluster does not hear of its kubelet';
  const waits = why === '' ? '' : ` (${why})`;
  const what = `the debug pod did not start on ${node} within ${request.startMs / 1_000} s${waits}${heard}`;
  return new SandwardenError('ERR_PRECONDITION', what, { hint: consoleHint(node, argv) });
}

function cannotRun({ request }: Run, why: string): SandwardenError {
  const { node, program } = request;
  const said = why === '' || why === 'Error' ? '' : `: ${why}`;
  return new SandwardenError('ERR_PRECONDITION', `${program} cannot be run on ${node}${said}`, {
    hint: `Copy this one there for the run: --node ${node} --copy COMMAND. Or say where it is: --program PATH.`,
  });
}

function goneError({ ending, request }: Run): SandwardenError {
  if (ending.aborted) {
    return new SandwardenError('ERR_INTERRUPTED', 'interrupted; the debug pod is removed', { hint: 'Run it again.' });
  }
  return new SandwardenError('ERR_KUBE_CONFLICT', `somebody removed the debug pod on ${request.node}`, {
    hint: 'What it had said stands above. Run it again.',
  });
}

function whyOf(progress: Progress | { readonly kind: 'gone' }): string {
  return 'why' in progress ? progress.why : '';
}

/** There is no terminal on that side: what this one can show is said in words that every program understands. */
function environment({ stdout, env }: Io): Record<string, string> {
  const columns = stdout.columns ?? Number(env.COLUMNS);
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LC_ALL: 'C.UTF-8',
    TERM: 'xterm-256color',
    HOME: '/root',
    ...(stdout.takesColour ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }),
    ...(Number.isInteger(columns) && columns > 0 ? { COLUMNS: String(columns) } : {}),
  };
}
