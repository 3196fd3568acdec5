import type { Evidence, Finding } from '../model/finding.ts';
import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { RootCgroupRefused } from '../model/records.ts';
import type { Facts } from './facts.ts';
import { agoNs, isCurrent } from './time.ts';
import { times } from './words.ts';

/**
 * SW501 of the node: kubelet itself does not start, because the cgroup above all pods lacks what it requires. Once is
 * how it goes where systemd strips the new slice while kubelet makes it (kubernetes issue 122955): the second start
 * works. So a kubelet that has run for a while since is well.
 */
export function rootCgroupFinding(facts: Facts): Finding[] {
  const { snapshot, node } = facts;
  if (node === undefined) return [];
  const all = valueOr(snapshot.kubeletLog, undefined)?.rootCgroupRefused ?? [];
  const refused = all.toSorted((a, b) => Number(b.last.wallNs - a.last.wallNs))[0];
  if (refused === undefined || !isCurrent(refused.last, node, limits.errorCurrentForMs)) return [];
  if (hasStartedSince(refused, facts)) return [];
  const count = all.reduce((sum, each) => sum + each.count, 0);
  const tree = snapshot.cgroups?.known ? snapshot.cgroups.value : undefined;
  const handed = tree?.slices.find((each) => each.level === 'root')?.subtreeControl;
  // Up to 1.30 kubelet does not say which; what the root does not hand down, nobody below has.
  const withheld = handed === undefined ? [] : (tree?.required ?? []).filter((each) => !handed.includes(each));
  const lacks = refused.missing.length > 0 ? refused.missing : withheld;
  const which = lacks.length === 0 ? 'is not as kubelet requires it' : `lacks ${lacks.join(' and ')}`;
  const evidence: Evidence[] = [{ source: 'kubeletLog', text: refused.text, at: refused.last }];
  if (handed !== undefined) {
    evidence.push({ source: 'cgroups', text: `/cgroup.subtree_control: ${handed.join(' ') || 'empty'}` });
  }
  const loops = count >= 2;
  return [
    {
      code: 'SW501',
      severity: loops ? 'error' : 'warning',
      object: { kind: 'node', name: 'the cgroup above all pods' },
      why: loops
        ? `kubelet has ended ${times(count)} at its start, because the cgroup above all pods ${which}.`
        : `kubelet ended at its start, because the cgroup above all pods ${which}; mostly its next start works.`,
      evidence,
      remedy: {
        tier: 'none',
        text: loops
          ? 'let the root of the cgroup tree hand them down, and find who takes them away'
          : 'wait for its next start',
        command: 'sandwarden watch controllers',
      },
      pods: [],
    },
  ];
}

/** The kubelet that runs began after the refusal, and has outlived the moment in which it would be refused. */
function hasStartedSince({ last }: RootCgroupRefused, { snapshot, node }: Facts): boolean {
  const kubelet = valueOr(snapshot.kubelet, undefined);
  if (node === undefined || kubelet?.running !== true || kubelet.startedUptimeNs === undefined) return false;
  const ranNs = node.uptimeNs - kubelet.startedUptimeNs;
  // k3s goes on without the kubelet inside it for a moment: then the process is older than the refusal.
  const ago = agoNs(last, node);
  return ranNs >= BigInt(limits.kubeletStartedMs) * 1_000_000n && ago !== null && ago > ranNs;
}
