import { parseObject } from '../cri/info.ts';
import { limits } from '../model/limits.ts';
import type { Creation, DuplicateName, Moment, RuntimeLog, Span } from '../model/records.ts';
import type { SandboxName } from '../model/sandbox.ts';
import { formatSandboxName } from '../model/sandbox.ts';
import { findCreation } from './crash-lines.ts';
import { Fold } from './fold.ts';
import { momentOfText } from './kubelet-log.ts';
import type { LogLine } from './log-line.ts';
import { type Fields, parseFields, plainQuotes } from './logfmt.ts';
import { findHeld } from './name-held.ts';

/**
 * Reads containerd's log line by line (`add`) with bounded memory, and says what it told (`result`).
 * Text (logrus: `time="…" level=info msg="…"`) and JSON (`[debug] format = "json"`).
 * Sources: containerd internal/cri/server/{sandbox_run,sandbox_stop,restart}.go, internal/cri/instrument,
 * cmd/containerd/command/main.go, 1.6 to 2.3.
 */
export class RuntimeLogReader {
  readonly #duplicates = new Fold<Omit<DuplicateName, keyof Span>>();
  readonly #fatal = new Fold<{ text: string }>();
  readonly #creations = new Fold<Omit<Creation, keyof Span>>();
  readonly #cniDel = new Fold<{ sandboxId: string; error: string }>();
  /** RunPodSandbox calls that did not end yet, by name; a second call with the name of the first is refused at once. */
  readonly #running = new Map<string, { pod: SandboxName; at: Moment[] }>();
  /** The pods of the sandboxes that were made, oldest first, bounded. */
  readonly #podOf = new Map<string, string>();
  /** Ids that hang nowhere: made, or removed. Oldest first, bounded. */
  readonly #settled = new Set<string>();
  readonly #notBeforeNs: bigint | undefined;
  #since: Moment | null = null;
  #lines = 0;
  #own = 0;
  #early = 0;
  #startedAt: Moment | undefined;

  /** `notBeforeNs`: lines that are dated earlier are not looked at, of a file that spans boots. */
  constructor(notBeforeNs?: bigint) {
    this.#notBeforeNs = notBeforeNs;
  }

  add(line: LogLine): void {
    const fields = fieldsOf(line.text.slice(0, limits.journalLineBytes));
    const message = fields.get('msg');
    const at = line.at ?? momentOfText(fields.get('time') ?? '');
    if (at && this.#notBeforeNs !== undefined && at.wallNs < this.#notBeforeNs) {
      this.#early++;
      return;
    }
    this.#lines++;
    if ((message !== undefined && fields.has('level')) || runtimeNames.test(line.comm ?? '')) this.#own++;
    if (!at) return;
    this.#since ??= at;
    if (message === undefined) return;
    const level = fields.get('level') ?? '';
    const error = fields.get('error') ?? '';
    if (message.startsWith('starting containerd')) {
      this.#startedAt = at;
      this.#running.clear();
    } else if (message.startsWith(RUN)) this.#addRun(message, error, at);
    else if (message.startsWith('CreateContainer')) this.#addCreation(message, at);
    else if (message.startsWith('RemovePodSandbox')) this.#settle(REMOVED.exec(message)?.[1]);
    if (level === 'fatal' || message.includes('failed to recover state') || error.includes('failed to recover state')) {
      this.#addFatal(message, error, level, at);
    }
    if (level === 'error' || level === 'fatal') this.#addCniDel(error === '' ? message : `${message}: ${error}`, at);
  }

  /** Lines with a level and a message, as containerd and CRI-O write them, or of a process that is called like them. */
  get own(): number {
    return this.#own;
  }

  /** Lines that were not looked at because they are dated before `notBeforeNs`. */
  get early(): number {
    return this.#early;
  }

