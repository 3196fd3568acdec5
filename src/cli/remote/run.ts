import { connectKube, type KubeClient } from '../../kube/client.ts';
import { ExitCode, isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { safeText } from '../../model/safe-text.ts';
import { at, textOf } from '../../observe/json.ts';
import { findKubeAccess } from '../../observe/kube/credentials.ts';
import type { Io } from '../frame/io.ts';
import { consoleHint, refusedSandbox } from './console.ts';
import { packProgram } from './copy.ts';
import { FirstWords } from './first-words.ts';
import { PodLife } from './life.ts';
import { followLog } from './log.ts';
import type { RemoteRequest } from './options.ts';
import { containerName, debugPod } from './pod.ts';
import type { Progress } from './progress.ts';
import { cannotRun, isNotThere, type NodeOrigin, notRunError, type Origin, podCommand } from './put.ts';
import { checkNamespace, keptOut, type Target, targetOf } from './target.ts';

/**
 * `sandwarden --node NAME COMMAND`: runs the program of a node on that node, through a debug pod, and gives its exit
 * code. Its output comes as it is written. The pod is removed whatever happens; at Ctrl-C it gets SIGTERM first, and
 * what it still says is shown; a second Ctrl-C does not wait for it. `given` is the packed program, where one is
 * copied; this one is packed where it is absent.
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
    const run = { client, request, io, target, ending: ending.signal, impatient: impatient.signal };
    return await runProgram(given === undefined ? run : { ...run, given });
  } catch (error) {
    // What was under way when Ctrl-C came ended by it.
    throw ending.signal.aborted && error === ending.signal.reason ? interrupted() : error;
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
  readonly given?: Buffer;
  /** The first Ctrl-C, and the second one. */
  readonly ending: AbortSignal;
  readonly impatient: AbortSignal;
}

/** By the way that was asked for; an image that cannot be had, or no program on the node, leaves that of `--copy`. */
async function runProgram(run: Run): Promise<ExitCode> {
  const { program, node } = run.request;
  if (program.from === 'node') return tryImages(run, program);
  if (program.from === 'here') return copied(run);
  const outcome = await runPod(run, program, program.image, 'IfNotPresent');
  if (typeof outcome === 'number') return outcome;
  return copied(run, `${safeText(program.image, 300)} cannot be had on ${node} (${outcome.why})`);
}

/** This program, taken to the node for the run; `because` is said where another one was meant. */
async function copied(run: Run, because?: string): Promise<ExitCode> {
  const { io, target, ending } = run;
  ending.throwIfAborted();
  if (because !== undefined) io.stderr.write(`sandwarden: ${because}; this program is copied there instead\n`);
  const packed = run.given ?? (await packProgram(target.architecture, { signal: ending }));
  return tryImages(run, { from: 'here', packed });
}

/** One image after another, until one is there: a pod's image cannot be changed to one of another policy. */
async function tryImages(run: Run, origin: Origin): Promise<ExitCode> {
  const { request, target, io } = run;
  const named = request.image === undefined ? [] : [{ image: request.image, pull: 'IfNotPresent' as const }];
  const there = target.images.slice(0, limits.nodeImages).map((image) => ({ image, pull: 'Never' as const }));
  const images = [...named, ...there];
  if (images.length === 0) images.push({ image: 'registry.k8s.io/pause:3.10', pull: 'IfNotPresent' });
  let last = '';
  for (const { image, pull } of images) {
    const outcome = await runPod(run, origin, image, pull);
    if (typeof outcome === 'number') return outcome;
    if (outcome.noProgram) return copied(run, outcome.why);
    last = `${image}: ${outcome.why}`;
    io.stderr.write(`sandwarden: ${last}\n`);
  }
  throw new SandwardenError('ERR_PRECONDITION', `no image for the debug pod is on ${request.node} (${last})`, {
    hint: 'Any image will do, nothing of it is run: --image NAME.',
  });
}

/** Why nothing was run: another image is needed, or another program. */
interface NotRun {
  readonly why: string;
  readonly noProgram?: true;
}

