import { limits } from '../model/limits.ts';
import type { Moment } from '../model/records.ts';

/** A line of a log, from the journal or a file. `at` is missing where a plain line has no date of its own. */
export interface LogLine {
  readonly text: string;
  readonly at?: Moment;
  readonly pid?: number;
  readonly comm?: string;
  /** systemd's MESSAGE_ID, where the writer gave one. */
  readonly messageId?: string;
}

/**
 * One line of `journalctl -o json` (systemd.journal-fields(7)), or undefined where it is none.
 * MESSAGE is a text, an array of bytes where it is no UTF-8, an array of texts where it was given twice, or null
 * where it is longer than journalctl shows without --all.
 */
export function parseJournalLine(json: string): LogLine | undefined {
  if (json.length > limits.journalRecordBytes || json.trimStart()[0] !== '{') return undefined;
  const fields = parseRecord(json);
  if (!fields) return undefined;
  const wallUs = micros(fields.__REALTIME_TIMESTAMP);
  const monotonicUs = micros(fields.__MONOTONIC_TIMESTAMP);
  const bootId = plainBootId(fields._BOOT_ID);
  const pid = Number(fields._PID ?? Number.NaN);
  const { _COMM: comm, MESSAGE_ID: messageId } = fields;
  return {
    text: messageText(fields.MESSAGE).slice(0, limits.journalLineBytes),
    ...(wallUs === undefined
      ? {}
      : {
          at: {
            wallNs: wallUs * 1_000n,
            ...(bootId === undefined ? {} : { bootId }),
            ...(monotonicUs === undefined ? {} : { monotonicUs }),
          },
        }),
    ...(Number.isSafeInteger(pid) && pid > 0 ? { pid } : {}),
    ...(typeof comm === 'string' ? { comm: comm.slice(0, 64) } : {}),
    ...(typeof messageId === 'string' ? { messageId: messageId.slice(0, 64) } : {}),
  };
}

/** The form that is compared everywhere: 32 hex digits without dashes, as the journal writes a boot id. */
export function plainBootId(from: unknown): string | undefined {
  if (typeof from !== 'string' || from.length > 64) return undefined;
  const plain = from.trim().replaceAll('-', '').toLowerCase();
  return /^[0-9a-f]{32}$/.test(plain) ? plain : undefined;
}

/** The milliseconds between two moments: by the kernel's count where both are of one boot, else by the wall clock. */
export function apartMs(a: Moment, b: Moment): number {
  const sameBoot = a.bootId === b.bootId && a.monotonicUs !== undefined && b.monotonicUs !== undefined;
  const ns =
    sameBoot && a.monotonicUs !== undefined && b.monotonicUs !== undefined
      ? (a.monotonicUs - b.monotonicUs) * 1_000n
      : a.wallNs - b.wallNs;
  return Math.abs(Number(ns)) / 1e6;
}

/** The fields of one line of `journalctl -o json`, or undefined where it is none: cut off, or no object. */
export function parseRecord(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch (error) {
    // A line cut by a full disk or a killed journalctl is no line.
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** MESSAGE as text; see parseJournalLine. */
export function messageText(message: unknown): string {
  if (typeof message === 'string') return message;
  if (!Array.isArray(message)) return '';
  if (message.every((each) => typeof each === 'string')) return message.join(' ');
  const bytes = message.filter((each) => Number.isInteger(each) && each >= 0 && each <= 255);
  return Buffer.from(bytes).toString('utf8');
}

function micros(from: unknown): bigint | undefined {
  const text = typeof from === 'number' ? String(from) : from;
  return typeof text === 'string' && /^\d{1,18}$/.test(text) ? BigInt(text) : undefined;
}
