import { limits } from '../model/limits.ts';
import type { KubeletLog, Moment, NameHeld, RunTimedOut, Span, StopFailed } from '../model/records.ts';
import { parseContainerName, parseSandboxName } from '../model/sandbox.ts';
import { type FoundBackOff, findBackOffs } from './crash-lines.ts';
import { CsiLines } from './csi/log-lines.ts';
import { Fold } from './fold.ts';
import { type Klog, klogDateNs, parseKlog } from './klog.ts';
import type { LogLine } from './log-line.ts';
import { parseFields, plainQuotes } from './logfmt.ts';
import { findHeld } from './name-held.ts';
import { RootCgroupLines } from './root-cgroup.ts';
import { SandboxChanges } from './sandbox-changes.ts';

type Held = WithoutSpan<NameHeld>;
type WithoutSpan<T> = T extends Span ? Omit<T, keyof Span> : never;

// As the journal names the processes that are kubelet or contain one.
const kubeletNames = /^(?:kubelet|kubelite|hyperkube|k3s|rke2|k0s)/;
const configurationFlag = /^--(?:cgroup-driver|cgroup-root|config|config-dir|feature-gates)=./;

/**
 * Reads kubelet's log line by line (`add`) with bounded memory, and says what it told (`result`).
 * Of errors only those of severity E and W count: an event or an object that is logged for information may quote
 * what a pod's author wrote. Of the rest only kubelet's own sentences are read (SandboxChanges).
 * Sources: the messages of kubelet 1.20–1.36 in remote_runtime.go, pod_workers.go, server.go and
 * kuberuntime_{sandbox,container,manager,gc}.go.
 */
export class KubeletLogReader {
  readonly #nowNs: bigint;
  readonly #notBeforeNs: bigint | undefined;
  readonly #held = new Fold<Held>();
  readonly #stops = new Fold<Omit<StopFailed, keyof Span>>();
  readonly #timeouts = new Fold<Omit<RunTimedOut, keyof Span>>();
  readonly #changes = new SandboxChanges();
  readonly #backOffs = new Fold<FoundBackOff>();
  readonly #csi = new CsiLines();
  readonly #rootCgroup = new RootCgroupLines();
  /** The words of the last refused StopPodSandbox of a sandbox: the line that says for whom it was has none. */
  readonly #stopErrors = new Map<string, string>();
  #since: Moment | null = null;
  #lines = 0;
  #own = 0;
  #early = 0;
  #version: string | undefined;
  #startedAt: Moment | undefined;
  #flags: readonly string[] | undefined;

  /**
   * `nowNs`: the wall clock of the look, to give klog's dates without a year one. `notBeforeNs`: lines that are dated
   * earlier are not looked at, of a file that spans boots.
   */
  constructor(nowNs: bigint, notBeforeNs?: bigint) {
    this.#nowNs = nowNs;
    this.#notBeforeNs = notBeforeNs;
  }

