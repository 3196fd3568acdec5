import type { Evidence, Finding } from '../../model/finding.ts';
import { limits } from '../../model/limits.ts';
import type { NodeFacts } from '../../model/node.ts';
import { valueOr } from '../../model/observed.ts';
import { type BootClock, bootClock, lastBootAhead } from '../boot-clock.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';
import { describeDate, describeDuration } from '../time.ts';

/** SW202: the clock stood behind the last boot's end, or was stepped after kubelet had started. */
export const sw202: Rule = {
  code: 'SW202',
  name: 'clock-behind-at-boot',
  title: 'The clock was behind when the node booted',
  severity: 'warning',
  says: 'the node booted with its clock behind the end of the last boot, or the clock jumped after kubelet started',
  explanation: `A boot cannot begin before the last one ended. Where its first dates are earlier than the last ones
on the disk, the clock was behind: a board without a real-time clock or battery, an empty CMOS battery, a wrong time
in the BIOS.

Sandboxes are dated by that clock. Those of the last boot are then dated in the future, and kubelet up to 1.34 takes
them for the newest (SW102). The same comes of a clock that is set forward or back after kubelet has started.

The cure removes nothing: put the clock at least past the last date on the disk before the runtime and kubelet
start. The boot hook does that (the clock floor), from witnesses that agree; time synchronisation does the rest
later.`,
  evidence:
    "the end of the last boot and the beginning of this one, or kubelet's start by both clocks; how time is kept",
  remedy: { tier: 'none', text: 'Install the boot hook, a battery, and time synchronisation.' },
  sources: [
    'reproduced: kubelet 1.34.9 with containerd 1.7.24, clock two hours behind',
    'kubernetes issues 127948, 93064; containerd issue 10842',
  ],
  needs: ['node', 'boots', 'sandboxes', 'kubeletLog'],
  examine: (facts) => {
    const { node } = facts;
    if (node === undefined) return [];
    const behind = bootClock(facts);
    if (behind !== undefined) return [behindFinding(behind, node, facts)];
    const ahead = lastBootAhead(facts);
    if (ahead !== undefined) return [aheadFinding(ahead, facts)];
    const step = stepSinceKubelet(facts, node);
    return step === undefined ? [] : [stepFinding(step, facts)];
  },
};

function behindFinding(behind: BootClock, node: NodeFacts, facts: Facts): Finding {
  const still = newestDate(facts) - node.wallNs > slackNs;
  const now = still ? ' It still is: dates on the disk lie in the future.' : ' It has been put right since.';
  return {
    code: 'SW202',
    // It explains. What it does to pods has findings of its own (SW102, SW109); without those nothing is down.
    severity: 'info',
    object: { kind: 'node', name: 'clock' },
    why: `The node booted with its clock at least ${describeDuration(behind.behindNs)} behind.${now}`,
    evidence: [{ source: 'boots', text: behind.evidence }, ...howKept(facts)],
    remedy: still
      ? {
          tier: 'none',
          text: 'let the boot hook move the clock before kubelet starts, and set up time synchronisation',
          command: 'sandwarden install',
        }
      : {
          tier: 'none',
          text: 'nothing to do now; a battery or time synchronisation keeps it from coming again',
          noCommand: 'it is over',
        },
    pods: [],
  };
}

function aheadFinding({ behindNs, evidence }: BootClock, facts: Facts): Finding {
  return {
    code: 'SW202',
    severity: 'info',
    object: { kind: 'node', name: 'clock' },
    why:
      `The last boot is dated ${describeDuration(behindNs)} after this one: its clock was wrong, not this one's. ` +
      'What it left behind is dated in the future.',
    evidence: [{ source: 'boots', text: evidence }, ...howKept(facts)],
    remedy: {
      tier: 'none',
      text: 'leave the clock as it is; only sandboxes of those dates that block pods must go',
      noCommand: 'the clock is right',
    },
    pods: [],
  };
}

interface Step {
  readonly byNs: bigint;
  readonly evidence: Evidence;
}

/** The wall clock moved against the kernel's count since kubelet logged its start. */
function stepSinceKubelet(facts: Facts, node: NodeFacts): Step | undefined {
  const started = valueOr(facts.snapshot.kubeletLog, undefined)?.startedAt;
  if (started?.monotonicUs === undefined || started.bootId !== node.bootId) return undefined;
  const byNs = node.wallNs - node.uptimeNs - (started.wallNs - started.monotonicUs * 1_000n);
  if (byNs < slackNs && byNs > -slackNs) return undefined;
  const text =
    `kubelet dated its start ${describeDate(started.wallNs)}; ` +
    `by the kernel's count that was ${describeDate(started.wallNs + byNs)}`;
  return { byNs, evidence: { source: 'kubeletLog', text, at: started } };
}

function stepFinding({ byNs, evidence }: Step, facts: Facts): Finding {
  const way = byNs > 0n ? 'forward' : 'back';
  return {
    code: 'SW202',
    severity: byNs > 0n ? 'info' : 'warning',
    object: { kind: 'node', name: 'clock' },
    why:
      `The clock was set ${way} by ${describeDuration(byNs)} after kubelet had started` +
      (byNs > 0n ? '.' : ': what was made before is dated in the future.'),
    evidence: [evidence, ...howKept(facts)],
    remedy: {
      tier: 'none',
      text: 'order kubelet after time-sync.target (systemd-time-wait-sync.service, chrony-wait)',
      noCommand: 'what keeps the time of this node was not asked',
    },
    pods: [],
  };
}

function howKept(facts: Facts): Evidence[] {
  const clock = valueOr(facts.snapshot.clock, undefined);
  if (clock === undefined) return [];
  const parts = [
    ...(clock.hasRtc === undefined ? [] : [clock.hasRtc ? 'a real-time clock is there' : 'no real-time clock']),
    ...(clock.synchronized === undefined ? [] : [clock.synchronized ? 'time is synchronised' : 'not synchronised']),
  ];
  return parts.length === 0 ? [] : [{ source: 'clock', text: parts.join(', ') }];
}

function newestDate(facts: Facts): bigint {
  const last = valueOr(facts.snapshot.boots, []).at(-2)?.lastNs ?? 0n;
  const dates = [...facts.sandboxById.values()].map((each) => each.createdAtNs);
  return [last, ...dates].toSorted((a, b) => Number(b - a))[0] ?? 0n;
}

const slackNs = BigInt(limits.clockSlackMs) * 1_000_000n;
