import type { Finding } from '../../model/finding.ts';
import { describePod } from '../../model/sandbox.ts';
import type { Facts } from '../facts.ts';
import { ghostFindings } from '../ghost-finding.ts';
import { ofBlocked } from '../needs.ts';
import type { Rule } from '../rule.ts';

/** SW109: the same trouble for the name of a container. */
export const sw109: Rule = {
  code: 'SW109',
  name: 'container-name-held',
  title: 'A container name is held',
  severity: 'error',
  says: 'the runtime refuses a container because its name is held',
  explanation: `Containers have names like sandboxes: container, pod, namespace, uid and restart count. kubelet counts
restarts from the newest container *by date* in every version, so after a boot with the clock behind a dead container of
the last boot makes it ask for a count that is taken.

Where the holder is not listed, a CreateContainer is still inside the runtime, mostly waiting for a disk or a mount that
hangs. Then nothing is removed: the wait must end, or the runtime must be restarted.`,
  evidence: 'the error, the container that holds the name, the sandbox it belongs to',
  remedy: { tier: 'safe', text: 'Remove the dead sandbox whose container is in the way.' },
  sources: [
    'containerd internal/cri/server/container_create.go CreateContainer',
    'kubernetes issues 134153, 135762, 138191; containerd issues 4604, 10828',
  ],
  needs: (facts) => ['node', 'sandboxes', 'containers', 'kubelet', 'kubeletLog', ...ofBlocked(facts)],
  examine: (facts) => [
    ...ghostFindings(
      facts,
      'SW109',
      () =>
        'kubelet asks for a container whose name is taken, because a dead container of this sandbox counts as newer.',
    ),
    ...notCurable(facts),
  ],
};

/** Container names that no removal of a dead sandbox would free. */
function notCurable(facts: Facts): Finding[] {
  const cured = new Set(facts.cures.map((cure) => cure.view.uid));
  return [...facts.pods.values()].flatMap((view) =>
    view.errors
      .filter((error) => error.kind === 'container' && !cured.has(view.uid))
      .map((error): Finding => {
        const holder = view.containers.find((each) => each.id === error.holderId);
        return {
          code: 'SW109',
          severity: error.count >= 2 ? 'error' : 'warning',
          object: { kind: 'container', name: `${describePod(view)}/${nameOf(error)}`, id: error.holderId },
          why:
            holder === undefined
              ? 'The name is held by a container that is not listed: a CreateContainer is still inside the runtime.'
              : `The name is held by a listed container (${holder.state}) of a sandbox that must not be removed.`,
          evidence: [{ source: 'kubeletLog', text: error.text, at: error.last }],
          remedy: {
            tier: 'none',
            text:
              holder === undefined
                ? 'wait for the slow disk or mount it waits for; if it never ends, restart the runtime'
                : 'kubelet removes or restarts it; look again in a minute',
            noCommand: holder === undefined ? 'what it waits for was not seen' : 'kubelet does it by itself',
          },
          pods: [describePod(view)],
        };
      }),
  );
}

function nameOf(error: { kind: string; asked: object }): string {
  return 'container' in error.asked ? String(error.asked.container) : '';
}
