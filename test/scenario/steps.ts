import type { ContainerSpec, SandboxSpec } from '../../src/cri/types.ts';
import type { Rig } from './rig.ts';
import type { Note } from './transcript.ts';

/** The deadline of a RunPodSandbox that is meant to hang, milliseconds: long enough to look meanwhile. */
export const hangingRunMs = 1_500;
/** The client's deadline of Stop- and RemovePodSandbox, milliseconds; one that is meant to hang takes it all. */
export const writeTimeoutMs = 4_000;

/** The pod of the scenarios. */
export function pod(attempt: number): SandboxSpec {
  return { name: 'web', namespace: 'default', uid: '6f1c0000-0000-4000-8000-000000000001', attempt };
}

/** A container that runs until it is killed; the lab and the embedded node both have the image. */
export function workload(sandboxId: string, sandbox: SandboxSpec, name = 'app'): ContainerSpec {
  return { sandboxId, sandbox, name, attempt: 0, image: 'sandwarden.test/workload:1', command: ['sleep', '1000000'] };
}

/** Starts the runtime and one sandbox, and gives its id. */
export async function startWithPod(rig: Rig, note: Note): Promise<string> {
  const started = await rig.start();
  if (!started.ok) throw new Error(`the runtime did not start: ${started.fatal}`);
  const id = await rig.cri.runSandbox(pod(0));
  note('run', id);
  return id;
}

export async function hasFinished(rig: Rig, container: string): Promise<boolean> {
  return (await rig.cri.containerStatus(container)).state === 'exited';
}

/** Polls until `condition` holds; throws an Error after `timeoutMs`. */
export async function waitFor(what: string, condition: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
