import { fleetReport } from '../diagnose/fleet.ts';
import type { KubeAccess } from '../kube/access.ts';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import type { FleetReport } from '../model/fleet.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { readFleet } from '../observe/fleet/read.ts';
import { findKubeAccess } from '../observe/kube/credentials.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { fleetText } from './render/fleet-text.ts';
import { jsonText } from './render/json.ts';
import { styleOf } from './render/style.ts';

/** `sandwarden fleet`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const access = await clusterAccess(args, io);
  const interrupted = new AbortController();
  const stop = io.onInterrupt(() => interrupted.abort());
  const mostS = limits.fleetTimeoutMs / 1_000;
  const words = `Waiting for the Kubernetes API at ${safeText(access.server.host, 300)}, at most ${mostS} s.\n`;
  const silent = io.stderr.isTerminal ? setTimeout(() => io.stderr.write(words), limits.fleetSilentMs) : undefined;
  try {
    const facts = await readFleet(access, interrupted.signal);
    if (!facts.nodes.known) {
      const { code, message, hint } = facts.nodes;
      throw new SandwardenError(code === 'ERR_NOT_ASKED' ? 'ERR_KUBE_FAILED' : code, message, { hint });
    }
    const report = fleetReport(facts);
    const all = args.flag('all');
    const exitCode = exitCodeOf(report);
    const text =
      args.value('output') === 'json'
        ? jsonText({ format: 'sandwarden.fleet/1', exitCode, ...report, nodes: all ? report.nodes : troubled(report) })
        : fleetText(report, styleOf(io, args.flag('no-color')), all);
    io.stdout.write(text);
    return exitCode;
  } finally {
    clearTimeout(silent);
    stop();
  }
}

/** The cluster that a person asks about. Throws ERR_CONFIG where there are no credentials. */
export async function clusterAccess(args: Args, io: Io): Promise<KubeAccess> {
  const [flag, context] = [args.value('kubeconfig'), args.value('context')];
  const access = await findKubeAccess({
    env: io.env,
    of: 'person',
    ...(flag === undefined ? {} : { flag }),
    ...(context === undefined ? {} : { context }),
  });
  if (access) return access;
  throw new SandwardenError('ERR_CONFIG', 'no Kubernetes credentials were found', {
    hint: 'Name a kubeconfig with --kubeconfig FILE, or set KUBECONFIG; docs/kubernetes-access.md says what is tried.',
  });
}

function troubled({ nodes }: FleetReport): FleetReport['nodes'] {
  return nodes.filter(({ state }) => state !== 'healthy');
}

function exitCodeOf({ counts }: FleetReport): ExitCode {
  if (counts.errors > 0) return ExitCode.errorsFound;
  return counts.warnings > 0 ? ExitCode.warnings : ExitCode.healthy;
}
