import { limits } from '../../model/limits.ts';
import type { Moment } from '../../model/records.ts';
import { messageText, parseRecord, plainBootId } from '../log-line.ts';

/** Who wrote a line, by the fields that journald itself sets and no process can forge. */
export type Writer = 'kernel' | 'systemd' | 'journald' | 'kubelet' | 'runtime' | 'other';

/** A line of the journal, with plain numbers: a million of them are read. */
export interface Entry {
  readonly writer: Writer;
  readonly text: string;
  readonly wallUs: number;
  readonly monotonicUs: number;
  readonly bootId: string;
  readonly messageId?: string;
  /** journald's own place of the line. */
  readonly cursor: string;
}

/** The units of the known runtimes; kubelet's are in observe/journal.ts. */
export const runtimeUnits = ['containerd.service', 'crio.service', 'snap.microk8s.daemon-containerd.service'] as const;

/** One line of `journalctl -o json`; undefined where it is none, or says neither when nor in which boot. */
export function parseEntry(json: string): Entry | undefined {
  const fields = parseRecord(json);
  if (!fields) return undefined;
  const wallUs = Number(fields.__REALTIME_TIMESTAMP);
  const monotonicUs = Number(fields.__MONOTONIC_TIMESTAMP);
  const bootId = plainBootId(fields._BOOT_ID);
  if (!Number.isSafeInteger(wallUs) || !Number.isSafeInteger(monotonicUs) || bootId === undefined) return undefined;
  const { MESSAGE: message, MESSAGE_ID: messageId } = fields;
  return {
    writer: writerOf(fields),
    text: (typeof message === 'string' ? message : messageText(message)).slice(0, limits.journalLineBytes),
    wallUs,
    monotonicUs,
    bootId,
    ...(typeof messageId === 'string' ? { messageId } : {}),
    cursor: typeof fields.__CURSOR === 'string' ? fields.__CURSOR : '',
  };
}

/**
 * journald numbers its lines without a gap, over all its files and boots (`s=ID;i=NUMBER` of a cursor, hexadecimal):
 * what is missing in between was removed, or cannot be read.
 */
export class SequenceWatch {
  #id = '';
  #last = 0;
  missing = 0;

  add(cursor: string): void {
    const [, id, hex] = /^s=([0-9a-f]{32});i=([0-9a-f]{1,13});/.exec(cursor) ?? [];
    if (id === undefined || hex === undefined) return;
    const number = Number.parseInt(hex, 16);
    if (id === this.#id && number > this.#last + 1) this.missing += number - this.#last - 1;
    if (id !== this.#id || number > this.#last) this.#last = number;
    this.#id = id;
  }
}

/** When a line was written. */
export function momentOf({ wallUs, monotonicUs, bootId }: Entry): Moment {
  return { wallNs: BigInt(wallUs) * 1_000n, monotonicUs: BigInt(monotonicUs), bootId };
}

function writerOf(fields: Readonly<Record<string, unknown>>): Writer {
  if (fields._TRANSPORT === 'kernel') return 'kernel';
  if (fields._TRANSPORT === 'driver') return 'journald';
  if (fields._PID === '1') return 'systemd';
  const unit = fields._SYSTEMD_UNIT;
  if (typeof unit !== 'string') return 'other';
  return (runtimeUnits as readonly string[]).includes(unit) ? 'runtime' : kubeletUnit.test(unit) ? 'kubelet' : 'other';
}

const kubeletUnit =
  /^(?:kubelet|k3s|k3s-agent|rke2-server|rke2-agent|k0scontroller|k0sworker|snap\.microk8s\.daemon-kubelite)\.service$/;
