import type { PlanOptions } from '../heal/plan.ts';
import { SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import { findRule } from './explain.ts';
import type { Args } from './frame/command.ts';

/** What `--allow` and `--only` allow. Throws ERR_USAGE. */
export function planOptions(args: Args): PlanOptions {
  const only = args.values('only').map(readOnly);
  const allow = args.value('allow');
  if (allow === 'destructive' && (only.length === 0 || only.some((each) => each.object === undefined))) {
    throw new SandwardenError('ERR_USAGE', "'--allow=destructive' needs '--only CODE/OBJECT'", {
      hint: 'What destroys data is done to one thing that you name: --only SW305/NAME, a VolumeAttachment here.',
    });
  }
  if (allow === 'destructive') return { allow: ['safe', 'disruptive', 'destructive'], only, storage: true };
  return { allow: allow === 'disruptive' ? ['safe', 'disruptive'] : ['safe'], only, storage: true };
}

function readOnly(typed: string): { code: string; object?: string } {
  const slash = typed.indexOf('/');
  const code = slash === -1 ? typed : typed.slice(0, slash);
  const object = slash === -1 ? undefined : typed.slice(slash + 1);
  if (code === '') {
    throw new SandwardenError('ERR_USAGE', `'--only ${safeText(typed, 80)}' names no finding`, {
      hint: "Write '--only SW102', or '--only SW102/default/web/0'; 'sandwarden check' shows them.",
    });
  }
  if (object === '') {
    throw new SandwardenError('ERR_USAGE', `'--only ${safeText(typed, 80)}' names no object after the '/'`, {
      hint: `Write '--only ${safeText(code, 60)}', or '--only ${safeText(code, 60)}/default/web/0'.`,
    });
  }
  const rule = findRule(code);
  return object === undefined ? { code: rule.code } : { code: rule.code, object };
}
