import { catalogue, ruleOf } from '../diagnose/catalogue.ts';
import type { Rule } from '../diagnose/rule.ts';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { looking } from './frame/looking.ts';
import { didYouMean } from './frame/suggest.ts';
import { ruleData } from './render/catalogue-json.ts';
import { ruleText } from './render/catalogue-text.ts';
import { jsonText } from './render/json.ts';
import { styleOf } from './render/style.ts';

/** `sandwarden explain CODE`, `sandwarden explain pod NAMESPACE/NAME`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  if (args.second !== undefined) return (await import('./explain-pod.ts')).explainPodCommand(args, io, args.second);
  const rule = codeOf(args);
  const text =
    args.value('output') === 'json' ? jsonText(ruleData(rule)) : ruleText(rule, styleOf(io, args.flag('no-color')));
  io.stdout.write(text);
  return ExitCode.healthy;
}

function codeOf(args: Args): Rule {
  const typed = args.argument ?? '';
  const isPod = typed.includes('/') || /^pods$/i.test(typed);
  if (isPod && !ruleOf(typed)) {
    const pod = typed.includes('/') ? safeText(typed, 300) : 'NAMESPACE/NAME';
    throw new SandwardenError('ERR_USAGE', `no finding is called '${safeText(typed, 60)}'`, {
      hint: `Did you mean 'pod'? Of a pod tells 'sandwarden explain pod ${pod}'.`,
    });
  }
  const rule = findRule(typed);
  const live = ['snapshot', ...looking.map((each) => each.name)].find((each) => args.value(each) !== undefined);
  if (live === undefined) return rule;
  throw new SandwardenError('ERR_USAGE', `'explain ${rule.code}' does not take '--${live}'`, {
    hint: "It tells of a finding, whatever node it is on. Of a pod tells 'sandwarden explain pod NAMESPACE/NAME'.",
  });
}

/** The rule with this code or name. Throws ERR_USAGE with the nearest one. */
export function findRule(typed: string): Rule {
  const rule = ruleOf(typed);
  if (rule) return rule;
  const known = catalogue.flatMap((each) => [each.code, each.name]);
  throw new SandwardenError('ERR_USAGE', `no finding is called '${safeText(typed, 60)}'`, {
    hint: `${didYouMean(typed, known)}'sandwarden findings' lists them all.`,
  });
}
