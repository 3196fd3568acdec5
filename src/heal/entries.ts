import { crc32 } from 'node:zlib';
import { limits } from '../model/limits.ts';
import type { Action, ActionOutcome, Recovery } from '../model/plan.ts';
import { parseAction } from './entry-action.ts';
import { asBigint, asCount, asObject, asOneOf, asText, Malformed } from './entry-fields.ts';

/** When an entry was written, by both clocks: a date for people (it may be wrong) and the exact time of one boot. */
export interface Stamp {
  readonly wallNs: bigint;
  readonly uptimeNs: bigint;
  readonly bootId: string;
}

/** `boot`: kubelet was provably not running; `run`: it was or may have been. */
export type RunMode = 'boot' | 'run';

interface Common {
  readonly v: 1;
  /** One more than the entry before it: a line that is missing shows. */
  readonly seq: number;
  readonly runId: string;
  readonly at: Stamp;
}

export interface RunStartBody {
  readonly kind: 'run-start';
  readonly mode: RunMode;
  readonly planned: number;
  readonly refused: number;
  readonly sandboxesOnNode: number;
  /** The run that this one takes back. */
  readonly undoes?: string;
}

/** Written and durable before the act. */
export interface IntentBody {
  readonly kind: 'intent';
  readonly action: Action;
  /** The precondition as it was read, in plain words. */
  readonly read: string;
  /** The runtime that the act was meant for. */
  readonly runtimePid?: number;
  readonly runtimeStartedUptimeNs?: bigint;
  readonly kubeletPid?: number;
}

export interface OutcomeBody {
  readonly kind: 'outcome';
  /** The `seq` of the intent. */
  readonly of: number;
  readonly result: ActionOutcome['result'];
  readonly why: string;
  readonly tookMs: number;
  /** Not seen by the run that acted, but found by a later one. */
  readonly found: boolean;
}

export interface RunEndBody {
  readonly kind: 'run-end';
  readonly done: number;
  readonly already: number;
  readonly failed: number;
  readonly skipped: number;
  readonly stopped?: { readonly code: string; readonly message: string };
  readonly recovery: { readonly state: Recovery['state']; readonly tookMs: number };
}

export interface NoteBody {
  readonly kind: 'note';
  readonly text: string;
}

export type EntryBody = RunStartBody | IntentBody | OutcomeBody | RunEndBody | NoteBody;
export type Entry = Common & EntryBody;
export type IntentEntry = Common & IntentBody;
export type OutcomeEntry = Common & OutcomeBody;

const CRC = /,"crc":"([0-9a-f]{8})"\}$/;

/** One line of the journal, with its newline. The checksum covers everything before it. */
export function encodeEntry(entry: Entry): string {
  const json = JSON.stringify(entry, plain).slice(0, -1);
  const line = `${json},"crc":"${checksum(json)}"}\n`;
  if (Buffer.byteLength(line) > limits.journalEntryBytes) throw new Error(`journal entry of ${line.length} characters`);
  return line;
}

/** The entry of a line (without its newline), or why it is none. Never throws on any text. */
export function decodeEntry(line: string): Entry | string {
  const match = CRC.exec(line);
  if (!match) return 'it has no checksum';
  const json = line.slice(0, match.index);
  if (checksum(json) !== match[1]) return 'its checksum does not match';
  try {
    return parseEntry(JSON.parse(`${json}}`));
  } catch (error) {
    if (error instanceof SyntaxError) return 'it is not JSON';
    if (error instanceof Malformed) return error.message;
    throw error;
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

/** Exact integers as decimal text; texts of others cut; no contents of files. */
function plain(key: string, value: unknown): unknown {
  // A plan holds what it will write; the journal holds its hash.
  if (key === 'contents' || key === 'diff') return undefined;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string' && value.length > limits.journalTextLength) {
    return `${value.slice(0, limits.journalTextLength)}…`;
  }
  return value;
}

function parseEntry(value: unknown): Entry {
  const from = asObject(value, 'entry');
  if (from.v !== 1) throw new Malformed('it is of a newer version of Sandwarden');
  const at = asObject(from.at, 'at');
  const common: Common = {
    v: 1,
    seq: asCount(from.seq, 'seq'),
    runId: asText(from.runId, 'runId'),
    at: {
      wallNs: asBigint(at.wallNs, 'wallNs'),
      uptimeNs: asBigint(at.uptimeNs, 'uptimeNs'),
      bootId: asText(at.bootId, 'bootId'),
    },
  };
  return { ...common, ...parseBody(from) };
}

function parseBody(from: Record<string, unknown>): EntryBody {
  const kind = asOneOf(from.kind, ['run-start', 'intent', 'outcome', 'run-end', 'note'], 'kind');
  switch (kind) {
    case 'run-start':
      return {
        kind,
        mode: asOneOf(from.mode, ['boot', 'run'], 'mode'),
        planned: asCount(from.planned, 'planned'),
        refused: asCount(from.refused, 'refused'),
        sandboxesOnNode: asCount(from.sandboxesOnNode, 'sandboxesOnNode'),
        ...(from.undoes === undefined ? {} : { undoes: asText(from.undoes, 'undoes') }),
      };
    case 'intent':
      return {
        kind,
        action: parseAction(from.action),
        read: asText(from.read, 'read'),
        ...(from.runtimePid === undefined ? {} : { runtimePid: asCount(from.runtimePid, 'runtimePid') }),
        ...(from.runtimeStartedUptimeNs === undefined
          ? {}
          : { runtimeStartedUptimeNs: asBigint(from.runtimeStartedUptimeNs, 'runtimeStartedUptimeNs') }),
        ...(from.kubeletPid === undefined ? {} : { kubeletPid: asCount(from.kubeletPid, 'kubeletPid') }),
      };
    case 'outcome':
      return {
        kind,
        of: asCount(from.of, 'of'),
        result: asOneOf(from.result, ['done', 'already', 'failed', 'skipped'], 'result'),
        why: asText(from.why, 'why'),
        tookMs: asCount(from.tookMs, 'tookMs'),
        found: from.found === true,
      };
    case 'run-end':
      return parseRunEnd(from);
    case 'note':
      return { kind, text: asText(from.text, 'text') };
  }
}

function parseRunEnd(from: Record<string, unknown>): RunEndBody {
  const recovery = asObject(from.recovery, 'recovery');
  const stopped = from.stopped === undefined ? undefined : asObject(from.stopped, 'stopped');
  return {
    kind: 'run-end',
    done: asCount(from.done, 'done'),
    already: asCount(from.already, 'already'),
    failed: asCount(from.failed, 'failed'),
    skipped: asCount(from.skipped, 'skipped'),
    ...(stopped === undefined
      ? {}
      : { stopped: { code: asText(stopped.code, 'code'), message: asText(stopped.message, 'message') } }),
    recovery: {
      state: asOneOf(recovery.state, ['recovered', 'partly', 'not-yet', 'not-checked'], 'state'),
      tookMs: asCount(recovery.tookMs, 'tookMs'),
    },
  };
}
