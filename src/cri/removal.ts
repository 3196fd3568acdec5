import type { CriVersion } from './types.ts';

/**
 * Whether RemovePodSandbox of this runtime stops the sandbox by itself, with CNI DEL, and removes nothing where that
 * fails. containerd from 1.6 on does (sandbox_remove.go, RemovePodSandbox: stopPodSandbox whatever the state); older
 * ones skip it for a sandbox that is not ready. Of other runtimes it is not known here.
 */
export function removalStops(by: Pick<CriVersion, 'runtimeName' | 'runtimeVersion'>): boolean {
  const { runtimeName, runtimeVersion } = by;
  const [, major, minor] = /^v?(\d{1,4})\.(\d{1,4})\./.exec(runtimeVersion) ?? [];
  if (runtimeName !== 'containerd' || major === undefined || minor === undefined) return false;
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 6);
}
