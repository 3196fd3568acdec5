import type { Diagnosis, Finding, Gap } from '../model/finding.ts';
import { severities } from '../model/finding.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { laterSources, snapshotSources } from '../model/snapshot.ts';
import { catalogue } from './catalogue.ts';
import { buildChain } from './chain.ts';
import type { Facts } from './facts.ts';
import { buildFacts } from './facts.ts';
import { notJudged, writersGap } from './needs.ts';
import { blindSpots, verdictOf } from './verdict.ts';

/**
 * What a snapshot means: the findings of every rule, the causal chain over them, the verdict, and what was not seen.
 * Pure.
 */
export function diagnose(snapshot: Snapshot): Diagnosis {
  const facts = buildFacts(snapshot);
  const examined = catalogue.flatMap((rule) => rule.examine(facts));
  // In the order of the codes, each over what was concluded before it: the loop (SW403) goes over SW302.
  const found = [...examined];
  for (const rule of catalogue) found.push(...(rule.conclude?.(facts, found) ?? []));
  const findings = found.toSorted(byWeight);
  const state = stateOf(facts, findings);
  return {
    verdict: verdictOf(facts, findings, state),
    state,
    chain: buildChain(facts, findings),
    findings,
    gaps: gapsOf(facts),
    ...lookedAt(snapshot),
    notJudged: notJudged(facts, findings, catalogue),
  };
}

/** Nothing where there was one socket. A file of an earlier version has the others only where the runtime answered. */
function lookedAt({ endpoint, runtime }: Snapshot): Pick<Diagnosis, 'lookedAt'> {
  if (endpoint !== undefined) return { lookedAt: endpoint };
  if (!runtime.known || runtime.value.otherEndpoints.length === 0) return {};
  const { endpoint: taken, endpointFrom: from, otherEndpoints: others } = runtime.value;
  return { lookedAt: { endpoint: taken, from, others } };
}

/** Errors count even where much is unknown; without the runtime's listing and without an error nothing was observed. */
function stateOf(facts: Facts, findings: readonly Finding[]): Diagnosis['state'] {
  if (findings.some((each) => each.severity === 'error')) return 'errors';
  if (!facts.snapshot.runtime.known || !facts.snapshot.sandboxes.known) return 'unobservable';
  if (findings.some((each) => each.severity === 'warning') || blindSpots(facts).length > 0) return 'warnings';
  return 'healthy';
}

/** What was not seen, and why. */
function gapsOf(facts: Facts): Gap[] {
  return [...sourceGaps(facts), ...writersGap(facts)];
}

/** The sources that could not answer. The API counts only where a pod's fate hangs on what it would say. */
function sourceGaps(facts: Facts): Gap[] {
  const podsMatter =
    facts.kept.some((each) => each.view.wanted.wants === 'unknown') ||
    facts.cures.some((cure) => cure.ghosts.some((ghost) => ghost.stake.lost !== 'nothing'));
  return [...snapshotSources, ...laterSources].flatMap((source) => {
    const observed = facts.snapshot[source];
    if (observed === undefined || observed.known || (source === 'pods' && !podsMatter)) return [];
    // Of volumes the API is asked for the sake of the drivers of this node.
    const ofVolumes = source === 'volumes' || source === 'csiNode';
    if (ofVolumes && (facts.drivers.length === 0 || observed.code === 'ERR_NOT_ASKED')) return [];
    return [{ source, message: observed.message, hint: observed.hint }];
  });
}

function byWeight(a: Finding, b: Finding): number {
  return (
    severities.indexOf(a.severity) - severities.indexOf(b.severity) ||
    compare(a.code, b.code) ||
    compare(a.object.name, b.object.name) ||
    compare(a.object.id ?? '', b.object.id ?? '')
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
