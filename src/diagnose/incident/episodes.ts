import type { DriverEpisode, Timeline, TimelineBoot } from '../../model/incident.ts';
import { limits } from '../../model/limits.ts';
import type { Moment } from '../../model/records.ts';
import { namespaceOf } from '../../model/sandbox.ts';
import type { CauseNode } from '../causes.ts';
import { countsInWords, isStallKind, thousands } from '../stall-facts.ts';
import { isOfContainers, isSidecar } from '../storm-facts.ts';
import { describeDuration } from '../time.ts';
import { Axis } from './axis.ts';
import { belongsTo, tiePlugins } from './driver-pods.ts';
import { loopRate } from './rates.ts';

/** Something that happened, with its words and with what it can cause and be caused by. */
export interface Episode extends CauseNode {
  readonly bootId: string;
  readonly at: Moment;
  readonly lastedNs: bigint | null;
  readonly text: string;
  readonly evidence: string;
}

/** All that happened, in the order of the axis. */
export function episodesOf(timeline: Timeline): Episode[] {
  const axis = new Axis(timeline);
  const drivers = [...new Set(timeline.boots.flatMap((boot) => boot.drivers.map((each) => each.driver)))];
  const found = timeline.boots.flatMap((boot, index) => [
    ...clocks(boot, timeline.boots[index - 1], axis),
    ...ghosts(boot, timeline.boots[index - 1], axis),
    ...boot.drivers.map((each) => driver(boot, each, { axis, drivers })),
    ...loops(boot, { axis, drivers }),
    ...stalls(boot, axis),
    ...otherSigns(boot, axis),
    ...boot.freezes.map((each, n) => {
      const silent = each.silent ? ', then silence while the node lived on' : '';
      return episode(boot, axis, {
        code: 'freeze',
        id: `freeze ${n}`,
        first: each.first,
        last: each.last,
        text: `the API did not answer this node for ${describeDuration(each.lastedNs)}`,
        evidence: `${each.failures} failures of kubelet's lease or status${silent}: ${each.text}`,
        objects: [],
      });
    }),
    ...end(boot, axis),
  ]);
  return found.sort((a, b) => compare(a.startNs, b.startNs));
}

interface Context {
  readonly axis: Axis;
  /** The drivers that the whole timeline knows. */
  readonly drivers: readonly string[];
}

interface Part {
  readonly code: string;
  readonly id?: string;
  readonly first: Moment;
  readonly last?: Moment;
  readonly text: string;
  readonly evidence: string;
  readonly objects: readonly string[];
  readonly maybe?: readonly string[];
}

function episode(boot: TimelineBoot, axis: Axis, part: Part): Episode {
  const { code, first, last = first, text, evidence, objects, maybe = [] } = part;
  const [startNs, endNs] = [axis.at(first), axis.at(last)];
  return {
    id: `${boot.bootId} ${code} ${part.id ?? ''}`,
    code,
    bootId: boot.bootId,
    startNs,
    endNs,
    at: first,
    lastedNs: part.last === undefined || endNs === startNs ? null : endNs - startNs,
    text,
    evidence,
    objects: new Set(objects),
    maybe: new Set(maybe),
  };
}

/** The clock was set, or the boot began before the boot before it had ended. */
function clocks(boot: TimelineBoot, before: TimelineBoot | undefined, axis: Axis): Episode[] {
  const behindNs = before === undefined ? 0n : before.last.wallNs - boot.first.wallNs;
  const behind =
    behindNs > BigInt(limits.clockSlackMs) * 1_000_000n
      ? [
          episode(boot, axis, {
            code: 'SW202',
            id: 'behind',
            first: boot.first,
            text: `the node booted with its clock at least ${describeDuration(behindNs)} behind`,
            evidence: 'its first line is dated before the last one of the boot before it',
            objects: [],
          }),
        ]
      : [];
  const steps = boot.clockSteps.map(({ at, byNs }, n) =>
    episode(boot, axis, {
      code: 'SW202',
      id: `step ${n}`,
      first: at,
      text: `the clock was set ${byNs < 0n ? 'back' : 'forward'} by ${describeDuration(byNs)}`,
      evidence: "the date and the kernel's own count part between two lines",
      objects: [],
    }),
  );
  return [...behind, ...steps];
}

function ghosts(boot: TimelineBoot, before: TimelineBoot | undefined, axis: Axis): Episode[] {
  const { ghosts: of } = boot;
  if (of === undefined) return [];
  const part = {
    code: 'SW101',
    first: of.first,
    last: of.last,
    text: `${of.holders} dead ${of.holders === 1 ? 'sandbox' : 'sandboxes'} held names that kubelet asked for`,
    evidence: `refused ${thousands(of.count)} times: ${some(of.pods)}`,
    objects: [...of.pods.map((each) => `plugin:${each}`), ...(before === undefined ? [] : [endOf(before)])],
  };
  return [episode(boot, axis, part)];
}

