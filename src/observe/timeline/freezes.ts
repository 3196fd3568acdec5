import type { FreezeEpisode } from '../../model/incident.ts';
import { limits } from '../../model/limits.ts';
import type { Moment } from '../../model/records.ts';
import { type Entry, momentOf } from './entry.ts';

/**
 * When the API did not answer this node: kubelet could not renew its lease or post its status (component-helpers
 * lease/controller.go, kubelet_node_status.go), again and again; or kubelet wrote nothing any more although it had
 * written each minute, while the node lived on. The minutes after its start do not count: the API may come up later.
 */
export class FreezeWatch {
  readonly #found: FreezeEpisode[] = [];
  #open: { first: Entry; last: Entry; failures: number } | undefined;
  #lastLine: Entry | undefined;
  #startedUs = 0;
  /** Lines of kubelet in this hour of the boot and in the one before. */
  #hour = { hour: -1, lines: 0, before: 0 };

  /** A line of kubelet of this boot. */
  add(entry: Entry): void {
    const us = entry.monotonicUs;
    if (STARTED.test(entry.text)) this.#startedUs = us;
    if (this.#lastLine && us - this.#lastLine.monotonicUs >= limits.silenceMs * 1_000)
      this.#silence(this.#lastLine, entry);
    this.#count(us);
    this.#lastLine = entry;
    const isFailure = FAILED.test(entry.text) && us - this.#startedUs > limits.freezeNotBeforeMs * 1_000;
    if (this.#open && us - this.#open.last.monotonicUs > limits.freezeGapMs * 1_000) this.#close(false);
    if (!isFailure) return;
    if (this.#open) {
      this.#open.last = entry;
      this.#open.failures++;
    } else this.#open = { first: entry, last: entry, failures: 1 };
  }

  /** The boot is over, or is the running one; `last` is its very last line, of whomever. */
  end(last: Moment): readonly FreezeEpisode[] {
    const lastUs = Number(last.monotonicUs ?? 0n);
    const line = this.#lastLine;
    if (line && lastUs - line.monotonicUs >= limits.silenceMs * 1_000) {
      this.#silence(line, { ...line, monotonicUs: lastUs, wallUs: Number(last.wallNs / 1_000n) }, true);
    }
    this.#close(this.#open !== undefined && lastUs - this.#open.last.monotonicUs <= limits.freezeGapMs * 1_000);
    return this.#found;
  }

  #count(us: number): void {
    const hour = Math.floor(us / 3.6e9);
    if (hour !== this.#hour.hour) {
      this.#hour = { hour, lines: 0, before: hour === this.#hour.hour + 1 ? this.#hour.lines : 0 };
    }
    this.#hour.lines++;
  }

  #silence(from: Entry, to: Entry, untilTheEnd = false): void {
    if (this.#hour.lines + this.#hour.before < limits.silenceLinesPerHour) return;
    // Failures that went over into silence are one freeze.
    const open = this.#open && from.monotonicUs - this.#open.last.monotonicUs <= limits.freezeGapMs * 1_000;
    const failures = open ? (this.#open?.failures ?? 0) : 0;
    const first = open ? (this.#open?.first ?? from) : from;
    this.#open = undefined;
    const text = failures > 0 ? first.text : 'the last line of kubelet before it went silent';
    this.#keep(first, to, { failures, silent: true, untilTheEnd, text });
  }

  #close(untilTheEnd: boolean): void {
    const open = this.#open;
    this.#open = undefined;
    if (!open || open.failures < limits.freezeFailures) return;
    if (open.last.monotonicUs - open.first.monotonicUs < limits.freezeAtLeastMs * 1_000) return;
    this.#keep(open.first, open.last, { failures: open.failures, silent: false, untilTheEnd, text: open.first.text });
  }

  #keep(first: Entry, last: Entry, more: Pick<FreezeEpisode, 'failures' | 'silent' | 'untilTheEnd' | 'text'>): void {
    if (this.#found.length >= limits.incidentNames) return;
    const lastedNs = BigInt(Math.max(last.monotonicUs - first.monotonicUs, 0)) * 1_000n;
    this.#found.push({
      first: momentOf(first),
      last: momentOf(last),
      lastedNs,
      ...more,
      text: more.text.slice(0, 300),
    });
  }
}

const STARTED = /"Kubelet version"|msg="Starting (?:k3s|rke2|k0s|microk8s) /;
const FAILED =
  /"Failed to (?:update lease|ensure lease exists)|failed to (?:update node lease|ensure lease exists)|"(?:Error|Unable to) updat(?:ing|e) node status|Error updating node status/i;