  add(line: LogLine): void {
    const text = line.text.slice(0, limits.journalLineBytes);
    const klog = parseKlog(text);
    const at = line.at ?? this.#momentOf(klog, text);
    if (at && this.#notBeforeNs !== undefined && at.wallNs < this.#notBeforeNs) {
      this.#early++;
      return;
    }
    this.#lines++;
    if (at) this.#since ??= at;
    if (!klog) {
      if (this.#addDistribution(text, at) || kubeletNames.test(line.comm ?? '')) this.#own++;
      return;
    }
    this.#own++;
    if (klog.message === 'Kubelet version') {
      this.#version = klog.fields.get('kubeletVersion')?.slice(0, 64) ?? this.#version;
      if (at) this.#startedAt = at;
    }
    if (at && klog.severity === 'I') this.#changes.add(klog, at);
    if (at && (klog.severity === 'E' || klog.severity === 'F')) {
      this.#rootCgroup.add(klog.message, klog.fields.get('err'), at);
    }
    if (!at || (klog.severity !== 'E' && klog.severity !== 'W')) return;
    this.#addHeld(text, at);
    this.#addStop(klog, at);
    this.#addTimeout(klog, text, at);
    this.#addBackOffs(klog.fields.get('err') ?? klog.message, at);
    this.#csi.add(klog.fields.get('err') ?? klog.message, at);
  }

  /** Lines in klog's form, of a process that is or contains kubelet, or of a distribution about its kubelet. */
  get own(): number {
    return this.#own;
  }

  /** Lines that were not looked at because they are dated before `notBeforeNs`. */
  get early(): number {
    return this.#early;
  }

  /** `truncated`: more lines were there than were given. */
  result(truncated: boolean): KubeletLog {
    return {
      since: this.#since,
      lines: this.#lines,
      truncated,
      ...(this.#version === undefined ? {} : { version: this.#version }),
      ...(this.#startedAt === undefined ? {} : { startedAt: this.#startedAt }),
      ...(this.#flags === undefined ? {} : { flags: this.#flags }),
      nameHeld: this.#held.list(),
      stopFailed: this.#stops.list(),
      runTimedOut: this.#timeouts.list(),
      ...this.#changes.result(),
      backOffs: this.#backOffs.list(),
      ...this.#csi.result(),
      ...this.#rootCgroup.result(),
    };
  }

  #momentOf(klog: Klog | undefined, text: string): Moment | undefined {
    if (klog?.stamp) {
      const wallNs = klogDateNs(klog.stamp, this.#nowNs);
      return wallNs === undefined ? undefined : { wallNs };
    }
    const iso = /^.{0,16}?time="([^"]{10,40})"/.exec(text.slice(0, 80))?.[1] ?? klog?.fields.get('ts');
    return iso === undefined ? undefined : momentOfText(iso);
  }

  /**
   * k3s' own lines: `time="…" level=info msg="Starting k3s v1.31.6+k3s1 (6ab750f9)"`, `msg="Running kubelet
   * --cgroup-driver=systemd …"` (pkg/daemons/agent/agent.go), and `level=error msg="kubelet exited: …"`
   * (pkg/daemons/executor/embed.go). Whether it is one of these.
   */
  #addDistribution(text: string, at: Moment | undefined): boolean {
    if (!/Starting |Running kubelet |kubelet exited: /.test(text)) return false;
    const fields = parseFields(text);
    const message = fields.get('msg') ?? '';
    if (at && /^(?:error|fatal)$/.test(fields.get('level') ?? '')) this.#rootCgroup.add(message, undefined, at);
    const version = /^Starting (?:k3s|rke2|k0s|microk8s) (v\d[\w.+-]{1,60})/.exec(message)?.[1];
    this.#version = version ?? this.#version;
    // Of the others some say where secrets are.
    if (message.startsWith('Running kubelet ')) {
      this.#flags = message.split(' ').filter((each) => configurationFlag.test(each));
    }
    return version !== undefined || /^(?:Running kubelet |kubelet exited: )/.test(message);
  }

  #addHeld(text: string, at: Moment): void {
    const found = findHeld(text);
    if (!found) return;
    const { kind, name, holderId } = found;
    const key = `${kind} ${name} ${holderId}`;
    const words = `failed to reserve ${kind} name "${name}": name "${name}" is reserved for "${holderId}"`;
    if (kind === 'sandbox') {
      const asked = parseSandboxName(name);
      if (asked) this.#held.add(key, at, { kind, asked, holderId, text: words });
    } else {
      const asked = parseContainerName(name);
      if (asked) this.#held.add(key, at, { kind, asked, holderId, text: words });
    }
  }