function driver(boot: TimelineBoot, of: DriverEpisode, { axis, drivers }: Context): Episode {
  const ties = tiePlugins(of.driver, drivers, boot.ghosts?.pods ?? []);
  const blocked =
    ties.own.length > 0
      ? `its node plugin was among the refused pods (${some(ties.own)}); `
      : ties.perhaps.length > 0
        ? `a node plugin that may be its own was among the refused pods (${some(ties.perhaps)}); `
        : '';
  return episode(boot, axis, {
    code: 'SW301',
    id: of.driver,
    first: of.first,
    last: of.last,
    text: `the CSI driver ${of.driver} was not there`,
    evidence: `${blocked}told ${thousands(of.count)} times: ${of.text}`,
    objects: [
      `driver:${of.driver}`,
      ...ties.own.map((each) => `plugin:${each}`),
      ...ties.namespaces.map((each) => `sidecars:${each}`),
    ],
    maybe: [
      ...ties.perhaps.map((each) => `plugin:${each}`),
      ...ties.perhapsNamespaces.map((each) => `sidecars:${each}`),
    ],
  });
}

function loops(boot: TimelineBoot, { axis, drivers }: Context): Episode[] {
  const [any] = boot.loops;
  const pods = [...new Set(boot.loops.map((each) => each.pod))];
  if (any === undefined || boot.loops.every((each) => each.count < limits.loopCreations)) return [];
  const perMinute = loopRate(boot);
  const rate =
    perMinute === 0 ? '' : `, while ${perMinute.toFixed(perMinute < 10 ? 1 : 0)} containers a minute were made`;
  const us = (at: Moment) => at.monotonicUs ?? 0n;
  const sidecars = boot.loops.filter((each) => isSidecar(each.container)).map((each) => each.pod);
  const part = {
    code: 'SW401',
    first: boot.loops.reduce((a, b) => (us(b.first) < us(a) ? b.first : a), any.first),
    last: boot.loops.reduce((a, b) => (us(b.last) > us(a) ? b.last : a), any.last),
    text: `${pods.length} ${pods.length === 1 ? 'pod' : 'pods'} crash-looped${rate}`,
    evidence: `held back by kubelet: ${some(pods)}; creations counted in the log of ${boot.creationsFrom}`,
    objects: [
      'task:runc',
      ...pods.map((each) => `pod:${each}`),
      ...sidecars.flatMap((each) => sidecarOf(each, drivers)),
    ],
  };
  return [episode(boot, axis, part)];
}

/** Whose sidecar a pod is: the driver's whose name it has, else that of its namespace, if there is one. */
function sidecarOf(pod: string, drivers: readonly string[]): string[] {
  const tied = drivers.filter((each) => belongsTo(pod, each));
  return tied.length > 0 ? tied.map((each) => `driver:${each}`) : [`sidecars:${namespaceOf(pod)}`];
}

function stalls(boot: TimelineBoot, axis: Axis): Episode[] {
  const troubles = boot.kernel.troubles.filter((each) => isStallKind(each.kind));
  const [any] = troubles;
  if (any === undefined) return [];
  const us = (at: Moment) => at.monotonicUs ?? 0n;
  const { tasks } = boot.kernel;
  const named = tasks.map(({ task, count }) => `${task} (${thousands(count)})`).join(', ');
  const part = {
    code: 'SW402',
    first: troubles.reduce((a, b) => (us(b.first) < us(a) ? b.first : a), any.first),
    last: troubles.reduce((a, b) => (us(b.last) > us(a) ? b.last : a), any.last),
    text: `the kernel reported ${countsInWords(troubles)}`,
    evidence: named === '' ? any.text : `tasks in the dumps: ${named}`,
    objects: [
      ...(tasks.some(({ task }) => isOfContainers(task)) ? ['task:runc'] : []),
      ...(troubles.some(({ kind }) => kind === 'hung-task') ? ['hung:tasks'] : []),
    ],
  };
  return [episode(boot, axis, part)];
}

/** What else the kernel said that can be a cause. */
function otherSigns(boot: TimelineBoot, axis: Axis): Episode[] {
  return boot.kernel.troubles
    .filter(({ kind }) => kind === 'panic' || kind === 'nfs-silent' || kind === 'undervoltage')
    .map(({ kind, count, first, last, text }) => {
      const what = countsInWords([{ kind, count }]);
      const objects = kind === 'nfs-silent' ? ['hung:tasks'] : [];
      return episode(boot, axis, {
        code: kind,
        first,
        last,
        text: `the kernel told of ${what}`,
        evidence: text,
        objects,
      });
    });
}

function end(boot: TimelineBoot, axis: Axis): Episode[] {
  if (boot.end !== 'unclean') return [];
  const part = {
    code: 'SW201',
    first: boot.last,
    text: `boot ${boot.bootId.slice(0, 8)} ended without a shutdown: power cut, reset or freeze`,
    evidence: 'no line of a shutdown in its last minutes',
    objects: [endOf(boot)],
  };
  return [episode(boot, axis, part)];
}

/** What the end of a boot shares with what the next boot found. */
function endOf({ bootId }: TimelineBoot): string {
  return `end:of boot ${bootId.slice(0, 8)}`;
}

function some(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more` : names.join(', ');
}

function compare(a: bigint | null, b: bigint | null): number {
  return (a ?? 0n) < (b ?? 0n) ? -1 : (a ?? 0n) > (b ?? 0n) ? 1 : 0;
}
