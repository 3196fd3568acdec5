import { at, listAt, Refusal, textAt } from './objects.ts';

/**
 * Pod Security admission as far as debug pods meet it: what a namespace with the label
 * `pod-security.kubernetes.io/enforce` of `baseline` or `restricted` refuses.
 * Source: pod-security-admission policy/check_hostNamespaces.go, check_privileged.go, check_hostPathVolumes.go.
 */
export function admitPod(pod: object, namespace: object): void {
  const level = textAt(namespace, 'metadata', 'labels', 'pod-security.kubernetes.io/enforce');
  if (level !== 'baseline' && level !== 'restricted') return;
  const shared = ['hostNetwork', 'hostPID', 'hostIPC'].filter((each) => at(pod, 'spec', each) === true);
  const privileged = listAt(pod, 'spec', 'containers').filter(
    (each) => at(each, 'securityContext', 'privileged') === true,
  );
  const paths = listAt(pod, 'spec', 'volumes').filter((each) => at(each, 'hostPath') !== undefined);
  const violations = [
    ...(shared.length > 0 ? [`host namespaces (${shared.map((each) => `${each}=true`).join(', ')})`] : []),
    ...privileged.map((each) => {
      return `privileged (container "${textAt(each, 'name')}" must not set securityContext.privileged=true)`;
    }),
    ...paths.map((each) => `hostPath volumes (volume "${textAt(each, 'name')}")`),
  ];
  if (violations.length === 0) return;
  const name = textAt(pod, 'metadata', 'name');
  const message = `pods "${name}" is forbidden: violates PodSecurity "${level}:latest": ${violations.join(', ')}`;
  throw new Refusal(403, 'Forbidden', message, { name, kind: 'pods' });
}
