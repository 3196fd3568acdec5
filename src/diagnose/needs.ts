import type { Finding, Gap, NotJudged } from '../model/finding.ts';
import type { SnapshotSource } from '../model/snapshot.ts';
import { configOf, driverNow } from './config/drivers.ts';
import type { Facts } from './facts.ts';
import type { Rule } from './rule.ts';

/** The rules that found nothing because something that they need was not seen, each with the first such thing. */
export function notJudged(facts: Facts, findings: readonly Finding[], rules: readonly Rule[]): NotJudged[] {
  const found = new Set(findings.map((each) => each.code));
  return rules.flatMap((rule): NotJudged[] => {
    if (found.has(rule.code)) return [];
    const needs = typeof rule.needs === 'function' ? rule.needs(facts) : rule.needs;
    const [missing] = needs.flatMap((each) => (typeof each === 'string' ? gapOf(facts, each) : each));
    return missing === undefined ? [] : [{ code: rule.code, source: missing.source, message: missing.message }];
  });
}

function gapOf({ snapshot }: Facts, source: SnapshotSource): Gap[] {
  const observed = snapshot[source];
  if (observed === undefined) return [{ source, message: 'this snapshot does not hold it', hint: '' }];
  return observed.known ? [] : [{ source, message: observed.message, hint: observed.hint }];
}

/** What is asked for the sake of CSI drivers: a node that has none needs none of it. */
export function ofDrivers(facts: Facts, sources: readonly SnapshotSource[]): readonly SnapshotSource[] {
  return facts.drivers.length === 0 ? [] : sources;
}

/**
 * Whether a dead sandbox blocks its pod, and by which rule, or is garbage hangs on whether the pod is wanted: where one
 * blocks, the API might say that it does not.
 */
export function ofBlocked({ cures }: Facts): readonly SnapshotSource[] {
  return cures.length === 0 ? [] : ['pods'];
}

/** What kubelet's cgroup driver is read from: either is enough. */
export function ofDriver(facts: Facts): readonly SnapshotSource[] {
  return driverNow(facts) === undefined ? ['cgroups', 'kubeletConfig'] : [];
}

/** That systemd did not tell which units write the runtime's configuration. */
export function writersGap(facts: Facts): Gap[] {
  const missing = configOf(facts)?.writersUnknown;
  if (missing === undefined) return [];
  const message = `which units write the runtime's configuration (SW507): ${missing.message}`;
  return [{ source: 'runtimeConfig', message, hint: missing.hint }];
}
