import type { Evidence, Finding } from '../../model/finding.ts';
import type { Unknown } from '../../model/observed.ts';
import { valueOr } from '../../model/observed.ts';
import { shellLine } from '../../model/shell-word.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';

/** SW701: the runtime does not answer. */
export const sw701: Rule = {
  code: 'SW701',
  name: 'runtime-down',
  title: 'The container runtime does not answer',
  severity: 'error',
  says:
    'the CRI socket refuses, hangs, or answers that it is not initialized yet; or it is missing, and kubelet runs, ' +
    "the runtime's unit is not inactive, or its log has a fatal line",
  explanation: `kubelet does everything through the runtime's socket. A socket file that refuses connections is what a
killed daemon leaves behind; a missing one is a daemon that never started or stopped cleanly; \`server is not
initialized yet\` is one that is still recovering its sandboxes, which takes seconds on a good disk and minutes on a bad
one.

A missing socket by itself is no finding, because a machine without a runtime has none either. It is one where kubelet
runs, where the runtime's unit is in any state but inactive (it runs, starts, stops or has failed), or where the
runtime's log of this boot has a fatal line. Else \`check\` says that nothing could be observed, and ends with 69.`,
  evidence: 'the error of the socket, the state of the unit, the last fatal line of the log',
  remedy: { tier: 'none', text: 'By cause: the last fatal line of the log says why it does not come up.' },
  sources: ['containerd internal/cri/server/service.go, cri.go (initialized); connect(2)'],
  needs: ['runtime'],
  examine: (facts) => {
    const runtime = facts.snapshot.runtime;
    if (runtime.known || !isDown(runtime, facts)) return [];
    return [findingOf(runtime, facts)];
  },
};

/**
 * A socket that is there and does not serve is a runtime that is down; none at all may be a machine that is no node.
 */
function isDown(runtime: Unknown, facts: Facts): boolean {
  if (['ERR_SOCKET_REFUSED', 'ERR_SOCKET_HUNG', 'ERR_RUNTIME_NOT_READY'].includes(runtime.code)) return true;
  if (runtime.code !== 'ERR_SOCKET_MISSING') return false;
  const unit = valueOr(facts.snapshot.runtimeUnit, undefined);
  return (
    (unit !== undefined && unit.activeState !== 'inactive') || isKubeletRunning(facts) || fatalOf(facts) !== undefined
  );
}

function isKubeletRunning(facts: Facts): boolean {
  return valueOr(facts.snapshot.kubelet, undefined)?.running === true;
}

function fatalOf(facts: Facts) {
  const log = valueOr(facts.snapshot.runtimeLog, undefined);
  return log?.fatal.at(-1) ?? log?.duplicates.at(-1);
}

function findingOf(runtime: Unknown, facts: Facts): Finding {
  const unit = valueOr(facts.snapshot.runtimeUnit, undefined);
  const fatal = fatalOf(facts);
  const evidence: Evidence[] = [{ source: 'runtime', text: runtime.message }];
  if (unit !== undefined) {
    evidence.push({ source: 'runtimeUnit', text: `${unit.name} is ${unit.activeState} (${unit.subState})` });
  }
  if (fatal !== undefined) evidence.push({ source: 'runtimeLog', text: fatal.text, at: fatal.last });
  return {
    code: 'SW701',
    severity: 'error',
    object: { kind: 'runtime', name: unit?.name ?? 'container runtime' },
    why: `${runtime.message}. No pod of this node can start, stop or be looked at.`,
    evidence,
    remedy: {
      tier: 'none',
      text: runtime.hint || 'see why it does not come up',
      command: shellLine('systemctl', 'status', unit?.name ?? 'containerd.service'),
    },
    pods: [],
  };
}
