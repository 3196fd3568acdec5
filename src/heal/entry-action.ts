import type { Action } from '../model/plan.ts';
import { asBigint, asCount, asObject, asOneOf, asText } from './entry-fields.ts';

/** The action of an intent as the journal holds it. Throws Malformed. */
export function parseAction(value: unknown): Action {
  const from = asObject(value, 'action');
  return {
    kind: asOneOf(from.kind, ['remove-sandbox', 'kill-cni', 'restart-runtime'], 'action kind'),
    target: asText(from.target, 'target'),
    object: asText(from.object, 'object'),
    code: asText(from.code, 'code'),
    tier: asOneOf(from.tier, ['safe', 'disruptive', 'destructive'], 'tier'),
    reason: asText(from.reason, 'reason'),
    precondition: asText(from.precondition, 'precondition'),
    expects: asText(from.expects, 'expects'),
    guard: parseGuard(from.guard),
  };
}

function parseGuard(value: unknown): Action['guard'] {
  const from = asObject(value, 'guard');
  const kind = asOneOf(from.kind, ['remove-sandbox', 'kill-cni', 'restart-runtime'], 'guard kind');
  switch (kind) {
    case 'remove-sandbox':
      return {
        kind,
        sandboxId: asText(from.sandboxId, 'sandboxId'),
        podUid: asText(from.podUid, 'podUid'),
        attempt: asCount(from.attempt, 'attempt'),
        createdAtNs: asBigint(from.createdAtNs, 'createdAtNs'),
      };
    case 'kill-cni':
      return {
        kind,
        pid: asCount(from.pid, 'pid'),
        startedUptimeNs: asBigint(from.startedUptimeNs, 'startedUptimeNs'),
      };
    case 'restart-runtime':
      return { kind, unit: asText(from.unit, 'unit') };
  }
}
