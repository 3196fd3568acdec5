import type { Evidence, Finding, NoCommand, RemedyCommand } from '../../model/finding.ts';
import { limits } from '../../model/limits.ts';
import { valueOr } from '../../model/observed.ts';
import type { StopFailed } from '../../model/records.ts';
import { describePod, describeSandbox } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';
import { isCurrent } from '../time.ts';
import { times } from '../words.ts';

/** SW106: a sandbox cannot be stopped, so nothing new is created beside it. */
export const sw106: Rule = {
  code: 'SW106',
  name: 'removal-blocked',
  title: 'A dead sandbox cannot be stopped',
  severity: 'error',
  says: 'StopPodSandbox fails (mostly CNI DEL), and kubelet then creates no new sandbox and emits no event',
  explanation: `Before kubelet makes a new sandbox it stops every sandbox of the pod, dead ones too. Stopping calls the
CNI plugin with DEL. When the plugin fails, or no CNI configuration is loaded, the stop fails; kubelet logs it, creates
nothing, and emits **no event**, so \`kubectl describe pod\` shows nothing.

The sandbox is not the trouble, the pod's network is: mend the CNI plugin and everything follows. Going round CRI would
leak the pod's address.`,
  evidence: "kubelet's error with the plugin's words, the sandbox, the runtime's network condition",
  remedy: { tier: 'none', text: 'Mend the CNI plugin (its daemon, its configuration, its binary).' },
  sources: [
    'kubelet pkg/kubelet/kuberuntime/kuberuntime_manager.go killPodWithSyncResult',
    'containerd internal/cri/server/sandbox_stop.go stopPodSandbox',
    'containerd issues 6565, 8774, 13326; cozystack issue 2310',
  ],
  needs: ['node', 'kubeletLog'],
  examine: (facts) => {
    const node = facts.node;
    const failed = valueOr(facts.snapshot.kubeletLog, undefined)?.stopFailed ?? [];
    if (node === undefined) return [];
    return failed
      .filter((each) => each.during === 'sync' && isCurrent(each.last, node, limits.errorCurrentForMs))
      .filter((each) => facts.sandboxById.get(each.sandboxId)?.ready !== true)
      .map((each) => findingOf(each, facts));
  },
};

function findingOf(failed: StopFailed, facts: Facts): Finding {
  const sandbox = facts.sandboxById.get(failed.sandboxId);
  const view = facts.pods.get(sandbox?.uid ?? failed.podUid ?? '');
  const pods = view === undefined ? [] : [describePod(view)];
  const runtime = valueOr(facts.snapshot.runtime, undefined);
  const network: Evidence[] =
    runtime === undefined || runtime.networkReady
      ? []
      : [{ source: 'runtime', text: `NetworkReady is false: ${runtime.networkMessage}` }];
  return {
    code: 'SW106',
    severity: 'error',
    object: {
      kind: 'sandbox',
      name: sandbox === undefined ? failed.sandboxId : describeSandbox(sandbox),
      id: failed.sandboxId,
    },
    why:
      `${describeCause(failed.error)}, so this dead sandbox cannot be stopped; ` +
      'until it can, kubelet makes no new one for its pod and says nothing in the events.',
    evidence: [{ source: 'kubeletLog', text: `${failed.error} (${times(failed.count)})`, at: failed.last }, ...network],
    remedy: { tier: 'none', ...remedyOf(failed) },
    pods,
  };
}

/**
 * A power cut within seconds of a pod's start leaves libcni's note of its result empty, and DEL does not get past that;
 * where there is no note it goes on without (libcni api.go getCachedResult, getCacheFilePath; seen on containerd 1.7).
 */
function remedyOf({ error, sandboxId }: StopFailed): { text: string } & (RemedyCommand | NoCommand) {
  const after = 'kubelet goes on by itself within 15 s';
  // What stands in a pattern must be an id and nothing that widens it.
  if (cutOffNote.test(error) && /^[0-9a-f]{12,64}$/.test(sandboxId)) {
    return {
      text: `remove what is left of CNI's note; ${after}`,
      command: shellLine('find', '/var/lib/cni/results', '-name', `*-${sandboxId}-*`, '-delete'),
    };
  }
  return {
    text: `mend the CNI plugin; ${after}`,
    noCommand: "what the plugin lacks stands in its words, and is the plugin's own",
  };
}

const cutOffNote = /failed to get network .{0,200}cached (result|config).*(end of JSON input|invalid character)/;

/** What failed, in plain words, from the runtime's error. */
function describeCause(error: string): string {
  if (error.includes('cni plugin not initialized')) return 'No CNI configuration is loaded';
  if (cutOffNote.test(error)) return "CNI's own note of the pod's address was cut off, mostly by a power cut";
  const plugin = /plugin type="([^"]{1,60})"/.exec(error)?.[1];
  if (plugin !== undefined) return `The CNI plugin ${plugin} fails at DEL`;
  if (error.includes('failed to destroy network')) return 'The CNI plugin fails at DEL';
  if (/deadline exceeded/i.test(error)) return 'Stopping it takes longer than kubelet waits';
  return 'The runtime fails to stop it';
}