/** An exit code, or why another image or program is needed. */
async function runPod(
  run: Run,
  origin: Origin,
  image: string,
  pull: 'IfNotPresent' | 'Never',
): Promise<ExitCode | NotRun> {
  const { client, request, target, io, ending, impatient } = run;
  const { node, namespace, argv } = request;
  const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const { architecture } = target;
  const packed = origin.from === 'here' ? origin.packed : undefined;
  const command = podCommand(origin, argv, architecture);
  const parts = { node, namespace, image, pull, command, stdin: packed !== undefined, env: environment(io) };
  const pod = debugPod({ ...parts, architecture });
  ending.throwIfAborted();
  const uid = await create(run, collection, pod);
  await using life = new PodLife(client, { collection, name: pod.metadata.name, uid });
  // It is told at once; its last words and its exit code are still waited for.
  const terminate = () => void life.remove().catch(() => life.abandon());
  const abandon = () => life.abandon();
  ending.addEventListener('abort', terminate, { once: true });
  impatient.addEventListener('abort', abandon, { once: true });
  if (ending.aborted) terminate();
  const output = new FirstWords(io.stdout);
  try {
    const started = await life.until(({ kind }) => kind !== 'waiting', request.startMs);
    if (started.kind === 'no-image') return { why: started.why };
    if (started.kind === 'waiting') return await notStarted(run, life, started, origin.from === 'image');
    if (started.kind === 'broken') throw cannotRun(origin, node, started.why);
    const lost = () => io.stderr.write(`sandwarden: ${node} has rotated the log away: some lines may be missing\n`);
    const log = followLog(client, `${life.path}/log?container=${containerName}`, output, { life, onLost: lost });
    await Promise.all([log, ...(packed ? [feed(client, life, packed)] : [])]);
    const ended = await life.until(({ kind }) => kind !== 'running' && kind !== 'waiting');
    if (ended.kind === 'gone') throw goneError(run);
    if (ended.kind !== 'ended') throw cannotRun(origin, node, whyOf(ended));
    const { exitCode, why } = ended;
    if (isNotThere(origin, exitCode)) return noProgramOf(origin, node, output);
    const error = notRunError(exitCode, { origin, node, architecture, why });
    if (error) throw error;
    // It got SIGTERM before it was there to heed it.
    return ending.aborted && exitCode === killedBySigterm ? ExitCode.interrupted : (exitCode as ExitCode);
  } finally {
    output.release();
    ending.removeEventListener('abort', terminate);
    impatient.removeEventListener('abort', abandon);
  }
}

function noProgramOf({ path }: NodeOrigin, node: string, output: FirstWords): NotRun {
  const words = output.take();
  const said = words === '' ? '' : ` (${safeText(words, 300)})`;
  return { why: `${path} cannot be run on ${node}${said}`, noProgram: true };
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

/** Not given up at Ctrl-C: a pod whose making nobody waited for would be there, and nobody would remove it. */
async function create({ client, request }: Run, collection: string, pod: object): Promise<string> {
  try {
    const made = await client.create(collection, pod);
    return textOf(at(made, 'metadata', 'uid'), 100) ?? '';
  } catch (error) {
    const level = isSandwardenError(error, 'ERR_FORBIDDEN') && /violates PodSecurity "(\w+)/.exec(error.message)?.[1];
    throw level ? keptOut(request.namespace, level, error) : error;
  }
}

/**
 * The pod waits: what its events say, and what is left to do. Where its sandbox stands, or kubelet does not tell, and
 * it is an image that may be pulled which is waited for, another one is needed.
 */
async function notStarted(
  { client, request, target, ending }: Run,
  life: PodLife,
  { why, hasSandbox }: Extract<Progress, { kind: 'waiting' }>,
  isPulled: boolean,
): Promise<{ readonly why: string }> {
  const { node, argv } = request;
  const message = await life.refusal(client, ending);
  const of = { node, argv, endpoint: target.endpoint };
  if (message !== undefined) throw refusedSandbox(message, of);
  const late = `within ${request.startMs / 1_000} s`;
  if (isPulled && target.isReady && hasSandbox !== false) return { why: `it was not pulled ${late}` };
  const heard = target.isReady ? '' : '; the cluster does not hear of its kubelet';
  const waits = why === '' ? '' : ` (${why})`;
  const what = `the debug pod did not start on ${node} ${late}${waits}${heard}`;
  throw new SandwardenError('ERR_PRECONDITION', what, { hint: consoleHint(of) });
}

function goneError({ ending, request }: Run): SandwardenError {
  if (ending.aborted) return interrupted();
  return new SandwardenError('ERR_KUBE_CONFLICT', `somebody removed the debug pod on ${request.node}`, {
    hint: 'What it had said stands above. Run it again.',
  });
}

function interrupted(): SandwardenError {
  return new SandwardenError('ERR_INTERRUPTED', 'interrupted; the debug pod is removed', { hint: 'Run it again.' });
}

function whyOf(progress: Progress | { readonly kind: 'gone' }): string {
  return 'why' in progress ? progress.why : '';
}

/** As the kernel and shells tell it: 128 and the number of the signal. */
const killedBySigterm = 143;

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
