import { parseObject } from '../cri/info.ts';
import { type Fields, parseFields, readQuoted } from './logfmt.ts';

/** A line of kubelet's log, in any of klog's forms. */
export interface Klog {
  readonly severity: 'I' | 'W' | 'E' | 'F';
  /** The message without its fields; in the old unstructured form the whole text. */
  readonly message: string;
  readonly fields: Fields;
  /** `HH:MM:SS.ffffff` of the header with month and day, local time; klog writes no year. */
  readonly stamp?: { readonly month: number; readonly day: number; readonly time: string };
}

// A stream prefix (`<6>`, `??? `) may stand before the header; klog/v2 klog.go formatHeader.
const HEADER =
  /^.{0,40}?\b([IWEF])(\d{2})(\d{2}) (\d{2}:\d{2}:\d{2}\.\d{1,9}) {1,12}\d{1,12} [^\s\]]{1,200}:\d{1,9}\] ?/s;

/**
 * kubelet's line: klog text (`E1121 18:00:14.961749 367 log.go:32] "RunPodSandbox …" err="…"`), the unstructured form
 * of 1.20 and older, or `--logging-format=json`. Undefined where it is none of these (k3s' own lines, a stack trace).
 */
export function parseKlog(text: string): Klog | undefined {
  const header = HEADER.exec(text.slice(0, 400));
  if (!header) return text.startsWith('{') ? parseJsonLog(text) : undefined;
  const [all, severity, month, day, time = ''] = header;
  const stamp = { month: Number(month), day: Number(day), time };
  const start = all.length;
  if (text[start] !== '"')
    return { severity: severityOf(severity), message: text.slice(start), fields: new Map(), stamp };
  const [message, end] = readQuoted(text, start);
  return { severity: severityOf(severity), message, fields: parseFields(text, end), stamp };
}

/** component-base/logs/json: `{"ts":…,"caller":…,"msg":…,"v":0,…}`; errors have no `v`. */
function parseJsonLog(text: string): Klog | undefined {
  const record = parseObject(text);
  if (!record || typeof record.msg !== 'string' || record.ts === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const [key, value] of Object.entries(record)) {
    fields.set(key, typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
  }
  return { severity: record.v === undefined ? 'E' : 'I', message: record.msg, fields };
}

function severityOf(letter: string | undefined): Klog['severity'] {
  return letter === 'E' || letter === 'W' || letter === 'F' ? letter : 'I';
}

/** The date of a klog header: of the years around now the one that brings it closest to now. */
export function klogDateNs(stamp: NonNullable<Klog['stamp']>, nowNs: bigint): bigint | undefined {
  const now = new Date(Number(nowNs / 1_000_000n));
  const [hour = 0, minute = 0, second = 0] = stamp.time.split(/[:.]/).map(Number);
  const fraction = BigInt((stamp.time.split('.')[1] ?? '').padEnd(9, '0').slice(0, 9));
  const candidates = [-1, 0, 1].map((offset) => {
    return new Date(now.getFullYear() + offset, stamp.month - 1, stamp.day, hour, minute, second).getTime();
  });
  const distance = (ms: number) => Math.abs(ms - now.getTime());
  const best = candidates.reduce((a, b) => (distance(b) < distance(a) ? b : a));
  return Number.isFinite(best) ? BigInt(best) * 1_000_000n + fraction : undefined;
}
