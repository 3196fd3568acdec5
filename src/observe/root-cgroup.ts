import { limits } from '../model/limits.ts';
import type { Moment, RootCgroupRefused, Span } from '../model/records.ts';
import { Fold } from './fold.ts';
import { plainQuotes } from './logfmt.ts';

/**
 * kubelet's own sentences when the cgroup that all pods are below is not there, or lacks a controller: it exits, and
 * whoever keeps it starts it again. These two places are the only ones that name a missing controller at all.
 * Sources: qos_container_manager_linux.go Start: 1.31 and newer `error validating root container [kubepods] : cgroup
 * ["kubepods"] has some missing controllers: cpuset`, before `root container [kubepods] doesn't exist`;
 * container_manager_linux.go NewContainerManager: `invalid configuration: cgroup …`, up to 1.23 `invalid configuration:
 * cgroup-root ["x"] doesn't exist`.
 */
export class RootCgroupLines {
  readonly #refused = new Fold<Omit<RootCgroupRefused, keyof Span>>();

  /** A line of severity error or fatal: its message, and its error where it has one. */
  add(message: string, error: string | undefined, at: Moment): void {
    if (!ENDS.test(message.slice(0, 100))) return;
    const plain = plainQuotes((error ?? message).slice(0, limits.journalLineBytes));
    const [text] = REFUSAL.exec(plain) ?? [];
    if (text === undefined) return;
    const [, list = ''] = / missing (?:controllers|paths): ([^"\n]{1,400})/.exec(text) ?? [];
    const missing = list.split(/[\s,]+/).filter((each) => /^[\w./-]{1,200}$/.test(each));
    this.#refused.add(text, at, { text: text.slice(0, 500), missing });
  }

  result(): { rootCgroupRefused: RootCgroupRefused[] } {
    return { rootCgroupRefused: this.#refused.list() };
  }
}

/** What kubelet says when it gives up at its start (kubelet.go, server.go); k3s says it of the kubelet inside it. */
const ENDS = /^(?:Failed to start ContainerManager|command failed|failed to run kubelet|kubelet exited)/i;
const REFUSAL = new RegExp(
  "(?:error validating root container \\[|root container \\[[^\\]\\n]{0,300}\\] doesn't exist|" +
    'invalid configuration: cgroup(?:-root)? \\[)[^\\n]{0,480}',
);
