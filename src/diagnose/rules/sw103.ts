import type { Evidence, Finding, Remedy } from '../../model/finding.ts';
import { limits } from '../../model/limits.ts';
import type { HolderProcess } from '../../model/node.ts';
import { valueOr } from '../../model/observed.ts';
import type { NameHeld } from '../../model/records.ts';
import { describePod, describeSandbox } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import type { Facts } from '../facts.ts';
import { inFlightErrors } from '../in-flight-errors.ts';
import { refusalEvidence } from '../refusals.ts';
import type { Rule } from '../rule.ts';
import { agoNs, describeDuration } from '../time.ts';

/** SW103: the name is held by a request that has not ended. */
export const sw103: Rule = {
  code: 'SW103',
  name: 'reservation-in-flight',
  title: 'The name is held by a RunPodSandbox that has not ended',
  severity: 'error',
  says: 'the id in the error is not listed: a RunPodSandbox is still inside the runtime and holds the name',
  explanation: `The runtime reserves the name first and lists the sandbox last. While a RunPodSandbox hangs (a CNI
plugin that does not return, a shim, a runc in state D, a mount), the name is held by a sandbox that no list shows.
kubelet gives up after four minutes, asks again, and is refused.

Nothing can be removed here: RemovePodSandbox of an id that is not listed succeeds and does nothing. What hangs must
end.`,
  evidence: 'the error, the listing without the id, the process that holds it and since when',
  remedy: {
    tier: 'disruptive',
    text: 'Wait up to 4 minutes; then end the hung CNI process, or restart the runtime (running pods live on).',
  },
  sources: [
    'containerd internal/cri/server/sandbox_run.go: Reserve is first, sandboxStore.Add is last',
    'containerd issues 9947, 12438; seen on 1.6.20 with a CNI plugin whose child holds its stdout',
  ],
  needs: ['node', 'sandboxes', 'kubelet', 'kubeletLog'],
  examine: (facts) => inFlightErrors(facts).map((error) => findingOf(error, facts)),
};

function findingOf(error: NameHeld, facts: Facts): Finding {
  const holders = holdersOf(error, facts);
  const since = facts.node && agoNs(error.first, facts.node);
  const age = since === null || since === undefined ? '' : `, first refused ${describeDuration(since)} ago`;
  return {
    code: 'SW103',
    severity: 'error',
    object: { kind: 'sandbox', name: describeSandbox(error.asked), id: error.holderId },
    why:
      `The runtime refuses the name because of a sandbox that it does not list: creating it has not ended${age}. ` +
      (holders.length > 0 ? `It waits for ${describeHolder(holders[0])}.` : 'What it waits for was not seen.'),
    evidence: evidenceOf(error, holders, facts),
    remedy: remedyOf(error, holders, facts),
    pods: [describePod(error.asked)],
  };
}

/**
 * The processes that can hold this very sandbox: a CNI plugin called for its id or pod, else whatever hangs in state D.
 */
export function holdersOf(error: NameHeld, facts: Facts): HolderProcess[] {
  const holders = valueOr(facts.snapshot.processes, undefined)?.holders ?? [];
  const own = holders.filter(
    (each) =>
      each.cniContainerId === error.holderId ||
      (each.role === 'cni' && each.pod?.name === error.asked.name && each.pod.namespace === error.asked.namespace),
  );
  return own.length > 0 ? own : holders.filter((each) => each.role === 'runc' && each.state === 'D');
}

function evidenceOf(error: NameHeld, holders: readonly HolderProcess[], facts: Facts): Evidence[] {
  return [
    refusalEvidence(facts.snapshot, error),
    { source: 'sandboxes', text: `no sandbox ${error.holderId} is listed` },
    ...holders.map((each): Evidence => ({ source: 'processes', text: describeHolder(each, facts) })),
  ];
}

function describeHolder(holder: HolderProcess | undefined, facts?: Facts): string {
  if (holder === undefined) return '';
  const age =
    facts?.node === undefined ? '' : `, for ${describeDuration(facts.node.uptimeNs - holder.startedUptimeNs)}`;
  const doing = holder.cniCommand === undefined ? '' : ` in CNI ${holder.cniCommand}`;
  return `${holder.comm} (pid ${holder.pid}, state ${holder.state}${doing}${age})`;
}

function remedyOf(error: NameHeld, holders: readonly HolderProcess[], facts: Facts): Remedy {
  const since = facts.node === undefined ? null : agoNs(error.first, facts.node);
  const left = BigInt(limits.runPodSandboxTimeoutMs) * 1_000_000n - (since ?? 0n);
  if (left > 0n) {
    const text = `wait: it may end by itself; look again in ${describeDuration(left)}`;
    return { tier: 'none', text, noCommand: 'until then kubelet has not given it up either' };
  }
  const only = `SW103/${describeSandbox(error.asked)}`;
  const cni = holders.find((each) => each.role === 'cni');
  return {
    tier: 'disruptive',
    text: cni === undefined ? 'restart the runtime; running pods live on' : `end the hung CNI process ${cni.pid}`,
    command: shellLine('sandwarden', 'heal', '--allow=disruptive', '--only', only),
  };
}
