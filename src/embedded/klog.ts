import type { Clock } from '../model/clock.ts';

/** One structured line of klog: severity, source file and line, words, and values. */
export type Klog = (
  severity: 'I' | 'E' | 'W',
  source: string,
  words: string,
  values?: Readonly<Record<string, string | readonly string[] | object>>,
) => void;

/**
 * klog's own format (k8s.io/klog/v2 klog.go formatHeader, textlogger): texts are quoted, objects are JSON.
 * The date is the wall clock's, in UTC.
 */
export function klogTo(clock: Clock, pid: number, sink: (message: string) => void): Klog {
  return (severity, source, words, values = {}) => {
    const wallNs = clock.wallNs();
    const date = new Date(Number(wallNs / 1_000_000n)).toISOString();
    const micros = String((wallNs / 1_000n) % 1_000_000n).padStart(6, '0');
    const when = `${date.slice(5, 7)}${date.slice(8, 10)} ${date.slice(11, 19)}.${micros}`;
    const pairs = Object.entries(values).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
    sink(`${severity}${when} ${String(pid).padStart(7)} ${source}] ${JSON.stringify(words)}${pairs.join('')}`);
  };
}
