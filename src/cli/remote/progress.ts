import { safeText } from '../../model/safe-text.ts';
import { at, listOf, member, textOf } from '../../observe/json.ts';

/** How far a debug pod has come. */
export type Progress =
  /** `hasSandbox` where kubelet tells (since 1.29). */
  | { readonly kind: 'waiting'; readonly why: string; readonly hasSandbox?: boolean | undefined }
  | { readonly kind: 'no-image'; readonly why: string }
  | { readonly kind: 'broken'; readonly why: string }
  | { readonly kind: 'running' }
  | { readonly kind: 'ended'; readonly exitCode: number; readonly why: string };

const noImage: ReadonlySet<string> = new Set([
  ...['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull', 'InvalidImageName', 'ImageInspectError'],
  ...['RegistryUnavailable', 'SignatureValidationFailed'],
]);
const broken: ReadonlySet<string> = new Set([
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
]);

/**
 * By the pod as the API gives it. Sources: kubelet images/types.go, kuberuntime/kuberuntime_container.go; the condition
 * PodReadyToStartContainers is KEP-3085's.
 */
export function progressOf(pod: unknown): Progress {
  const [status] = listOf(at(pod, 'status', 'containerStatuses'));
  const ended = at(status, 'state', 'terminated');
  if (ended !== undefined) return endedOf(ended);
  const phase = textOf(at(pod, 'status', 'phase')) ?? '';
  if (phase === 'Failed' || phase === 'Succeeded') {
    const why = [at(pod, 'status', 'reason'), at(pod, 'status', 'message')].flatMap((each) => textOf(each, 300) ?? []);
    return { kind: 'broken', why: safeText(why.join(': ') || `the pod is ${phase}`) };
  }
  if (at(status, 'state', 'running') !== undefined) return { kind: 'running' };
  const reason = textOf(at(status, 'state', 'waiting', 'reason')) ?? '';
  const words = textOf(at(status, 'state', 'waiting', 'message'), 500);
  const why = safeText(words === undefined ? reason : `${reason}: ${words}`);
  if (noImage.has(reason)) return { kind: 'no-image', why };
  if (broken.has(reason)) return { kind: 'broken', why };
  const conditions = listOf(at(pod, 'status', 'conditions'));
  const sandbox = member(
    conditions.find((each) => member(each, 'type') === 'PodReadyToStartContainers'),
    'status',
  );
  return { kind: 'waiting', why, hasSandbox: sandbox === undefined ? undefined : sandbox === 'True' };
}

function endedOf(ended: unknown): Progress {
  const [reason, message] = [textOf(member(ended, 'reason')) ?? '', textOf(member(ended, 'message'), 500) ?? ''];
  const why = safeText([reason, message].filter((each) => each !== '').join(': '));
  const exitCode = member(ended, 'exitCode');
  // runc could not start it: nothing of the program has run.
  if (reason === 'StartError' || reason === 'ContainerCannotRun') return { kind: 'broken', why };
  return { kind: 'ended', exitCode: typeof exitCode === 'number' ? exitCode : 1, why };
}
