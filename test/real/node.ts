import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RealNode } from '../../lab/real-node.ts';
import type { Io, Output } from '../../src/cli/frame/io.ts';
import { healNode } from '../../src/cli/healing.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { readJournal } from '../../src/heal/journal.ts';
import { onceSettled } from '../../src/heal/passing.ts';
import type { PlanOptions } from '../../src/heal/plan.ts';
import type { Look } from '../../src/heal/ports.ts';
import { journalStore, openStateDir } from '../../src/heal/state-dir.ts';
import type { ExitCode } from '../../src/model/errors.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';

export const safely: PlanOptions = { allow: ['safe'], only: [] };

/** Two pods that run for ever and a Job that finishes at once. */
export const pods: readonly PodSpec[] = [podSpec('web', 1), podSpec('be', 2), jobSpec('job', 3)];

export function podSpec(name: string, index: number): PodSpec {
  return {
    name,
    namespace: 'default',
    uid: `6f1c0000-0000-4000-8000-00000000000${index}`,
    restartPolicy: 'Always',
    containers: [{ name: 'c', runs: 'forever' }],
  };
}

function jobSpec(name: string, index: number): PodSpec {
  const runs = { exitsAfterMs: 200, code: 0 } as const;
  return { ...podSpec(name, index), restartPolicy: 'Never', containers: [{ name: 'c', runs }] };
}

/** Polls until `isSo`; fails after `seconds`. */
export async function until(what: string, isSo: () => Promise<boolean> | boolean, seconds = 90): Promise<void> {
  const end = performance.now() + seconds * 1_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < end, `not within ${seconds} s: ${what}`);
    await sleep(50);
  }
}

/** Until each pod runs, or has succeeded. */
export function untilPodsRun(node: RealNode): Promise<void> {
  return until('the pods run', async () => {
    return (await node.pods()).every((each) =>
      each.restartPolicy === 'Never' ? each.phase === 'Succeeded' : each.running,
    );
  });
}

/** Until kubelet is refused for each of the pods that should run. */
export function untilRefused(node: RealNode, ...names: readonly string[]): Promise<void> {
  const since = node.events.length;
  return until('the name is reserved', () => {
    const refused = node.events.slice(since).filter((each) => each.message.includes('is reserved for'));
    return names.every((name) => refused.some((each) => each.pod === `default/${name}`));
  });
}

/** `web/0 notready`, sorted. */
export async function listed(node: RealNode): Promise<string[]> {
  return (await node.cri.listSandboxes()).map((each) => `${nameOf(each)} ${each.state}`).sort();
}

export function nameOf({ name, attempt }: Pick<Sandbox, 'name' | 'attempt'>): string {
  return `${name}/${attempt}`;
}

/** Code and object of each error. */
export function errorsOf({ diagnosis }: Look): string[] {
  return diagnosis.findings
    .filter((each) => each.severity === 'error')
    .map((each) => `${each.code} ${each.object.name}`)
    .sort();
}

export interface Healed {
  readonly exitCode: ExitCode;
  readonly stdout: string;
  readonly look: Look;
}

/** `sandwarden heal --yes` with what it has to say; `beforeAct` happens between the plan and the act. */
export async function heal(node: RealNode, { beforeAct }: { beforeAct?: () => Promise<void> } = {}): Promise<Healed> {
  const directory = join(node.rig.home, 'state');
  const look = await onceSettled(() => node.look(safely), node.clock);
  const io = capture();
  const state = await openStateDir(directory);
  const patient = {
    look,
    world: node.world(safely),
    bootId: state.bootId,
    readJournal: async () => (await readJournal(journalStore(directory))).entries,
    openState: async () => {
      await beforeAct?.();
      return state;
    },
  };
  const args = { flag: (name: string) => name === 'yes', value: () => undefined, values: () => [] };
  const exitCode = await healNode(patient, safely, { args, io });
  return { exitCode, stdout: io.written.join(''), look };
}

function capture(): Io & { readonly written: string[] } {
  const written: string[] = [];
  const output = (write: (text: string) => void): Output => {
    return { write, isTerminal: false, columns: 200, takesColour: false };
  };
  return {
    env: { LANG: 'C.UTF-8' },
    stdout: output((piece) => void written.push(piece)),
    stderr: output(() => {}),
    stdinIsTerminal: false,
    confirm: () => Promise.reject(new Error('it asked')),
    onInterrupt: () => () => {},
    written,
  };
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program on the node as a process of its own: /proc, /run and the kubelet that it finds are the node's. */
export async function onNode(node: RealNode, program: string, args: readonly string[]): Promise<Ended> {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', TERM: 'xterm-256color' };
  const state = ['heal', 'history'].includes(args[0] ?? '') ? ['--state-dir', join(node.rig.home, 'state')] : [];
  const looks = ['heal', 'check'].includes(args[0] ?? '')
    ? [
        ...['--runtime-endpoint', node.endpoint, '--kubelet-log', node.kubeletLogFile],
        ...['--runtime-log', node.runtimeLogFile],
      ]
    : [];
  const main = resolve(import.meta.dirname, '../..', program);
  const child = node.spawn([process.execPath, main, ...args, ...looks, ...state], env);
  const timer = setTimeout(() => child.kill('SIGKILL'), 180_000);
  const ended = new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  const [stdout, stderr, code] = await Promise.all([readAll(child.stdout), readAll(child.stderr), ended]);
  clearTimeout(timer);
  return { code, stdout, stderr };
}

function readAll(stream: NodeJS.ReadableStream | null): Promise<string> {
  return stream === null ? Promise.resolve('') : text(stream);
}
