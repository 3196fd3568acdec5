import { plainQuotes } from './logfmt.ts';

/** A container that kubelet does not start yet, because it ended each time. */
export interface FoundBackOff {
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly podUid: string;
  readonly container: string;
  readonly delayMs: number;
}

/**
 * The back-offs of a line of kubelet: `failed to "StartContainer" for "csi-attacher" with CrashLoopBackOff: "back-off
 * 5m0s restarting failed container=csi-attacher pod=csi-attacher-5d4f_longhorn-system(<uid>)"`; one line tells of all
 * waiting containers of a pod. kuberuntime_manager.go doBackOff, the same from 1.20 to 1.36.
 */
export function findBackOffs(text: string): FoundBackOff[] {
  if (!text.includes('restarting failed container')) return [];
  const found = plainQuotes(text.slice(0, 20_000)).matchAll(BACK_OFF);
  return [...found].slice(0, 64).flatMap((each): FoundBackOff[] => {
    const [, delay = '', container, name, namespace, podUid] = each;
    const delayMs = goDurationMs(delay);
    if (!container || !name || !namespace || !podUid || delayMs === undefined) return [];
    return [{ pod: { namespace, name }, podUid, container, delayMs }];
  });
}

const BACK_OFF =
  /back-off ([\dhms.]{2,20}) restarting failed container=([^\s"_]{1,63}) pod=([^\s"_]{1,253})_([^\s"_(]{1,63})\(([\w-]{1,64})\)/g;

/**
 * The container that the runtime made, by its log: `CreateContainer within sandbox "<id>" for &ContainerMetadata{
 * Name:web,Attempt:3,} returns container id "<id>"` (containerd internal/cri/instrument CreateContainer, up to 2.0), or
 * `for name:"web"  attempt:3 returns …` (newer).
 */
export function findCreation(message: string): { sandboxId: string; container: string; attempt: number } | undefined {
  if (!message.startsWith('CreateContainer within sandbox')) return undefined;
  const text = plainQuotes(message.slice(0, 1_000));
  const found = MADE.exec(text);
  const [, sandboxId, gogo, gogoAttempt, name, attempt] = found ?? [];
  const container = gogo ?? name;
  if (sandboxId === undefined || container === undefined) return undefined;
  return { sandboxId, container, attempt: Number(gogoAttempt ?? attempt ?? '0') };
}

const MADE =
  /^CreateContainer within sandbox "([0-9A-Za-z._-]{1,128})" for (?:&ContainerMetadata\{Name:([^,{}"]{1,63}),Attempt:(\d{1,9}),\}|name: ?"([^"]{1,63})"(?: {1,2}attempt: ?(\d{1,9}))?) {1,2}returns container id/;

/** `5m0s`, `1m20s`, `10s`, `1.5s` (Go's time.Duration). */
function goDurationMs(text: string): number | undefined {
  const found = /^(?:(\d{1,4})h)?(?:(\d{1,4})m)?(?:(\d{1,4}(?:\.\d{1,9})?)s)?$/.exec(text);
  if (!found || found[0] === '') return undefined;
  const [, hours = '0', minutes = '0', seconds = '0'] = found;
  return (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)) * 1_000;
}
