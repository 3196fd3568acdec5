import { describeStage } from '../../heal/stages.ts';
import type { Action, ActionOutcome, Outcome, Plan, Recovery, Refusal, Stage } from '../../model/plan.ts';
import { hang, wrap } from './layout.ts';
import { type Paint, paint, type Style, shown } from './style.ts';
import { formatMs } from './time.ts';

/** How many objects with the same reason are named one by one. */
const ALIKE = 3;
/** Of more actions than this, the first of a kind is written out and the others are named. */
const WRITTEN_OUT = 6;
const NAMES = 6;

/** What an action does, in plain words, as an order. */
export function actionTitle(action: Pick<Action, 'kind' | 'object' | 'target'>, style: Style): string {
  const object = shown(style, action.object);
  const target = shown(style, action.target);
  switch (action.kind) {
    case 'remove-sandbox':
      return `remove sandbox ${object} (${target})`;
    case 'kill-cni':
      return `kill the CNI process ${target} of ${object}`;
    case 'restart-runtime':
    case 'restart-kubelet':
      return `restart ${target}`;
    case 'write-config':
    case 'order-unit':
      return `write ${object}`;
    case 'restore-files':
      return `put back ${object}`;
    case 'unlink-socket':
      return `remove the dead socket ${object}`;
    case 'delete-pod':
      return `delete pod ${object}`;
    case 'delete-attachment':
      return `delete VolumeAttachment ${object}`;
    case 'hold-slice':
      return `hold ${target} with an anchor`;
    case 'release-slice':
      return `release ${target}`;
    case 'set-allowed-cpus':
      return `set AllowedCPUs of ${target} for ${object}`;
  }
}

/** The plan of `heal`: each action with its reason, its conditions and what should follow; then each refusal. */
export function planText(plan: Plan, style: Style): string {
  const lines = [...headLines(plan, style)];
  for (const { first, index, rest } of groupsOf(plan.actions)) {
    lines.push('', ...actionLines(first, `${index + 1}. `, style));
    if (rest.length > 0) {
      const names = rest.map((each) => shown(style, each.object)).join(', ');
      const range = `${index + 2}-${index + 1 + rest.length}. `;
      lines.push(...hang(`the same, for the same kind of reason: ${names}`, style.width, range, '   '));
    }
  }
  if (plan.refusals.length > 0) lines.push('', ...refusalLines(plan.refusals, style));
  return `${lines.join('\n')}\n`;
}

function headLines(plan: Plan, style: Style): string[] {
  const count = plan.actions.length;
  const goal = plan.pods.length > 0 ? `, so that ${listed(plan.pods, style)} can start` : '';
  const text = count === 0 ? 'The plan: nothing to do.' : `The plan: ${count} ${plural('action', count)}${goal}.`;
  return wrap(text, style.width).map((line) => paint(style, 'bold', line));
}

function actionLines(action: Action, number: string, style: Style): string[] {
  const inner = ' '.repeat(number.length);
  return [
    ...hang(headOf(action, style), style.width, number, `${inner}  `),
    ...hang(shown(style, action.reason), style.width, `${inner}because  `),
    ...hang(shown(style, action.precondition), style.width, `${inner}only if  `),
    ...hang(shown(style, action.expects), style.width, `${inner}expect   `),
    ...diffLines(action.diff, inner, style),
  ];
}

/** A change as it is: never wrapped, so that it can be read as what will be written. */
function diffLines(diff: string | undefined, indent: string, style: Style): string[] {
  if (diff === undefined || diff === '') return [];
  const paintOf = (line: string): Paint => (line.startsWith('-') ? 'red' : line.startsWith('+') ? 'green' : 'dim');
  return diff
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => `${indent}${paint(style, paintOf(line), shown(style, line))}`);
}

function headOf(action: Action, style: Style): string {
  const tierPaint: Paint = action.tier === 'safe' ? 'green' : ['bold', 'red'];
  const title = `${actionTitle(action, style)} ${paint(style, 'dim', shown(style, action.code))}`;
  return `${title} ${paint(style, tierPaint, action.tier)}`;
}

interface Group {
  readonly first: Action;
  readonly index: number;
  readonly rest: readonly Action[];
}

/** Neighbours that are alike go together where there are many; a short plan is written out. */
function groupsOf(actions: readonly Action[]): Group[] {
  const groups: { first: Action; index: number; rest: Action[] }[] = [];
  for (const [index, action] of actions.entries()) {
    const last = groups.at(-1);
    if (actions.length > WRITTEN_OUT && last && alike(last.first, action)) last.rest.push(action);
    else groups.push({ first: action, index, rest: [] });
  }
  return groups;
}

function alike(a: Action, b: Action): boolean {
  return a.kind === b.kind && a.code === b.code && a.tier === b.tier;
}

