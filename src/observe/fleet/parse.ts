import * as v from 'valibot';
import {
  type FleetEvent,
  type FleetNode,
  type FleetPod,
  type UncleanBoot,
  uncleanBootAnnotation,
} from '../../model/fleet.ts';
import { at, dateOf, listOf, member, textOf } from '../json.ts';
import { eventNode, eventSpan } from '../kube/event-fields.ts';
import { findHeld } from '../name-held.ts';

/** The nodes on a page of a NodeList; a page of 500 is kept as 500 small records. */
export function nodesOfPage(page: unknown): FleetNode[] {
  return listOf(member(page, 'items')).flatMap((item) => {
    const name = textOf(at(item, 'metadata', 'name'), 253);
    if (name === undefined) return [];
    const conditions = listOf(at(item, 'status', 'conditions'));
    const ready = conditions.find((each) => member(each, 'type') === 'Ready');
    const readySinceNs = dateOf(member(ready, 'lastTransitionTime'));
    const bootId = textOf(at(item, 'status', 'nodeInfo', 'bootID'), 100);
    const uncleanBoot = uncleanBootOf(item);
    return [
      {
        name,
        ready: ({ True: 'yes', False: 'no' } as const)[textOf(member(ready, 'status')) ?? ''] ?? 'unknown',
        readyReason: textOf(member(ready, 'reason'), 100) ?? '',
        ...(readySinceNs === undefined ? {} : { readySinceNs }),
        ...(bootId === undefined ? {} : { bootId }),
        ...(uncleanBoot === undefined ? {} : { uncleanBoot }),
        conditions: conditions
          .filter((each) => member(each, 'type') !== 'Ready' && member(each, 'status') === 'True')
          .map((each) => textOf(member(each, 'type'), 60) ?? ''),
        cordoned: at(item, 'spec', 'unschedulable') === true,
      },
    ];
  });
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const uncleanBoot = v.object({
  at: v.string(),
  bootId: v.pipe(v.string(), v.maxLength(100)),
  removed: count,
  left: count,
});

/** What the node has told of its last unclean boot (boot/publish.ts); what cannot be read was not told. */
export function uncleanBootOf(node: unknown): UncleanBoot | undefined {
  const text = textOf(at(node, 'metadata', 'annotations', uncleanBootAnnotation), 1_000);
  if (text === undefined) return undefined;
  try {
    const told = v.safeParse(uncleanBoot, JSON.parse(text));
    const atNs = told.success ? dateOf(told.output.at) : undefined;
    if (!told.success || atNs === undefined) return undefined;
    const { bootId, removed, left } = told.output;
    return { atNs, bootId, removed, left };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
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

/** A reader of the pages of a Table of pods. */
export interface PodTableReader {
  readonly rowsOf: (page: unknown) => FleetPod[];
  /** Whether two pods or more on a node have this name: each is of another namespace. */
  hasTwin(pod: { readonly name: string; readonly node: string }): boolean;
}

/**
 * What runs and is ready is dropped at once, so that 50,000 healthy pods leave nothing behind but their names; so is
 * what is being deleted, since a table does not tell since when. Namespaces are there only where the rows have objects
 * (`includeObject=Metadata`).
 */
export function podTableReader(): PodTableReader {
  let columns = new Map<string, number>();
  const [names, twins] = [new Set<string>(), new Set<string>()];
  const rowsOf = (page: unknown) => {
    const described = listOf(member(page, 'columnDefinitions')).map((each) => textOf(member(each, 'name')) ?? '');
    if (described.length > 0) columns = new Map(described.map((name, index) => [name, index]));
    return listOf(member(page, 'rows')).flatMap((row) => {
      const { name, node, status, isWell, ...rest } = cellsOf(row, columns);
      if (node === '' || node === '<none>') return [];
      const place = placeOf(name, node);
      if (names.has(place)) twins.add(place);
      names.add(place);
      if (isWell || atEase.has(status)) return [];
      const namespace = textOf(at(row, 'object', 'metadata', 'namespace'), 253);
      return [{ name, ...(namespace === undefined ? {} : { namespace }), node, status, ...rest }];
    });
  };
  return { rowsOf, hasTwin: ({ name, node }) => twins.has(placeOf(name, node)) };
}

function placeOf(name: string, node: string): string {
  return `${node}/${name}`;
}

function cellsOf(row: unknown, columns: ReadonlyMap<string, number>) {
  const cells = listOf(member(row, 'cells'));
  const cell = (name: string) => cells[columns.get(name) ?? -1];
  const status = textOf(cell('Status'), 60) ?? '';
  const [some, all] = (textOf(cell('Ready'), 20) ?? '').split('/');
  return {
    name: textOf(cell('Name'), 253) ?? '',
    node: textOf(cell('Node'), 253) ?? '',
    status,
    isWell: status === 'Running' && some === all,
    restarts: Number.parseInt(String(cell('Restarts') ?? '0'), 10) || 0,
    ageSeconds: secondsOf(textOf(cell('Age'), 20) ?? ''),
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
    const node = kind === 'Node' ? name : eventNode(item);
    const span = eventSpan(item);
    if (reason === undefined || node === undefined || node === '' || span === undefined) return [];
    const message = textOf(member(item, 'message'), 4_000) ?? '';
    const holderId = reason === 'FailedCreatePodSandBox' ? findHeld(message)?.holderId : undefined;
    const driver = /driver name ([\w.-]{1,100}) not found in the list of registered CSI drivers/.exec(message)?.[1];
    return [
      {
        reason,
        node,
        object: kind === 'Node' ? name : `${textOf(member(object, 'namespace'), 253) ?? ''}/${name}`,
        ...span,
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
