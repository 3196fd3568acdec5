import { kubeletVersion } from '../diagnose/views.ts';
import { applyBudget } from '../heal/budget.ts';
import { isWanted } from '../heal/chosen.ts';
import type { Entry } from '../heal/entries.ts';
import { execute } from '../heal/execute.ts';
import { openIntents } from '../heal/leftovers.ts';
import { type PlanOptions, removalStillRight } from '../heal/plan.ts';
import type { Look, World } from '../heal/ports.ts';
import type { HealState } from '../heal/state-dir.ts';
import { ExitCode } from '../model/errors.ts';
import type { Diagnosis, Finding } from '../model/finding.ts';
import { orderOfVersion } from '../model/kubelet-choice.ts';
import { valueOr } from '../model/observed.ts';
import type { Outcome, Plan, Refusal } from '../model/plan.ts';
import { type Answer, askAtTerminal } from './ask.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { verdictLines } from './render/diagnosis-text.ts';
import { jsonText } from './render/json.ts';
import { hang, wrap } from './render/layout.ts';
import { lookedAtLines } from './render/looked-at.ts';
import { outcomeText, planText } from './render/plan-text.ts';
import { progressOn } from './render/progress.ts';
import { exact, type Style, styleOf } from './render/style.ts';

/** A node that can be healed: the real one, or the embedded one of the demonstration. */
export interface Patient {
  readonly world: World;
  readonly look: Look;
  /** What was done here before, for the budget that a shown plan respects. */
  readJournal(): Promise<readonly Entry[]>;
  openState(): Promise<HealState>;
  /** The id of this boot, as journal entries have it. */
  readonly bootId: string;
  /** The run that the plan takes back, by a person's own word. */
  readonly undoes?: string;
}

export interface Conversation {
  readonly args: Pick<Args, 'flag' | 'value' | 'values'>;
  readonly io: Io;
}

/** Shows the plan, asks, carries it out, and says what became of it. Gives the exit code. */
export async function healNode(patient: Patient, options: PlanOptions, talk: Conversation): Promise<ExitCode> {
  const { args, io } = talk;
  const json = args.value('output') === 'json';
  const style = styleOf(io, args.flag('no-color'), json ? io.stderr : io.stdout);
  const entries = await patient.readJournal();
  const plan = planWithinBudget(patient, entries);
  const { diagnosis } = patient.look;
  const { undoes } = patient;
  const half = halfWritten(entries);
  const taken = undoes === undefined ? {} : { undoes };
  const { verdict, lookedAt } = diagnosis;
  const choice = lookedAt === undefined ? {} : { lookedAt };
  const report = { format: 'sandwarden.heal/1', verdict, ...choice, ...taken, plan } as const;
  const showPlan = () => {
    const head = [...verdictLines(diagnosis, style), ...lookedAtLines(diagnosis, style)];
    (json ? io.stderr : io.stdout).write(`${head.join('\n')}\n\n${planText(plan, style)}`);
  };
  const end = (exitCode: ExitCode, outcome: Outcome | null, why: string): ExitCode => {
    if (json) io.stdout.write(jsonText({ ...report, outcome, exitCode, why }));
    return exitCode;
  };
  if (!json) showPlan();
  if (!json && half.length > 0)
    say(io, style, `Cut off by a crash, and finished or put back first: ${half.join(', ')}.`);
  const missing = notFound(options, diagnosis);
  if (!json && missing.length > 0)
    say(io, style, `Not found here: ${missing.join(', ')}; 'sandwarden check' shows what is.`);
  if (plan.actions.length === 0 && half.length === 0) {
    const isLeft = undoes === undefined ? diagnosis.state === 'errors' : plan.refusals.length > 0;
    const exitCode = isLeft ? ExitCode.healingIncomplete : ExitCode.healthy;
    if (!json && undoes === undefined && exitCode !== ExitCode.healthy) {
      say(io, style, "Nothing here can be mended by what is allowed; 'sandwarden check' says what a person can do.");
    }
    return end(exitCode, null, 'nothing to do');
  }
  if (args.flag('dry-run')) return end(ExitCode.healthy, null, 'dry run');
  if (!args.flag('yes')) {
    if (!io.stdinIsTerminal || !io.stderr.isTerminal) {
      io.stderr.write(`${hang(noTerminal, style.width, '', '  ').join('\n')}\n`);
      return end(ExitCode.usage, null, 'no terminal to ask at, and no --yes');
    }
    if (json) showPlan();
    const answer = await asked(io, plan, style);
    if (answer !== 'yes') {
      io.stderr.write('Nothing was done.\n');
      return end(answer === 'interrupted' ? ExitCode.interrupted : ExitCode.healthy, null, 'not confirmed');
    }
  }
  const outcome = await carriedOut(patient, plan, options, talk);
  if (!json) io.stdout.write(`\n${outcomeText(outcome, style)}`);
  const left = args.values('only').length > 0 || undoes !== undefined ? [] : podsLeft(patient.look, plan);
  if (!json && left.length > 0) say(io, style, `Not in this plan: ${left.join(', ')}; 'sandwarden check' says why.`);
  return end(
    exitCodeOf(outcome, left, undoes === undefined ? [] : plan.refusals),
    outcome,
    outcome.stopped?.message ?? '',
  );
}

