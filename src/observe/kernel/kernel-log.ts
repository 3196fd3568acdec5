import {
  type KernelKind,
  type KernelLog,
  type KernelSign,
  type KernelTrouble,
  stallKinds,
} from '../../model/kernel.ts';
import { limits } from '../../model/limits.ts';
import type { Moment } from '../../model/records.ts';
import { parseKernelMessage, taskOfDump } from './messages.ts';

/** A line of the kernel of one boot. */
export interface KernelLine {
  readonly text: string;
  readonly wallNs: bigint;
  /** Microseconds since the start of the kernel. */
  readonly monotonicUs: number;
  readonly bootId: string;
}

/**
 * Counts what the kernel says of one boot, line by line (`add`), in bounded memory: by kind with first and last, by
 * hour of the boot, and by the tasks that the dumps after a stall name. Each message counts: the kernel prints one a
 * stall.
 */
export class KernelLogReader {
  readonly #troubles = new Map<KernelKind, { count: number; text: string; first: Moment; last: Moment }>();
  readonly #hours = new Map<number, Partial<Record<KernelKind, number>>>();
  readonly #tasks = new Map<string, number>();
  #dumpUntilUs = -1;
  #since: Moment | null = null;
  #lines = 0;

  /** Gives what the line says, where it says something. */
  add(line: KernelLine): KernelSign | undefined {
    this.#lines++;
    this.#since ??= momentOf(line);
    const sign = parseKernelMessage(line.text);
    if (!sign) {
      if (line.monotonicUs <= this.#dumpUntilUs) this.#name(taskOfDump(line.text));
      return undefined;
    }
    this.#count(sign, line);
    if (isStall(sign.kind)) {
      this.#dumpUntilUs = line.monotonicUs + limits.stallDumpMs * 1_000;
      this.#name(sign.task);
    }
    return sign;
  }

  /** `lost`: lines that could not be given. */
  result(from: KernelLog['from'], lost: number): KernelLog {
    return {
      from,
      since: this.#since,
      lines: this.#lines,
      lost,
      troubles: [...this.#troubles].map(([kind, trouble]): KernelTrouble => ({ kind, ...trouble })),
      hours: [...this.#hours].sort(([a], [b]) => a - b).map(([hour, counts]) => ({ hour, counts })),
      tasks: [...this.#tasks]
        .map(([task, count]) => ({ task, count }))
        .sort((a, b) => b.count - a.count || (a.task < b.task ? -1 : 1))
        .slice(0, limits.stallTasks),
    };
  }

  #count({ kind }: KernelSign, line: KernelLine): void {
    const at = momentOf(line);
    const known = this.#troubles.get(kind);
    if (known) {
      known.count++;
      known.last = at;
    } else this.#troubles.set(kind, { count: 1, text: line.text.slice(0, 300), first: at, last: at });
    const hour = Math.floor(line.monotonicUs / 3.6e9);
    let counts = this.#hours.get(hour);
    if (!counts) {
      counts = {};
      this.#hours.set(hour, counts);
      // The oldest hour goes: the counts of all are kept by kind.
      if (this.#hours.size > limits.kernelHours) this.#hours.delete(Math.min(...this.#hours.keys()));
    }
    counts[kind] = (counts[kind] ?? 0) + 1;
  }

  #name(task: string | undefined): void {
    if (task === undefined) return;
    const known = this.#tasks.get(task);
    // A hostile process may take ever new names.
    if (known !== undefined || this.#tasks.size < limits.logRecords) this.#tasks.set(task, (known ?? 0) + 1);
  }
}

/** Whether a kind is a stall of the kernel itself. */
export function isStall(kind: KernelKind): boolean {
  return stallSet.has(kind);
}

const stallSet: ReadonlySet<KernelKind> = new Set(stallKinds);

function momentOf({ wallNs, monotonicUs, bootId }: KernelLine): Moment {
  return { wallNs, bootId, monotonicUs: BigInt(monotonicUs) };
}