  #addStop(klog: Klog, at: Moment): void {
    const { message, fields } = klog;
    const error = cut(fields.get('err') ?? '');
    if (message === 'StopPodSandbox from runtime service failed') {
      const id = idOf(fields.get('podSandboxID'));
      if (id !== undefined && this.#stopErrors.size < limits.logRecords) this.#stopErrors.set(id, error);
      return;
    }
    const structured = stopMessages.get(message);
    const old = structured
      ? undefined
      : /^Failed to stop sandbox "([0-9A-Za-z._-]{1,128})" before removing: (.*)/s.exec(message);
    const oldSync = /^Failed to stop sandbox \{"?\w{1,40}"? "?([0-9A-Za-z._-]{1,128})/.exec(message)?.[1];
    const during = structured ?? (old ? 'gc' : oldSync ? 'sync' : undefined);
    const sandboxId = old?.[1] ?? oldSync ?? idOf(fields.get('sandboxID') ?? fields.get('podSandboxID'));
    if (during && sandboxId !== undefined) {
      const words = error || cut(old?.[2] ?? '') || (this.#stopErrors.get(sandboxId) ?? '');
      this.#stops.add(`${during} ${sandboxId}`, at, { during, sandboxId, error: words }, withWords);
    } else if (message.startsWith('Error syncing pod') || fields.has('err')) {
      this.#addKillError(fields.get('err') ?? message, at);
    }
  }

  /** `failed to "KillPodSandbox" for "<pod uid>" with KillPodSandboxError: "rpc error: … sandbox \"<id>\": …"`. */
  #addKillError(error: string, at: Moment): void {
    if (!error.includes('KillPodSandboxError')) return;
    const plain = plainQuotes(error.slice(0, 20_000));
    const uid = /failed to "KillPodSandbox" for "([^"]{1,200})" with KillPodSandboxError/.exec(plain)?.[1];
    const sandboxId = /sandbox "([0-9A-Za-z._-]{1,128})"/.exec(plain.slice(plain.indexOf('KillPodSandboxError')))?.[1];
    if (uid === undefined || sandboxId === undefined) return;
    const known = this.#stopErrors.get(sandboxId);
    const record = { during: 'sync', sandboxId, podUid: uid, error: known ?? cut(plain) } as const;
    this.#stops.add(`sync ${sandboxId}`, at, record, (old) => ({
      ...old,
      podUid: uid,
      error: old.error || record.error,
    }));
  }

  #addBackOffs(error: string, at: Moment): void {
    for (const each of findBackOffs(error)) {
      this.#backOffs.add(`${each.podUid} ${each.container}`, at, each, (old, next) =>
        next.delayMs > old.delayMs ? next : old,
      );
    }
  }

  #addTimeout(klog: Klog, text: string, at: Moment): void {
    if (!/DeadlineExceeded|error code: CANCEL|code = Canceled/.test(text)) return;
    const { message, fields } = klog;
    const error = fields.get('err') ?? message;
    const isCreate =
      /^(?:Failed to create sandbox for pod|CreatePodSandbox for pod|createPodSandbox for pod)/i.test(message) ||
      error.includes('CreatePodSandboxError');
    if (!isCreate) return;
    const pod = podOf(fields.get('pod')) ?? podOfOldText(message);
    if (!pod) return;
    this.#timeouts.add(`${pod.namespace}/${pod.name}`, at, { pod, error: cut(error) });
  }
}

const stopMessages: ReadonlyMap<string, 'sync' | 'gc'> = new Map([
  ['Failed to stop sandbox', 'sync'],
  ['Failed to stop sandbox before removing', 'gc'],
]);

/** A date in RFC 3339 as logs write it, with all its digits; or seconds since 1970. */
export function momentOfText(text: string): Moment | undefined {
  const seconds = /^(\d{9,11})\.(\d{1,9})$|^(\d{12,14})(?:\.\d{1,9})?$/.exec(text);
  if (seconds?.[3]) return { wallNs: BigInt(seconds[3]) * 1_000_000n };
  if (seconds?.[1]) return { wallNs: BigInt(seconds[1]) * 1_000_000_000n + BigInt((seconds[2] ?? '').padEnd(9, '0')) };
  const parts = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/.exec(text);
  if (!parts) return undefined;
  const ms = Date.parse(`${parts[1]}${parts[3]}`);
  return Number.isNaN(ms) ? undefined : { wallNs: BigInt(ms) * 1_000_000n + BigInt((parts[2] ?? '').padEnd(9, '0')) };
}

function withWords<T extends { readonly error: string }>(old: T, next: T): T {
  return old.error === '' ? { ...old, error: next.error } : old;
}

/** An id by itself, `{"Type":"containerd","ID":"…"}` (1.22 and newer) or `{Type:containerd ID:…}`. */
function idOf(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  return /^(?:\{"?Type"?:"?\w{0,40}"?[ ,]"?ID"?:"?)?([0-9A-Za-z._-]{1,128})"?\}?$/.exec(value.slice(0, 300))?.[1];
}

function podOf(value: string | undefined): { namespace: string; name: string } | undefined {
  const [, namespace, name] = /^([^/"]{1,253})\/([^/"]{1,253})$/.exec(value?.slice(0, 600) ?? '') ?? [];
  return namespace !== undefined && name !== undefined ? { namespace, name } : undefined;
}

/** 1.20 and older: `CreatePodSandbox for pod "web_default(<uid>)" failed: rpc error: …`. */
function podOfOldText(message: string): { namespace: string; name: string } | undefined {
  const [, name, namespace] = /for pod "([^_"]{1,253})_([^("]{1,253})\(/.exec(message.slice(0, 800)) ?? [];
  return namespace !== undefined && name !== undefined ? { namespace, name } : undefined;
}

function cut(text: string): string {
  return text.slice(0, 2_000);
}
