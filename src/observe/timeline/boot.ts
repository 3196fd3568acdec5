import type { ClockStep, DriverEpisode, GhostEpisode, LoopEpisode, TimelineBoot } from '../../model/incident.ts';
import { limits } from '../../model/limits.ts';
import type { Boot } from '../../model/node.ts';
import type { Moment } from '../../model/records.ts';
import { parseContainerName, parseSandboxName } from '../../model/sandbox.ts';
import { isEndOfBoot } from '../boots.ts';
import { findBackOffs } from '../crash-lines.ts';
import { isStall, KernelLogReader } from '../kernel/kernel-log.ts';
import { parseKlog } from '../klog.ts';
import { findHeld } from '../name-held.ts';
import { type Entry, momentOf } from './entry.ts';
import { FreezeWatch } from './freezes.ts';
import { Spans } from './spans.ts';

type CreationSource = Exclude<TimelineBoot['creationsFrom'], 'none'>;

/** Reads the lines of one boot as they come and keeps what an incident is made of, in bounded memory. */
export class BootReader {
  readonly #bootId: string;
  readonly #first: Moment;
  #lastEntry: Entry;
  #lines = 0;
  #offsetUs: number | undefined;
  #shutdownUs = -1;
  readonly #steps: ClockStep[] = [];
  readonly #kernel = new KernelLogReader();
  readonly #stallHours = new Map<number, number>();
  readonly #created: Record<CreationSource, Map<number, number>> = {
    'the runtime': new Map(),
    systemd: new Map(),
    kubelet: new Map(),
  };
  readonly #ghosts = new Spans<{ pod: string }>();
  readonly #drivers = new Spans<{ driver: string; text: string }>();
  readonly #loops = new Spans<{ pod: string; container: string }>();
  readonly #freezes = new FreezeWatch();

  constructor(first: Entry) {
    this.#bootId = first.bootId;
    this.#first = momentOf(first);
    this.#lastEntry = first;
  }

  add(entry: Entry): void {
    this.#lines++;
    this.#watchClock(entry);
    if (entry.monotonicUs >= this.#lastEntry.monotonicUs) this.#lastEntry = entry;
    const { text } = entry;
    if (entry.writer === 'kernel') this.#addKernel(entry);
    else if (entry.writer === 'systemd') {
      if (SCOPE.test(text)) bump(this.#created.systemd, entry);
      if (isEndOfBoot({ text, pid: 1, ...messageIdOf(entry) })) this.#shutdownUs = entry.monotonicUs;
    } else if (entry.writer === 'runtime') {
      if (text.includes('returns container id')) bump(this.#created['the runtime'], entry);
    } else if (entry.writer === 'kubelet') this.#addKubelet(entry);
    else if (entry.writer === 'journald' && isEndOfBoot({ text, ...messageIdOf(entry) }))
      this.#shutdownUs = entry.monotonicUs;
  }

  /**
   * `known`: the boot by journalctl's own list, which also knows the lines that were not asked for. `isLast`: the
   * journal goes no further, so nothing tells how it ended.
   */
  result(known: Boot | undefined, isLast: boolean): TimelineBoot {
    const last = this.#lastOf(known);
    const source = this.#bestSource();
    const creations = source === 'none' ? new Map<number, number>() : this.#created[source];
    const hours = [...new Set([...creations.keys(), ...this.#stallHours.keys()])].sort((a, b) => a - b);
    const ghosts = ghostsOf(this.#ghosts);
    return {
      bootId: this.#bootId,
      first: this.#first,
      last,
      end: this.#endOf(known, isLast, Number(last.monotonicUs ?? 0n)),
      lines: this.#lines,
      clockSteps: this.#steps,
      ...(ghosts === undefined ? {} : { ghosts }),
      drivers: this.#drivers.list() satisfies DriverEpisode[],
      loops: this.#loops.list() satisfies LoopEpisode[],
      creationsFrom: source,
      creations: total(creations),
      hours: hours.map((hour) => ({
        hour,
        creations: creations.get(hour) ?? 0,
        stalls: this.#stallHours.get(hour) ?? 0,
      })),
      kernel: this.#kernel.result('journal', 0),
      freezes: this.#freezes.end(last),
    };
  }

  #addKernel(entry: Entry): void {
    const { text, monotonicUs, bootId, wallUs } = entry;
    const sign = this.#kernel.add({ text, monotonicUs, bootId, wallNs: BigInt(wallUs) * 1_000n });
    if (sign && isStall(sign.kind)) bump(this.#stallHours, entry);
  }

  #addKubelet(entry: Entry): void {
    const { text } = entry;
    this.#freezes.add(entry);
    if (!SIGNS.test(text)) return;
    if (text.includes('"ContainerStarted"')) bump(this.#created.kubelet, entry);
    const klog = parseKlog(text);
    // An object that is logged for information may quote what a pod's author wrote.
    if (klog?.severity !== 'E' && klog?.severity !== 'W') return;
    const held = findHeld(text);
    if (held) {
      const of = held.kind === 'sandbox' ? parseSandboxName(held.name) : parseContainerName(held.name);
      if (of) this.#ghosts.add(held.holderId, entry, { pod: `${of.namespace}/${of.name}` });
    }
    const driver = DRIVER.exec(text)
      ?.slice(1)
      .find((each) => each !== undefined);
    if (driver !== undefined) this.#drivers.add(driver, entry, { driver, text: text.slice(0, 300) });
    for (const { pod, container, podUid } of findBackOffs(text)) {
      this.#loops.add(`${podUid} ${container}`, entry, { pod: `${pod.namespace}/${pod.name}`, container });
    }
  }

  #watchClock(entry: Entry): void {
    const offsetUs = entry.wallUs - entry.monotonicUs;
    const before = this.#offsetUs ?? offsetUs;
    this.#offsetUs = offsetUs;
    const byUs = offsetUs - before;
    if (Math.abs(byUs) < limits.clockSlackMs * 1_000 || this.#steps.length >= limits.incidentNames) return;
    this.#steps.push({ at: momentOf(entry), byNs: BigInt(byUs) * 1_000n });
  }

  /** The last line of the boot, of whomever; the list tells only its date, so the kernel's count goes by that. */
  #lastOf(known: Boot | undefined): Moment {
    const own = momentOf(this.#lastEntry);
    if (known === undefined || known.lastNs <= own.wallNs) return own;
    const laterUs = (known.lastNs - own.wallNs) / 1_000n;
    return { ...own, wallNs: known.lastNs, monotonicUs: (own.monotonicUs ?? 0n) + laterUs };
  }

  #endOf(known: Boot | undefined, isLast: boolean, lastUs: number): Boot['end'] {
    if (known?.end === 'running') return 'running';
    const inOrder = this.#shutdownUs >= 0 && lastUs - this.#shutdownUs <= limits.shutdownWithinMs * 1_000;
    return inOrder ? 'clean' : isLast ? 'unknown' : 'unclean';
  }

  #bestSource(): TimelineBoot['creationsFrom'] {
    const [runtime, systemd] = [total(this.#created['the runtime']), total(this.#created.systemd)];
    if (runtime > 0 && runtime * 4 >= systemd) return 'the runtime';
    if (systemd > 0) return 'systemd';
    return total(this.#created.kubelet) > 0 ? 'kubelet' : 'none';
  }
}

// systemd's job results: `Started cri-containerd-<id>.scope - libcontainer container <id>.` (250 and newer),
// `Started libcontainer container <id>.`
const SCOPE = /^Started (?:\S{1,200}\.scope - )?libcontainer container [0-9a-f]{64}/;
const SIGNS = /is reserved for|restarting failed container|of registered CSI drivers|csi\.sock|"ContainerStarted"/;
// csi_client.go newCsiDriverClient; a dial of a socket under kubelet's plugins folder that is not there.
const DRIVER =
  /driver name ([\w.-]{1,128}) not found in the list of registered CSI drivers|\/plugins\/([\w.-]{1,128})\/csi\.sock[^"]{0,80}(?:no such file|refused)/;

function ghostsOf(spans: Spans<{ pod: string }>): GhostEpisode | undefined {
  const list = spans.list();
  const [any] = list;
  if (any === undefined) return undefined;
  const us = (at: Moment) => at.monotonicUs ?? 0n;
  return {
    holders: spans.size,
    pods: [...new Set(list.map((each) => each.pod))],
    count: list.reduce((sum, each) => sum + each.count, 0),
    first: list.reduce((a, b) => (us(b.first) < us(a) ? b.first : a), any.first),
    last: list.reduce((a, b) => (us(b.last) > us(a) ? b.last : a), any.last),
  };
}

function messageIdOf({ messageId }: Entry): { messageId?: string } {
  return messageId === undefined ? {} : { messageId };
}

function bump(hours: Map<number, number>, { monotonicUs }: Entry): void {
  const hour = Math.floor(monotonicUs / 3.6e9);
  const known = hours.get(hour);
  if (known !== undefined || hours.size < limits.incidentHours) hours.set(hour, (known ?? 0) + 1);
}

function total(hours: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const count of hours.values()) sum += count;
  return sum;
}
