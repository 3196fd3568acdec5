import type { Finding } from '../../model/finding.ts';
import { valueOr } from '../../model/observed.ts';
import type { Rule } from '../rule.ts';
import { times } from '../words.ts';

/** SW105: the runtime cannot start, because two records have one name. */
export const sw105: Rule = {
  code: 'SW105',
  name: 'duplicate-names-on-disk',
  title: 'The runtime cannot start: two records on disk have one name',
  severity: 'error',
  says: 'containerd cannot start: failed to recover state, failed to reserve a name that two records have',
  explanation: `At its start containerd gives each stored sandbox and container its name back. When two records have one
name it gives up: \`failed to recover state: failed to reserve sandbox name\`, exits, and is started again, for ever.

Nothing that goes through CRI can help, because there is no CRI. One of the two records has to be taken out with the CRI
plugin switched off:

1. Stop kubelet (or k3s) and containerd. Copy the folder of \`meta.db\`.
2. Start containerd by hand with a copy of its configuration that has
   \`disabled_plugins = ["io.containerd.grpc.v1.cri"]\`.
3. \`ctr -n k8s.io containers ls\`, then \`ctr -n k8s.io containers info ID\` for the id in the error and its double.
4. \`ctr -n k8s.io containers rm ID\` for the older of the two (and \`ctr -n k8s.io sandboxes rm ID\` on containerd 2).
5. Stop it, start the real units.

This skips CNI DEL, so an address of the pod network may stay taken.`,
  evidence: 'the fatal line of the log, both records',
  remedy: { tier: 'none', text: 'Guided repair by hand; Sandwarden does not edit the database.' },
  sources: [
    'containerd internal/cri/server/restart.go recover',
    'containerd issues 6095, 5410, 13609; cri issue 1014; microk8s issue 508',
  ],
  needs: (facts) => (facts.snapshot.runtime.known ? [] : ['runtimeLog']),
  examine: (facts) => {
    // A runtime that answers has recovered: lines of an earlier start are history.
    if (facts.snapshot.runtime.known) return [];
    const duplicates = valueOr(facts.snapshot.runtimeLog, undefined)?.duplicates ?? [];
    return duplicates.map(
      (each): Finding => ({
        code: 'SW105',
        severity: 'error',
        object: { kind: 'runtime', name: each.name, id: each.holderId },
        why:
          `The runtime gives up at start, because two ${each.kind} records on disk have the name ${each.name}. ` +
          'No pod of this node can start or stop until one of them is taken out.',
        evidence: [{ source: 'runtimeLog', text: `${each.text} (${times(each.count)})`, at: each.last }],
        remedy: { tier: 'none', text: 'repair by hand, step by step', command: 'sandwarden explain SW105' },
        pods: [],
      }),
    );
  },
};