function refusalLines(refusals: readonly Refusal[], style: Style): string[] {
  const groups = new Map<string, Refusal[]>();
  for (const each of refusals) {
    const key = `${each.code}\n${each.reason}\n${each.lift ?? ''}`;
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const lift = first.lift === undefined ? '' : ` (${shown(style, first.lift)} would lift this)`;
    const reason = `${shown(style, first.reason)}${lift}`;
    if (group.length <= ALIKE) {
      return group.flatMap((each) =>
        hang(
          `${paint(style, 'yellow', 'not')} touching ${shown(style, each.object)}: ${reason}`,
          style.width,
          '',
          '  ',
        ).concat(diffLines(each.diff, '  ', style)),
      );
    }
    const names = listed(
      group.map((each) => each.object),
      style,
    );
    return hang(
      `${paint(style, 'yellow', 'not')} touching ${group.length} objects: ${reason}: ${names}`,
      style.width,
      '',
      '  ',
    );
  });
}

/** What became of the plan, and how long the pods took to come back. */
export function outcomeText(outcome: Outcome, style: Style): string {
  const plain = outcome.actions.filter((each) => each.result === 'done' && each.why === '');
  const brief = plain.length > WRITTEN_OUT ? plain : [];
  const lines = outcome.actions.filter((each) => !brief.includes(each)).flatMap((each) => resultLines(each, style));
  if (brief.length > 0) lines.unshift(...briefLines(brief, style));
  if (outcome.stopped) {
    const { message, hint, code } = outcome.stopped;
    const text = `Stopped: ${shown(style, message)} [${shown(style, code)}]`;
    lines.push('', ...wrap(text, style.width).map((line) => paint(style, ['bold', 'red'], line)));
    if (hint !== '') lines.push(...hang(shown(style, hint), style.width, '  '));
  }
  lines.push('', ...recoveryLines(outcome, style));
  return `${lines.join('\n')}\n`;
}

const resultPaint: Readonly<Record<ActionOutcome['result'], Paint>> = {
  done: 'green',
  already: 'green',
  failed: ['bold', 'red'],
  skipped: 'yellow',
};

/** Many that went well are one line: the plan has named them. */
function briefLines(done: readonly ActionOutcome[], style: Style): string[] {
  const longest = Math.max(...done.map((each) => each.tookMs));
  const label = paint(style, resultPaint.done, 'done   ');
  return hang(`${done.length} actions, each within ${formatMs(longest)}`, style.width, `${label} `, ' '.repeat(10));
}

function resultLines(each: ActionOutcome, style: Style): string[] {
  const label = paint(style, resultPaint[each.result], each.result.padEnd(7));
  const took = each.result === 'done' ? ` ${paint(style, 'dim', `+${formatMs(each.tookMs)}`)}` : '';
  const head = `${actionTitle(each.action, style)}${took}`;
  const lines = hang(head, style.width, `${label} `, ' '.repeat(10));
  return each.why === '' ? lines : [...lines, ...hang(shown(style, each.why), style.width, ' '.repeat(10))];
}

function recoveryLines(outcome: Outcome, style: Style): string[] {
  const { recovery } = outcome;
  const took = formatMs(recovery.tookMs);
  const back = recovery.recovered.length;
  const waiting = recovery.waiting.flatMap(({ pod, why }) =>
    hang(`${shown(style, pod)}: ${shown(style, why)}`, style.width, '  still waiting  ', ' '.repeat(17)),
  );
  const again = back === 0 ? '' : `: ${back} ${plural('pod', back)} came back (${listed(recovery.recovered, style)})`;
  const says = {
    recovered: `Recovered in ${took}${again}.`,
    partly: `Partly recovered after ${took}${again}.`,
    'not-yet': `Not recovered after ${took}.`,
    'not-checked': 'Whether the pods recovered was not checked.',
  }[recovery.state];
  const nobodyHad = recovery.state === 'recovered' && back === 0;
  if (nobodyHad && recovery.stages === undefined) return wrap('No pod had to come back.', style.width);
  const how: Paint = recovery.state === 'recovered' ? ['bold', 'green'] : ['bold', 'yellow'];
  const stages = (recovery.stages ?? []).flatMap((each) => stageLines(each, style));
  const all = recovery.stages !== undefined && recovery.state === 'recovered' ? [greenLine(recovery, style)] : [];
  const first = nobodyHad ? [] : wrap(says, style.width).map((line) => paint(style, how, line));
  return [...first, ...waiting, ...stages, ...all];
}

/** One stage of what follows the drivers, with when it was green or what is still red. */
function stageLines(each: Stage, style: Style): string[] {
  const mark = each.state === 'green' ? paint(style, 'green', 'green  ') : paint(style, 'yellow', each.state.padEnd(7));
  const after = each.afterMs === undefined ? '' : paint(style, 'dim', ` +${formatMs(each.afterMs)}`);
  return hang(`${shown(style, describeStage(each))}${after}`, style.width, `  ${mark} `, ' '.repeat(10));
}

function greenLine({ tookMs, stages = [] }: Recovery, style: Style): string {
  const unknown = stages.filter((each) => each.state === 'unknown').length;
  const but = unknown === 0 ? '' : `, but for ${unknown} that nobody can say`;
  return paint(style, ['bold', 'green'], `All green after ${formatMs(tookMs)}${but}.`);
}

function listed(names: readonly string[], style: Style): string {
  const some = names.slice(0, NAMES).map((each) => shown(style, each));
  return names.length > NAMES ? `${some.join(', ')} and ${names.length - NAMES} more` : some.join(', ');
}

function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`;
}
