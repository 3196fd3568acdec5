import type { FleetEvent, FleetNode, FleetPod } from '../../model/fleet.ts';
import { at, countOf, dateOf, listOf, member, textOf } from '../json.ts';
import { findHeld } from '../name-held.ts';

/** The nodes on a page of a NodeList; a page of 500 is kept as 500 small records. */
export function nodesOfPage(page: unknown): FleetNode[] {
  return listOf(member(page, 'items')).flatMap((item) => {
    const name = textOf(at(item, 'metadata', 'name'), 253);
    if (name === undefined) return [];
    const conditions = listOf(at(item, 'status', 'conditions'));
    const ready = conditions.find((each) => member(each, 'type') === 'Ready');
    const readySinceNs = dateOf(member(ready, 'lastTransitionTime'));
    return [
      {
        name,
        ready: ({ True: 'yes', False: 'no' } as const)[textOf(member(ready, 'status')) ?? ''] ?? 'unknown',
        readyReason: textOf(member(ready, 'reason'), 100) ?? '',
        ...(readySinceNs === undefined ? {} : { readySinceNs }),
        conditions: conditions
          .filter((each) => member(each, 'type') !== 'Ready' && member(each, 'status') === 'True')
          .map((each) => textOf(member(each, 'type'), 60) ?? ''),
        cordoned: at(item, 'spec', 'unschedulable') === true,
      },
    ];
  });
}

/** Name and time of the last heartbeat on a page of a LeaseList. */
export function heartbeatsOfPage(page: unknown): [string, bigint][] {
  return listOf(member(page, 'items')).flatMap((item) => {
    const name = textOf(at(item, 'metadata', 'name'), 253);
    const renewedNs = dateOf(at(item, 'spec', 'renewTime'));
    return name === undefined || renewedNs === undefined ? [] : [[name, renewedNs] as [string, bigint]];
  });
}

/**
 * The DaemonSets that bring CSI node plugins, by what they are: their pods mount kubelet's folder of plugins or of
 * registrations.
 */
export function csiPluginsOfPage(page: unknown): string[] {
  return listOf(member(page, 'items')).flatMap((item) => {
    const volumes = listOf(at(item, 'spec', 'template', 'spec', 'volumes'));
    const paths = volumes.map((each) => textOf(at(each, 'hostPath', 'path')) ?? '');
    const name = textOf(at(item, 'metadata', 'name'), 253);
    return name !== undefined && paths.some((path) => /\/plugins(?:_registry)?(?:\/|$)/.test(path)) ? [name] : [];
  });
}

/**
 * A reader of the pages of a Table of pods. What runs and is ready is dropped at once, so that 50,000 healthy pods
 * leave nothing behind; so is what is being deleted, since a table does not tell since when.
 */
export function podTableReader(): (page: unknown) => FleetPod[] {
  let columns = new Map<string, number>();
  return (page) => {
    const described = listOf(member(page, 'columnDefinitions')).map((each) => textOf(member(each, 'name')) ?? '');
    if (described.length > 0) columns = new Map(described.map((name, index) => [name, index]));
    const column = (name: string) => columns.get(name) ?? -1;
    const [name, ready, status, node] = ['Name', 'Ready', 'Status', 'Node'].map(column) as [
      number,
      number,
      number,
      number,
    ];
    const [restarts, age] = [column('Restarts'), column('Age')];
    return listOf(member(page, 'rows')).flatMap((row) => {
      const cells = listOf(member(row, 'cells'));
      const shown = textOf(cells[status], 60) ?? '';
      const [some, all] = (textOf(cells[ready], 20) ?? '').split('/');
      if ((shown === 'Running' && some === all) || atEase.has(shown)) return [];
      const on = textOf(cells[node], 253) ?? '';
      if (on === '' || on === '<none>') return [];
      return [
        {
          name: textOf(cells[name], 253) ?? '',
          node: on,
          status: shown,
          restarts: Number.parseInt(String(cells[restarts] ?? '0'), 10) || 0,
          ageSeconds: secondsOf(textOf(cells[age], 20) ?? ''),
        },
      ];
    });
  };
}

const atEase: ReadonlySet<string> = new Set(['Completed', 'Succeeded', 'Terminating']);

const reasons = ['FailedCreatePodSandBox', 'SandboxChanged', 'Rebooted', 'FailedMount'] as const;

/** The events on a page that tell of sandboxes, reboots and drivers. Source: kubelet's events and their messages. */
export function eventsOfPage(page: unknown): FleetEvent[] {
  return listOf(member(page, 'items')).flatMap((item) => {
    const reason = reasons.find((each) => each === member(item, 'reason'));
    const object = member(item, 'involvedObject');
    const [kind, name] = [member(object, 'kind'), textOf(member(object, 'name'), 253) ?? ''];
    const node =
      kind === 'Node'
        ? name
        : (textOf(at(item, 'source', 'host'), 253) ?? textOf(member(item, 'reportingInstance'), 253));
    const lastNs =
      dateOf(at(item, 'series', 'lastObservedTime')) ??
      dateOf(member(item, 'lastTimestamp')) ??
      dateOf(member(item, 'eventTime'));
    if (reason === undefined || node === undefined || node === '' || lastNs === undefined) return [];
    const message = textOf(member(item, 'message'), 4_000) ?? '';
    const holderId = reason === 'FailedCreatePodSandBox' ? findHeld(message)?.holderId : undefined;
    const driver = /driver name ([\w.-]{1,100}) not found in the list of registered CSI drivers/.exec(message)?.[1];
    return [
      {
        reason,
        node,
        object: kind === 'Node' ? name : `${textOf(member(object, 'namespace'), 253) ?? ''}/${name}`,
        count: Math.max(countOf(at(item, 'series', 'count')), countOf(member(item, 'count')), 1),
        firstNs: dateOf(member(item, 'firstTimestamp')) ?? dateOf(member(item, 'eventTime')) ?? lastNs,
        lastNs,
        ...(holderId === undefined ? {} : { holderId }),
        ...(driver === undefined ? {} : { driver }),
      },
    ];
  });
}

const unitSeconds = { y: 31_536_000, d: 86_400, h: 3_600, m: 60, s: 1 } as const;

/** Seconds of `3m20s`, `2d4h`; 0 where it is no such text. Source: apimachinery duration.HumanDuration. */
function secondsOf(text: string): number {
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([ydhms])/g)) {
    seconds += Number(count) * unitSeconds[unit as keyof typeof unitSeconds];
  }
  return seconds;
}
