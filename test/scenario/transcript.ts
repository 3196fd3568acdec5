import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { SandwardenError } from '../../src/model/errors.ts';
import type { Container, Sandbox } from '../../src/model/sandbox.ts';
import type { Rig } from './rig.ts';

/** One observation of a scenario, normalised: the same for the same behaviour, whatever ids and times were used. */
export type Entry = readonly [label: string, value: unknown];

/** Records an observation. */
export type Note = (label: string, value: unknown) => void;

/** A transcript that is being written. Ids become symbols by their first appearance; see `normalise`. */
export function newTranscript(): { note: Note; entries: Entry[] } {
  const ids = new Map<string, string>();
  const entries: Entry[] = [];
  return {
    entries,
    note: (label, value) => {
      entries.push([label, normalise(value, ids)]);
    },
  };
}

/** Like `note`, for a call: `ok`, or its error as SandwardenError's code, gRPC's code and the words. */
export async function noteCall(note: Note, label: string, call: Promise<unknown>): Promise<void> {
  note(
    label,
    await call.then(
      () => 'ok',
      (error: unknown) => describeError(error),
    ),
  );
}

/**
 * Like `noteCall`, for a call that is meant to hang: at the deadline the client gives up while the runtime kills the
 * plugin, and either may be first.
 */
export async function noteHanging(note: Note, label: string, call: Promise<unknown>): Promise<void> {
  await noteCall((_, value) => note(label, isPastDeadline(value) ? 'the deadline passed' : value), label, call);
}

function isPastDeadline(described: unknown): boolean {
  const text = JSON.stringify(described);
  return text.includes('"ERR_SOCKET_HUNG"') || /signal: killed|context deadline exceeded/.test(text);
}

/** The sandboxes as listed, in the order of pod and attempt: containerd's own order is a Go map's. */
export async function sandboxes(rig: Rig): Promise<unknown[]> {
  const listed = await rig.cri.listSandboxes();
  return listed
    .sort((a, b) => compare(a.name, b.name) || a.attempt - b.attempt || compare(a.state, b.state))
    .map((each) => describeSandbox(each));
}

export function describeSandbox({ id, name, attempt, state, createdAtNs }: Sandbox): unknown {
  return { id, name, attempt, state, created: dateWord(createdAtNs) };
}

/** The containers with what ContainerStatus says of them, in the order of sandbox and attempt. */
export async function containers(rig: Rig): Promise<unknown[]> {
  const listed = await rig.cri.listContainers();
  const described = [];
  for (const each of listed.sort((a, b) => compare(a.name, b.name) || a.attempt - b.attempt)) {
    described.push(describeContainer(await rig.cri.containerStatus(each.id)));
  }
  return described;
}

function describeContainer({ id, name, attempt, state, createdAtNs, exit }: Container): unknown {
  const end = exit && {
    exitCode: exit.exitCode,
    reason: exit.reason,
    started: dateWord(exit.startedAtNs),
    finished: dateWord(exit.finishedAtNs),
  };
  return { id, name, attempt, state, created: dateWord(createdAtNs), ...(end ? { exit: end } : {}) };
}

/** The plugin's calls from the `from`th on: the path of a network namespace is only there or gone. */
export async function cniCalls(rig: Rig, from = 0): Promise<string[]> {
  const calls = (await rig.cniCalls()).slice(from);
  return calls.map(({ command, sandboxId, netns }) => `${command} ${sandboxId} ${netns === '' ? 'no netns' : 'netns'}`);
}

/** What a listener hears until it has `enough`, and for a moment more. */
export async function heard(rig: Rig, enough: number): Promise<unknown> {
  const stop = new AbortController();
  const found: unknown[] = [];
  const listening = (async () => {
    for await (const { atNs, ...event } of rig.cri.events(stop.signal)) found.push({ ...event, at: dateWord(atNs) });
  })().catch((error: unknown) => describeError(error));
  const isOver = listening.then((error) => error !== undefined);
  for (let rounds = 0; rounds < 100 && found.length < enough; rounds++) {
    if (await Promise.race([isOver, sleep(20, false)])) break;
  }
  await Promise.race([isOver, sleep(200, false)]);
  stop.abort();
  return (await listening) ?? found;
}

/** A date relative to now, in one word. Go's zero time is what a half-created sandbox is listed with. */
export function dateWord(ns: bigint): string {
  const zeroTimeOfGo = -6795364578871345152n;
  if (ns === zeroTimeOfGo) return 'half-created';
  if (ns === 0n) return 'none';
  const slackNs = 600_000_000_000n;
  const distance = ns - BigInt(Date.now()) * 1_000_000n;
  return distance < -slackNs ? 'past' : distance > slackNs ? 'future' : 'now';
}

function describeError(error: unknown): unknown {
  if (!(error instanceof SandwardenError)) throw error;
  let cause: unknown = error;
  while (cause instanceof Error && !(cause instanceof ConnectError)) cause = cause.cause;
  const grpc = cause instanceof ConnectError ? Code[cause.code] : 'none';
  return { code: error.code, grpc, words: error.message };
}

/** Ids → `<id 1>` …, deadlines and the socket's path → a word. */
function normalise(value: unknown, ids: Map<string, string>): unknown {
  if (typeof value === 'string') {
    return value
      .replace(/(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/g, (id) => symbolOf(id, ids))
      .replace(/\bwithin [\d.]+ m?s\b/g, 'within its deadline')
      .replace(/(?:unix:\/\/)?\/[^\s"]*\.sock\b/g, '<socket>');
  }
  if (Array.isArray(value)) return value.map((each) => normalise(each, ids));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, normalise(each, ids)]));
  }
  return value;
}

function symbolOf(id: string, ids: Map<string, string>): string {
  const symbol = ids.get(id) ?? `<id ${ids.size + 1}>`;
  ids.set(id, symbol);
  return symbol;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