/** What `--only` names and no finding is: mistyped as a rule, or healed meanwhile. */
function notFound(options: PlanOptions, { findings }: Diagnosis): string[] {
  const isIt = (one: PlanOptions['only'][number], { code, object, pods }: Finding) =>
    [object.name, ...pods].some((pod) =>
      isWanted({ ...options, only: [one] }, code, object.name, pod, object.id ?? ''),
    );
  const none = options.only.filter((one) => !findings.some((each) => isIt(one, each)));
  return none.map(({ code, object }) => (object === undefined ? code : `${code}/${object}`));
}

/** The files that an earlier run was cut off at: they are not left half written for want of something else to do. */
function halfWritten(entries: readonly Entry[]): string[] {
  return openIntents(entries).flatMap(({ action }) => ('files' in action.guard ? [action.object] : []));
}

const noTerminal = "sandwarden: nothing was done: there is no terminal to ask at. Add '--yes' to carry out this plan.";

/** Where a pod is down because of something that the plan does not mend, healing is not complete. */
function podsLeft({ diagnosis }: Look, plan: Plan): string[] {
  const mended = new Set([...plan.pods, ...(plan.storage?.follow ?? [])]);
  const down = diagnosis.findings.filter((each) => each.severity === 'error').flatMap((each) => each.pods);
  return [...new Set(down)].filter((pod) => !mended.has(pod));
}

function exitCodeOf(outcome: Outcome, left: readonly string[], refused: readonly Refusal[]): ExitCode {
  if (outcome.stopped?.code === 'ERR_INTERRUPTED') return ExitCode.interrupted;
  const allDone = outcome.actions.every((each) => each.result === 'done' || each.result === 'already');
  const back = outcome.recovery.state === 'recovered' || outcome.recovery.state === 'not-checked';
  return outcome.stopped === undefined && allDone && back && left.length + refused.length === 0
    ? ExitCode.healthy
    : ExitCode.healingIncomplete;
}

function planWithinBudget({ look, world, bootId, undoes }: Patient, entries: readonly Entry[]): Plan {
  const now = { wallNs: world.clock.wallNs(), uptimeNs: world.clock.uptimeNs(), bootId };
  const mode = kubeletIsDown(look) ? 'boot' : 'run';
  const sandboxesOnNode = valueOr(look.snapshot.sandboxes, []).length;
  const isUndo = undoes !== undefined;
  return applyBudget(look.plan, entries, { now, mode, sandboxesOnNode, isUndo });
}

function kubeletIsDown({ snapshot }: Look): boolean {
  return snapshot.kubelet.known && !snapshot.kubelet.value.running;
}

function asked(io: Io, plan: Plan, style: Style): Promise<Answer> {
  const count = plan.actions.length;
  const what = count === 0 ? 'that' : count === 1 ? 'this' : `these ${count} actions`;
  const question = `\nDo ${what}? [y/N] `;
  return askAtTerminal(io, exact(style, question.trim()).concat(' '));
}

async function carriedOut(patient: Patient, plan: Plan, options: PlanOptions, talk: Conversation): Promise<Outcome> {
  const { io, args } = talk;
  const { look, world, undoes } = patient;
  const controller = new AbortController();
  const progress = progressOn(io.stderr, styleOf(io, args.flag('no-color'), io.stderr));
  const restore = io.onInterrupt(() => {
    // The journal is consistent at any moment, so a second Ctrl-C need not wait for anything.
    if (controller.signal.aborted) process.exit(ExitCode.interrupted);
    progress.note('Stopping after the step in hand; Ctrl-C again ends at once.');
    controller.abort();
  });
  try {
    return await execute({
      look,
      plan,
      world,
      state: await patient.openState(),
      signal: controller.signal,
      onProgress: progress.show,
      kubeletDown: kubeletIsDown(look),
      stillRight: (action, fresh) => removalStillRight(action, fresh, look.snapshot, options),
      order: orderOfVersion(kubeletVersion(look.snapshot)),
      ...(undoes === undefined ? {} : { undoes }),
    });
  } finally {
    restore();
    progress.end();
  }
}

function say(io: Io, style: Style, text: string): void {
  io.stdout.write(`\n${wrap(exact(style, text), style.width).join('\n')}\n`);
}
