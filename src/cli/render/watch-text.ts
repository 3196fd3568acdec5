import { describeFight, fightsOf, sliceName } from '../../diagnose/controller-fight.ts';
import { times } from '../../diagnose/words.ts';
import { type ControllerWriter, describeWriter } from '../../model/controller-changes.ts';
import { limits } from '../../model/limits.ts';
import type { Moment } from '../../model/records.ts';
import type { OpenedWatch } from '../../watch/controllers/open.ts';
import type { ControllerWatch, WatchEvent } from '../../watch/controllers/watch.ts';
import type { Output } from '../frame/io.ts';
import { hang, wrap } from './layout.ts';
import { paint, type Style, shown } from './style.ts';
import { formatSpan } from './time.ts';
import type { NamedOrNot } from './watch-json.ts';
import { watchMatrix } from './watch-matrix.ts';
import type { EndOfWatch, WatchReport } from './watch-report.ts';

/**
 * One line for each change. At a terminal that can move its cursor the table of slices stands below them and is drawn
 * anew with each change; elsewhere a change is one line however long it is, so that a script can cut it.
 */
export class TextWatchReport implements WatchReport {
  readonly #output: Output;
  readonly #styleNow: () => Style;
  readonly #counts = new Map<string, number>();
  #last: string | undefined;
  #watch: ControllerWatch | undefined;
  /** How many lines of the table stand below the cursor's lines. */
  #drawn = 0;

  /** `styleNow`: a terminal may be made narrower while this goes on. */
  constructor(output: Output, styleNow: () => Style) {
    this.#output = output;
    this.#styleNow = styleNow;
  }

  start({ watch, whyNoNames }: OpenedWatch): void {
    this.#watch = watch;
    const slices = watch.slices().filter((each) => each.handsDown !== undefined).length;
    const what = `Watching ${slices} ${slices === 1 ? 'slice' : 'slices'} by ${watch.by}`;
    this.#lines([`${what}; of each pod kubelet requires ${watch.required.join(', ') || 'nothing'}.`]);
    if (whyNoNames !== undefined) this.#lines([`Nobody who writes can be named: ${whyNoNames}`], 'yellow');
    if (watch.whyLate !== undefined) {
      this.#lines([`Slices that are made anew are noticed late: ${watch.whyLate}.`], 'yellow');
    }
    if (slices === 1) this.#lines(['kubelet has made no slices of pods yet; they are watched once they are there.']);
    this.#draw();
  }

  event(event: WatchEvent, awayNs: bigint | undefined, pods: readonly NamedOrNot[]): void {
    const style = this.#styleNow();
    if (event.kind === 'change') {
      const { path, controller } = event.change;
      this.#last = `${path} ${controller}`;
      this.#counts.set(this.#last, (this.#counts.get(this.#last) ?? 0) + 1);
    }
    this.#clear();
    const line = eventLine(event, awayNs, pods, style);
    this.#write(this.#output.isTerminal ? hang(line, style.width - 1, '', '    ') : [line]);
    this.#draw();
  }

  note(message: string): void {
    this.#clear();
    this.#lines([message], 'dim');
    this.#draw();
  }

  end({ watched, watchedNs }: EndOfWatch): void {
    const style = this.#styleNow();
    // The table stays as it was last drawn; where none can be drawn, it comes once, at the end.
    if (this.#drawn === 0) this.#write(['', ...this.#table(style)]);
    const { changes, missing } = watched;
    const fights = fightsOf(changes).map((fight) => `${describeFight(fight, watchedNs)}.`);
    const lacking = missing.map(({ path, controllers, pods }) => {
      return `Missing now at ${sliceName(path)}: ${controllers.join(', ')}; ${countOf(pods.length)} in it.`;
    });
    const writes = changes.writers.reduce((sum, each) => sum + each.count, 0);
    const quiet =
      fights.length > 0 ? [] : [`No controller went in ${formatSpan(watchedNs)}; ${writes} writes were seen.`];
    const lost =
      changes.overflows === 0
        ? []
        : [`The kernel's queue overflowed ${times(changes.overflows)}: more may have happened than is told here.`];
    const more = changes.truncated ? ['More happened than is kept: the numbers are at least so large.'] : [];
    this.#lines(['', ...[...fights, ...quiet, ...lacking, ...lost, ...more].map((each) => shown(style, each))]);
  }

  /** Sentences, broken at the width. */
  #lines(sentences: readonly string[], colour?: 'yellow' | 'dim'): void {
    const style = this.#styleNow();
    const lines = sentences.flatMap((each) => wrap(each, style.width - 1));
    const painted = colour === undefined ? lines : lines.map((each) => paint(style, colour, shown(style, each)));
    this.#write(painted);
  }

