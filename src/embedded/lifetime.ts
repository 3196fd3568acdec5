import type { Lifetime } from './machine.ts';
import type { PodContainer } from './pod-spec.ts';

/**
 * How long a command lives and what it leaves, for the two commands that containers of the embedded node run:
 * `sleep SECONDS` and `sh -c '[sleep SECONDS;] exit CODE'`. Anything else runs until it is killed.
 */
export function lifetimeOf(command: readonly string[]): Lifetime {
  const script = shellScript(command);
  const sleep = /^(?:\/bin\/)?(?:busybox )?sleep (\d{1,9}(?:\.\d{1,6})?)$/.exec(script);
  if (sleep) return { afterMs: Number(sleep[1]) * 1_000, code: 0 };
  const exit = /^(?:sleep (\d{1,9}(?:\.\d{1,6})?); ?)?exit (\d{1,3})$/.exec(script);
  if (exit) return { afterMs: Number(exit[1] ?? 0) * 1_000, code: Number(exit[2]) };
  return undefined;
}

/** The command of a container that ends: understood by `lifetimeOf`, and by a real shell. */
export function commandThatExits(afterMs: number, code: number): string[] {
  return ['sh', '-c', `sleep ${afterMs / 1_000}; exit ${code}`];
}

export const commandForEver: readonly string[] = ['sleep', '1000000'];

/** The command of a pod's container. */
export function commandOf(runs: PodContainer['runs']): readonly string[] {
  if (runs === 'forever') return commandForEver;
  if ('serves' in runs) return ['csi-driver', runs.serves];
  return 'needs' in runs ? ['csi-sidecar', runs.needs] : commandThatExits(runs.exitsAfterMs, runs.code);
}

/** The socket that a command listens on or needs at its start; undefined where it has nothing to do with any. */
export function socketOf(
  command: readonly string[],
): { readonly does: 'serve' | 'need'; readonly path: string } | undefined {
  const [program, path] = command;
  if (path === undefined) return undefined;
  return program === 'csi-driver'
    ? { does: 'serve', path }
    : program === 'csi-sidecar'
      ? { does: 'need', path }
      : undefined;
}

function shellScript(command: readonly string[]): string {
  const [shell, flag, script] = command;
  const isShell = (shell === 'sh' || shell === '/bin/sh') && flag === '-c' && script !== undefined;
  return isShell ? script.trim() : command.join(' ');
}
