import { appendFileSync } from 'node:fs';
import type { Clock } from '../model/clock.ts';

/** One program's lines in the shape of `journalctl -o json`, appended to a file. */
export class JournalFile {
  readonly path: string;
  readonly #fields: Readonly<Record<string, string>>;
  #waiting: string[] = [];

  constructor(path: string, comm: string) {
    this.path = path;
    this.#fields = { _COMM: comm, SYSLOG_IDENTIFIER: comm, _SYSTEMD_UNIT: `${comm}.service`, PRIORITY: '6' };
  }

  /** Keeps a line until `flush`. */
  add(message: string, clock: Clock, bootId: string, pid: number): void {
    const line = {
      __REALTIME_TIMESTAMP: String(clock.wallNs() / 1_000n),
      __MONOTONIC_TIMESTAMP: String(clock.uptimeNs() / 1_000n),
      _BOOT_ID: bootId,
      ...this.#fields,
      _PID: String(pid),
      MESSAGE: message,
    };
    this.#waiting.push(`${JSON.stringify(line)}\n`);
  }

  flush(): void {
    if (this.#waiting.length === 0) return;
    appendFileSync(this.path, this.#waiting.join(''));
    this.#waiting = [];
  }
}
