import type { Evidence, Finding, Remedy, Severity } from '../model/finding.ts';
import { limits } from '../model/limits.ts';
import { describePod, describeSandbox } from '../model/sandbox.ts';
import { shellLine } from '../model/shell-word.ts';
import type { Cure, Ghost, GhostCode } from './cure.ts';
import type { Facts } from './facts.ts';
import { refusalEvidence } from './refusals.ts';
import { describeDate, describeDuration } from './time.ts';
import type { ListedSandbox } from './views.ts';
import { kubeletVersion } from './views.ts';

/** The findings of one code over all cures; `whyOf` says why in the rule's words. */
export function ghostFindings(facts: Facts, code: GhostCode, whyOf: (ghost: Ghost, cure: Cure) => string): Finding[] {
  return facts.cures.flatMap((cure) =>
    cure.ghosts.filter((ghost) => ghost.code === code).map((ghost) => findingOf(facts, cure, ghost, whyOf)),
  );
}

/** `kubelet v1.34.9`, or plain `kubelet` where its version is not known. */
export function describeKubelet(facts: Facts): string {
  const version = kubeletVersion(facts.snapshot);
  return version === undefined ? 'kubelet (version unknown)' : `kubelet ${version}`;
}

/** The date of a sandbox against the node's clock: `2026-11-21 19:59:02Z, 1 h 57 min after now`. */
export function describeCreation(sandbox: ListedSandbox, facts: Facts): string {
  if (sandbox.createdAtNs <= 0n) return 'no valid date';
  const date = describeDate(sandbox.createdAtNs);
  if (facts.node === undefined) return date;
  const distance = sandbox.createdAtNs - facts.node.wallNs;
  return `${date}, ${describeDuration(distance)} ${distance > 0n ? 'after now' : 'ago'} by this node's clock`;
}

function findingOf(facts: Facts, cure: Cure, ghost: Ghost, whyOf: (ghost: Ghost, cure: Cure) => string): Finding {
  const pod = describePod(cure.view);
  // A pod that nobody is known to want is not down yet.
  const severity: Severity = cure.onlyPerhaps || cure.view.wanted.wants !== 'yes' ? 'warning' : 'error';
  return {
    code: ghost.code,
    severity,
    object: { kind: 'sandbox', name: describeSandbox(ghost.sandbox), id: ghost.sandbox.id },
    why: whyOf(ghost, cure),
    evidence: evidenceOf(facts, cure, ghost),
    remedy: remedyOf(ghost),
    pods: [pod],
  };
}

function evidenceOf(facts: Facts, cure: Cure, ghost: Ghost): Evidence[] {
  const others = cure.view.sandboxes.filter((each) => each.id !== ghost.sandbox.id);
  // What lives comes first: a pod can leave thousands of dead ones.
  const shown = [...others.filter((each) => each.ready), ...others.filter((each) => !each.ready)]
    .slice(0, limits.evidenceSiblings)
    .map(
      (each) => `attempt ${each.attempt} ${each.ready ? 'READY' : 'NotReady'}, made ${describeDate(each.createdAtNs)}`,
    );
  if (others.length > shown.length) shown.push(`and ${others.length - shown.length} more`);
  const listing: Evidence = {
    source: 'sandboxes',
    text:
      `NotReady, made ${describeCreation(ghost.sandbox, facts)}` +
      (shown.length > 0 ? `; beside it ${shown.join('; ')}` : '; no other sandbox of this pod'),
  };
  const error = ghost.error;
  if (error === undefined) return [listing];
  return [listing, refusalEvidence(facts.snapshot, error)];
}

function remedyOf(ghost: Ghost): Remedy {
  const target = `${ghost.code}/${describeSandbox(ghost.sandbox)}`;
  if (ghost.obstacle !== undefined) {
    return { tier: 'none', text: `not removed now: ${ghost.obstacle.why}`, noCommand: 'it may go once that is over' };
  }
  if (ghost.stake.lost === 'yes') {
    return { tier: 'none', text: `not removed: ${ghost.stake.why}`, noCommand: 'what would be lost is lost for good' };
  }
  if (ghost.stake.lost === 'perhaps') {
    return {
      tier: 'disruptive',
      text: `remove this sandbox; only you can decide, because ${ghost.stake.why}`,
      command: shellLine('sandwarden', 'heal', '--allow=disruptive', '--only', target),
    };
  }
  return {
    tier: 'safe',
    text: 'stop and remove this sandbox',
    command: shellLine('sandwarden', 'heal', '--only', target),
  };
}