  /** `truncated`: more lines were there than were given. */
  result(truncated: boolean): RuntimeLog {
    return {
      since: this.#since,
      lines: this.#lines,
      truncated,
      ...(this.#startedAt === undefined ? {} : { startedAt: this.#startedAt }),
      duplicates: this.#duplicates.list(),
      fatal: this.#fatal.list(),
      running: [...this.#running.values()].flatMap(({ pod, at }) =>
        at.slice(0, 1).map((first) => ({ pod, at: first })),
      ),
      settledIds: [...this.#settled],
      cniDelFailed: this.#cniDel.list(),
      creations: this.#creations.list(),
    };
  }

  #addRun(message: string, error: string, at: Moment): void {
    const pod = parseMetadata(message);
    if (!pod) return;
    const key = formatSandboxName(pod);
    const known = this.#running.get(key);
    const ending = message.slice(-200);
    const made = / returns sandbox id "?([0-9A-Za-z._-]{1,128})"?$/.exec(ending);
    if (made) {
      this.#settle(made[1]);
      this.#keepPod(made[1], pod.uid);
      if (known) this.#end(key, known.at, 'first');
    } else if (/ failed, error$/.test(ending)) {
      // The refused call is the newest one: the older still holds the name.
      if (known) this.#end(key, known.at, findHeld(error) ? 'last' : 'first');
    } else if (known) known.at.push(at);
    else if (this.#running.size < limits.logRecords) this.#running.set(key, { pod, at: [at] });
  }

  #addCreation(message: string, at: Moment): void {
    const found = findCreation(message);
    if (!found) return;
    const podUid = this.#podOf.get(found.sandboxId);
    const made = podUid === undefined ? found : { ...found, podUid };
    this.#creations.add(`${made.sandboxId} ${made.container}`, at, made, (_, next) => next);
  }

  #keepPod(sandboxId: string | undefined, podUid: string): void {
    if (sandboxId === undefined) return;
    this.#podOf.set(sandboxId, podUid);
    const oldest = this.#podOf.keys().next();
    if (this.#podOf.size > limits.logRecords && !oldest.done) this.#podOf.delete(oldest.value);
  }

  #settle(id: string | undefined): void {
    if (id === undefined) return;
    this.#settled.delete(id);
    this.#settled.add(id);
    const oldest = this.#settled.values().next();
    if (this.#settled.size > limits.logRecords && !oldest.done) this.#settled.delete(oldest.value);
  }

  #end(key: string, at: Moment[], which: 'first' | 'last'): void {
    if (which === 'first') at.shift();
    else at.pop();
    if (at.length === 0) this.#running.delete(key);
  }

  #addFatal(message: string, error: string, level: string, at: Moment): void {
    const text = error === '' ? message : `${message}: ${error}`;
    const held = findHeld(text);
    if (held) {
      const { kind, name, holderId } = held;
      this.#duplicates.add(`${kind} ${name} ${holderId}`, at, { kind, name, holderId, text: text.slice(0, 2_000) });
    } else if (level === 'fatal') {
      this.#fatal.add(text.slice(0, 2_000), at, { text: text.slice(0, 2_000) });
    }
  }

  #addCniDel(text: string, at: Moment): void {
    const start = text.search(/failed to destroy network for sandbox/i);
    if (start === -1) return;
    const rest = plainQuotes(text.slice(start, start + 4_000));
    const found = /^[^"]{1,60}"([0-9A-Za-z._-]{1,128})"(?::? *)(.*)$/s.exec(rest);
    const sandboxId = found?.[1];
    if (sandboxId === undefined) return;
    this.#cniDel.add(sandboxId, at, { sandboxId, error: (found?.[2] ?? '').trim().slice(0, 2_000) });
  }
}

const runtimeNames = /^(?:containerd|crio|dockerd)/;
const RUN = 'RunPodSandbox for ';
const REMOVED = /^RemovePodSandbox (?:for )?\\?"([0-9A-Za-z._-]{1,128})\\?" returns successfully$/;

/**
 * The metadata in a RunPodSandbox line: `&PodSandboxMetadata{Name:web,Uid:…,Namespace:default,Attempt:0,}` (gogo, up to
 * 2.0) or `name:"web"  uid:"…"  namespace:"default"  attempt:1` (newer; a zero attempt is left out).
 */
export function parseMetadata(message: string): SandboxName | undefined {
  const text = message.slice(0, 1_500);
  const gogo =
    /&PodSandboxMetadata\{Name:([^,{}]{1,253}),Uid:([^,{}]{1,253}),Namespace:([^,{}]{1,253}),Attempt:(\d{1,10}),\}/.exec(
      text,
    );
  if (gogo) return nameOf(gogo[1], gogo[3], gogo[2], gogo[4]);
  const value = (key: string) => new RegExp(`(?:^|[ {])${key}: ?"([^"]{1,253})"`).exec(text)?.[1];
  return nameOf(value('name'), value('namespace'), value('uid'), /[ {]attempt: ?(\d{1,10})/.exec(text)?.[1] ?? '0');
}

function nameOf(name?: string, namespace?: string, uid?: string, attempt?: string): SandboxName | undefined {
  if (name === undefined || namespace === undefined || uid === undefined || attempt === undefined) return undefined;
  return { name, namespace, uid, attempt: Number(attempt) };
}

function fieldsOf(text: string): Fields {
  if (!text.startsWith('{')) return parseFields(text);
  const record = parseObject(text) ?? {};
  return new Map(Object.entries(record).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
