import type { ControllerWriter } from '../../model/controller-changes.ts';
import type { CgroupFs } from '../../observe/cgroup/cgroup-fs.ts';
import { parseStat } from '../../observe/proc.ts';

/**
 * Who has this pid now: one read where the process is known from before, two else. The kernel names the pid at the
 * moment of the write; a process that has ended since (runc lives for milliseconds) is told with an empty name.
 */
export class Writers {
  readonly #fs: CgroupFs;
  readonly #known = new Map<number, ControllerWriter>();

  constructor(fs: CgroupFs) {
    this.#fs = fs;
  }

  /** The process with this pid; 0 is one that the kernel cannot name in this pid namespace. */
  of(pid: number): ControllerWriter {
    const stat = pid > 0 ? parseStat(this.#fs.read(`/proc/${pid}/stat`) ?? '') : undefined;
    if (stat === undefined) return { pid, comm: '' };
    const before = this.#known.get(pid);
    if (before?.startedUptimeNs === stat.startedUptimeNs && before.comm === stat.comm) return before;
    const unit = unitOf(this.#fs.read(`/proc/${pid}/cgroup`) ?? '');
    const { comm, startedUptimeNs } = stat;
    const writer = { pid, comm, startedUptimeNs, ...(unit === undefined ? {} : { unit }) };
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.set(pid, writer);
    return writer;
  }
}

/** A fight has two or three; runc is a new one each time. */
const MOST_KNOWN = 256;

/** The unit in /proc/PID/cgroup: the last part of the path that is a service or a scope. */
export function unitOf(cgroup: string): string | undefined {
  const path = /^0::(\/.*)$/m.exec(cgroup)?.[1] ?? /^\d+:name=systemd:(\/.*)$/m.exec(cgroup)?.[1];
  return path?.split('/').findLast((part) => /^[^\s:]{1,255}\.(service|scope)$/.test(part));
}
