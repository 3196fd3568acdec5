import { at, type Column, type KubeObject, listAt, textAt } from './objects.ts';

/** The columns of `kubectl get pods`. Source: kubernetes pkg/printers/internalversion/printers.go, printPod. */
export const podColumns: readonly Column[] = [
  { name: 'Ready', of: (pod) => `${summaryOf(pod).ready}/${listAt(pod, 'spec', 'containers').length}` },
  { name: 'Status', of: (pod) => summaryOf(pod).reason },
  { name: 'Restarts', of: (pod, nowMs) => restartsOf(pod, nowMs) },
  { name: 'Age', of: ({ metadata }, nowMs) => ageOf(metadata.creationTimestamp, nowMs) },
  { name: 'IP', priority: 1, of: (pod) => textAt(pod, 'status', 'podIP') || '<none>' },
  { name: 'Node', priority: 1, of: (pod) => textAt(pod, 'spec', 'nodeName') || '<none>' },
  { name: 'Nominated Node', priority: 1, of: (pod) => textAt(pod, 'status', 'nominatedNodeName') || '<none>' },
  { name: 'Readiness Gates', priority: 1, of: () => '<none>' },
];

/** `5s`, `3m20s`, `2d4h`. Source: apimachinery pkg/util/duration HumanDuration. */
export function ageOf(timestamp: string, nowMs: number): string {
  const since = nowMs - Date.parse(timestamp);
  if (Number.isNaN(since)) return '<unknown>';
  const seconds = Math.max(0, Math.floor(since / 1_000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const pair = (a: string, rest: number, unit: string) => (rest === 0 ? a : `${a}${rest}${unit}`);
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return pair(`${minutes}m`, seconds % 60, 's');
  if (hours < 3) return `${minutes}m`;
  if (hours < 8) return pair(`${hours}h`, minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (days < 8) return pair(`${days}d`, hours % 24, 'h');
  return days < 730 ? `${days}d` : pair(`${Math.floor(days / 365)}y`, days % 365, 'd');
}

function summaryOf(pod: KubeObject): { reason: string; ready: number } {
  const init = initReason(pod);
  let reason = textAt(pod, 'status', 'reason') || textAt(pod, 'status', 'phase') || 'Pending';
  let ready = 0;
  if (init !== undefined && !hasCondition(pod, 'Initialized')) reason = init;
  else {
    for (const status of listAt(pod, 'status', 'containerStatuses').toReversed()) {
      reason = stateReason(status) ?? reason;
      if (at(status, 'ready') === true && at(status, 'state', 'running') !== undefined) ready++;
    }
    if (reason === 'Completed' && ready > 0) reason = hasCondition(pod, 'Ready') ? 'Running' : 'NotReady';
  }
  const isOver = ['Succeeded', 'Failed'].includes(textAt(pod, 'status', 'phase'));
  if (pod.metadata.deletionTimestamp !== undefined && !isOver) {
    reason = textAt(pod, 'status', 'reason') === 'NodeLost' ? 'Unknown' : 'Terminating';
  }
  return { reason, ready };
}

function initReason(pod: KubeObject): string | undefined {
  const statuses = listAt(pod, 'status', 'initContainerStatuses');
  for (const [index, status] of statuses.entries()) {
    if (at(status, 'state', 'terminated', 'exitCode') === 0) continue;
    const reason = stateReason(status);
    if (reason !== undefined && reason !== 'PodInitializing') return `Init:${reason}`;
    return `Init:${index}/${listAt(pod, 'spec', 'initContainers').length}`;
  }
  return undefined;
}

function stateReason(status: unknown): string | undefined {
  const waiting = textAt(status, 'state', 'waiting', 'reason');
  if (waiting !== '') return waiting;
  if (at(status, 'state', 'terminated') === undefined) return undefined;
  const reason = textAt(status, 'state', 'terminated', 'reason');
  return reason || `ExitCode:${at(status, 'state', 'terminated', 'exitCode')}`;
}

function restartsOf(pod: KubeObject, nowMs: number): string {
  const statuses = listAt(pod, 'status', 'containerStatuses');
  const count = statuses.reduce<number>((sum, each) => sum + Number(at(each, 'restartCount') ?? 0), 0);
  const ends = statuses.map((each) => textAt(each, 'lastState', 'terminated', 'finishedAt')).filter(Boolean);
  const last = ends.sort().at(-1);
  return count === 0 || last === undefined ? String(count) : `${count} (${ageOf(last, nowMs)} ago)`;
}

function hasCondition(pod: KubeObject, type: string): boolean {
  return listAt(pod, 'status', 'conditions').some((each) => at(each, 'type') === type && at(each, 'status') === 'True');
}
