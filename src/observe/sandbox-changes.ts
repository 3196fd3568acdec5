import { limits } from '../model/limits.ts';
import type { ChangeBranch, Moment, SandboxChange, Span, UnaskedStop } from '../model/records.ts';
import { Fold } from './fold.ts';
import type { Klog } from './klog.ts';
import { apartMs } from './log-line.ts';

/** A stop that waits for the line which tells that its sandbox went too. */
interface Stop {
  readonly at: Moment;
  readonly graceMs: number;
  readonly podUid: string;
}

/**
 * Why kubelet makes sandboxes anew, by the lines that it writes at its default verbosity of 2 (kuberuntime/util/util.go
 * PodSandboxChanged, kuberuntime_container.go killContainer).
 *
 * The branch that nothing is logged for is the missing cgroup: kubelet stops the containers and the sandbox of a
 * healthy pod (kubelet.go SyncPod) and finds "No ready sandbox" in its next sync. So a stop that no changed sandbox,
 * no message for the container (a probe, a new spec), no deletion and no eviction explains, and that such a line
 * follows, is one of those.
 */
export class SandboxChanges {
  readonly #changes = new Fold<Omit<SandboxChange, keyof Span>>();
  readonly #stops = new Fold<Omit<UnaskedStop, keyof Span>>();
  readonly #pending = new Map<string, Stop>();
  /** When kubelet last had a reason to stop containers of a pod. */
  readonly #reasons = new Map<string, Moment>();
  readonly #leaving = new Set<string>();

  /** A line of kubelet's log, of whatever kind. */
  add({ message, fields }: Klog, at: Moment): void {
    const branch = branchOf(message);
    const pod = podOf(branch === undefined ? fields.get('pod') : (fields.get('pod') ?? podOfOldText(message)));
    if (branch !== undefined && pod !== undefined) this.#change(pod, branch, at);
    else if (message === 'Killing container with a grace period' && pod !== undefined) {
      this.#stop(pod, { at, graceMs: secondsOf(fields.get('gracePeriod')), podUid: fields.get('podUID') ?? '' });
    } else if (message === 'Message for Container of pod' && pod !== undefined) keep(this.#reasons, pod, at);
    else if (message === 'Eviction manager: pod is evicted successfully' && pod !== undefined) this.#leave(pod);
    else if (message === 'SyncLoop DELETE' || message === 'SyncLoop REMOVE') {
      for (const each of podsIn(fields.get('pods'))) this.#leave(each);
    } else if (message === 'SyncLoop ADD') for (const each of podsIn(fields.get('pods'))) this.#leaving.delete(each);
  }

  /** What the lines told, in the order of the first of each. */
  result(): { sandboxChanges: SandboxChange[]; unaskedStops: UnaskedStop[] } {
    return { sandboxChanges: this.#changes.list(), unaskedStops: this.#stops.list() };
  }

  #change(pod: string, branch: ChangeBranch, at: Moment): void {
    this.#changes.add(`${branch} ${pod}`, at, { pod: partsOf(pod), branch });
    keep(this.#reasons, pod, at);
    const stop = this.#pending.get(pod);
    if (stop === undefined) return;
    this.#pending.delete(pod);
    if (branch !== 'newest-not-ready' || apartMs(stop.at, at) > stop.graceMs + limits.stopSeenWithinMs) return;
    const podUid = stop.podUid === '' ? {} : { podUid: stop.podUid };
    this.#stops.add(pod, stop.at, { pod: partsOf(pod), ...podUid });
  }

  #stop(pod: string, stop: Stop): void {
    const reason = this.#reasons.get(pod);
    const explained = reason !== undefined && apartMs(reason, stop.at) <= limits.changeStopsWithinMs;
    if (explained || this.#leaving.has(pod) || this.#pending.has(pod)) return;
    keep(this.#pending, pod, stop);
  }

  #leave(pod: string): void {
    this.#pending.delete(pod);
    if (this.#leaving.size < limits.logRecords) this.#leaving.add(pod);
  }
}

const branches: ReadonlyMap<string, ChangeBranch> = new Map([
  ['No sandbox for pod can be found. Need to start a new one', 'none'],
  ['Multiple sandboxes are ready for Pod. Need to reconcile them', 'several-ready'],
  ['No ready sandbox for pod can be found. Need to start a new one', 'newest-not-ready'],
  ['Sandbox for pod has changed. Need to start a new one', 'network-mode'],
  ['Sandbox for pod has no IP address. Need to start a new one', 'no-address'],
]);

/** 1.20 and older write the pod into the sentence: `No ready sandbox for pod "web_default(<uid>)" can be found. …`. */
function branchOf(message: string): ChangeBranch | undefined {
  if (message.length > 1_000) return undefined;
  return branches.get(message) ?? branches.get(message.replace(/ "[^"]*"/, ''));
}

function podOfOldText(message: string): string | undefined {
  const [, name, namespace] = / "([^_"]{1,253})_([^("]{1,253})\(/.exec(message) ?? [];
  return name === undefined ? undefined : `${namespace}/${name}`;
}

function podOf(value: string | undefined): string | undefined {
  return value !== undefined && /^[^/"\s]{1,253}\/[^/"\s]{1,253}$/.test(value) ? value : undefined;
}

/** `["default/web","default/be"]`, `[default/web default/be]`. */
function podsIn(value: string | undefined): string[] {
  return (value ?? '').slice(0, limits.journalLineBytes).match(/[^\s"[\],/\\]{1,253}\/[^\s"[\],/\\]{1,253}/g) ?? [];
}

function partsOf(pod: string): { namespace: string; name: string } {
  const cut = pod.indexOf('/');
  return { namespace: pod.slice(0, cut), name: pod.slice(cut + 1) };
}

function secondsOf(value: string | undefined): number {
  return /^\d{1,6}$/.test(value ?? '') ? Number(value) * 1_000 : 0;
}

function keep<T>(into: Map<string, T>, key: string, value: T): void {
  if (into.size < limits.logRecords || into.has(key)) into.set(key, value);
}
