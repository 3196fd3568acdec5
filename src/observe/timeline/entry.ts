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
  };
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