  #table(style: Style): string[] {
    const { slices, required } = { slices: this.#watch?.slices() ?? [], required: this.#watch?.required ?? [] };
    return watchMatrix(slices, required, { counts: this.#counts, last: this.#last }, style);
  }

  #draw(): void {
    const style = this.#styleNow();
    if (!this.#output.isTerminal || !style.unicode) return;
    const lines = ['', ...this.#table(style)];
    this.#write(lines);
    this.#drawn = lines.length;
  }

  #write(lines: readonly string[]): void {
    this.#output.write(lines.map((each) => `${each}\n`).join(''));
  }

  #clear(): void {
    if (this.#drawn > 0) this.#output.write(`\u001b[${this.#drawn}A\u001b[0J`);
    this.#drawn = 0;
  }
}

function eventLine(event: WatchEvent, awayNs: bigint | undefined, pods: readonly NamedOrNot[], style: Style): string {
  if (event.kind === 'overflow') {
    const words = "the kernel's queue overflowed: some writes are not known";
    return `${timeOf(event.at)}  ${paint(style, ['bold', 'yellow'], words)}`;
  }
  if (event.kind === 'slice') return `${timeOf(event.at)}  ${shown(style, sliceName(event.path))} was ${event.went}`;
  const { at, path, controller, went, writers } = event.change;
  const gone = went === 'gone';
  const what = paint(style, gone ? ['bold', 'red'] : 'green', `${controller} ${went}`);
  const by = writers.map((each) => writerText(each)).join(' or ') || 'somebody who is not named';
  const after = awayNs === undefined ? '' : ` after ${formatSpan(awayNs)}`;
  const where = `${gone ? 'from' : 'to'} ${sliceName(path)}`;
  return `${timeOf(at)}  ${what} ${shown(style, `${where}, by ${by}${after}${podsText(gone, pods)}`)}`;
}

function podsText(gone: boolean, pods: readonly NamedOrNot[]): string {
  if (pods.length === 0) return '';
  const names = pods.slice(0, 3).map(({ namespace, name, uid }) => (name === undefined ? uid : `${namespace}/${name}`));
  const more = pods.length > 3 ? ` and ${pods.length - 3} more` : '';
  const lacks = pods.length === 1 ? 'lacks' : 'lack';
  const has = pods.length === 1 ? 'has' : 'have';
  const looks = `; kubelet looks at ${pods.length === 1 ? 'it' : 'each'} within ${limits.podResyncMs / 1_000} s`;
  return `: ${names.join(', ')}${more} ${gone ? `${lacks} it${looks}` : `${has} it again`}`;
}

function writerText(writer: ControllerWriter): string {
  const text = describeWriter(writer);
  return writer.unit === undefined ? text : text.replace(/\)$/, `, ${writer.unit})`);
}

/** `20:04:28.055Z`: the time of day by the wall clock, UTC. */
function timeOf({ wallNs }: Moment): string {
  const dayMs = 86_400_000n;
  const ms = (((wallNs / 1_000_000n) % dayMs) + dayMs) % dayMs;
  return new Date(Number(ms)).toISOString().slice(11);
}

function countOf(pods: number): string {
  return `${pods} ${pods === 1 ? 'pod is' : 'pods are'}`;
}
