import type { Timeline, TimelineBoot } from '../../src/model/incident.ts';
import type { KernelLog } from '../../src/model/kernel.ts';
import type { Boot } from '../../src/model/node.ts';
import type { Moment } from '../../src/model/records.ts';

const HOUR_US = 3_600_000_000;
const startNs = BigInt(Date.parse('2025-11-12T02:00:00Z')) * 1_000_000n;
/** When each boot of a story began, hours after the first one. */
const offsetsH = [0, 35, 72, 100];

/** A moment `hours` after the start of the boot with this index. */
export function moment(index: number, hours: number): Moment {
  const us = BigInt(Math.round(hours * HOUR_US));
  const wallNs = startNs + BigInt(offsetsH[index] ?? index * 40) * BigInt(HOUR_US) * 1_000n + us * 1_000n;
  return { bootId: `${index + 1}`.repeat(32), wallNs, monotonicUs: us };
}

interface BootSpec {
  readonly hours: number;
  readonly end?: Boot['end'];
  readonly creations?: (hour: number) => number;
}

/** A boot in which nothing happened. */
export function bootOf(index: number, { hours, end = 'unclean', creations }: BootSpec): TimelineBoot {
  const counted = Array.from({ length: Math.ceil(hours) }, (_, hour) => ({
    hour,
    creations: creations?.(hour) ?? 0,
    stalls: 0,
  }));
  const last = moment(index, hours);
  return {
    bootId: last.bootId ?? '',
    first: moment(index, 0),
    last,
    end,
    lines: 100,
    clockSteps: [],
    drivers: [],
    loops: [],
    creationsFrom: creations === undefined ? 'none' : 'systemd',
    creations: counted.reduce((sum, each) => sum + each.creations, 0),
    hours: creations === undefined ? [] : counted,
    kernel: kernelOf([]),
    freezes: [],
  };
}

/** The kernel's log of a boot with so many expedited stalls, the last of them after `untilH`. */
export function stallsOf(index: number, count: number, untilH: number): KernelLog {
  const text = 'rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 21 jiffies s: 5 root: 0x2/.';
  const [first, last] = [moment(index, 0.4), moment(index, untilH)];
  return {
    ...kernelOf([{ kind: 'rcu-expedited', text, count, first, last }]),
    tasks: [{ task: 'runc:[2:INIT]', count }],
  };
}

export function timelineOf(boots: readonly TimelineBoot[]): Timeline {
  return { sinceNs: startNs, lines: 1_000, boots, crashes: [], healed: [], gaps: [] };
}

/** Three boots: a quiet one that is reset, 37 hours of the loop, and its beginning again. */
export function loopStory(): Timeline {
  const quiet = bootOf(0, { hours: 34.9, creations: () => 6 });
  const last = bootOf(2, { hours: 0.5, end: 'unknown', creations: () => 500 });
  return timelineOf([
    quiet,
    sick(1, bootOf(1, { hours: 36.9, creations: (hour) => (hour < 34 ? 1_440 : 6) }), 33.8),
    sick(2, last, 0.4),
  ]);
}

function sick(index: number, boot: TimelineBoot, untilH: number): TimelineBoot {
  const apps = Array.from({ length: 35 }, (_, n) => `default/app-${n}-0`);
  const [first, last] = [moment(index, 0.02), moment(index, untilH)];
  const containers = ['csi-attacher', 'csi-provisioner', 'csi-resizer', 'csi-snapshotter'];
  const later = (hours: number) => ({ first: moment(index, hours), last, count: Math.ceil(untilH * 90) });
  const failed = 'E1114 23:33:00.1 812 controller.go:195] "Failed to update lease" err="context deadline exceeded"';
  const freeze = {
    ...{ first: moment(index, 33.9), last: boot.last, lastedNs: 3n * 3_600_000_000_000n, failures: 24 },
    ...{ silent: true, untilTheEnd: true, text: failed },
  };
  return {
    ...boot,
    ghosts: { holders: 36, pods: ['longhorn-system/longhorn-csi-plugin-x7k2p', ...apps], count: 7_488, first, last },
    drivers: [
      {
        driver: 'driver.longhorn.io',
        text: 'driver name driver.longhorn.io not found in the list of registered CSI drivers',
        ...later(0.03),
      },
    ],
    loops: containers.flatMap((container) =>
      ['a', 'b'].map((each) => ({ pod: `longhorn-system/${container}-${each}`, container, ...later(0.05) })),
    ),
    hours: boot.hours.map((each) => ({ ...each, stalls: each.hour < untilH ? 10 + each.hour : 0 })),
    kernel: stallsOf(index, index === 1 ? 1_191 : 9, untilH),
    freezes: index === 1 ? [freeze] : [],
  };
}

function kernelOf(troubles: KernelLog['troubles']): KernelLog {
  return { from: 'journal', since: null, lines: 10, lost: 0, troubles, hours: [], tasks: [] };
}
