import type { Rule } from './rule.ts';
import { sw101 } from './rules/sw101.ts';
import { sw102 } from './rules/sw102.ts';
import { sw103 } from './rules/sw103.ts';
import { sw104 } from './rules/sw104.ts';
import { sw105 } from './rules/sw105.ts';
import { sw106 } from './rules/sw106.ts';
import { sw107 } from './rules/sw107.ts';
import { sw108 } from './rules/sw108.ts';
import { sw109 } from './rules/sw109.ts';
import { sw201 } from './rules/sw201.ts';
import { sw202 } from './rules/sw202.ts';
import { sw203 } from './rules/sw203.ts';
import { sw204 } from './rules/sw204.ts';
import { sw301 } from './rules/sw301.ts';
import { sw302 } from './rules/sw302.ts';
import { sw303 } from './rules/sw303.ts';
import { sw304 } from './rules/sw304.ts';
import { sw305 } from './rules/sw305.ts';
import { sw306 } from './rules/sw306.ts';
import { sw401 } from './rules/sw401.ts';
import { sw402 } from './rules/sw402.ts';
import { sw403 } from './rules/sw403.ts';
import { sw501 } from './rules/sw501.ts';
import { sw502 } from './rules/sw502.ts';
import { sw503 } from './rules/sw503.ts';
import { sw504 } from './rules/sw504.ts';
import { sw505 } from './rules/sw505.ts';
import { sw506 } from './rules/sw506.ts';
import { sw507 } from './rules/sw507.ts';
import { sw508 } from './rules/sw508.ts';
import { sw509 } from './rules/sw509.ts';
import { sw510 } from './rules/sw510.ts';
import { sw511 } from './rules/sw511.ts';
import { sw601 } from './rules/sw601.ts';
import { sw701 } from './rules/sw701.ts';
import { sw702 } from './rules/sw702.ts';
import { sw703 } from './rules/sw703.ts';

/** Every finding there is, by code. The only list of them. */
export const catalogue: readonly Rule[] = [
  sw101,
  sw102,
  sw103,
  sw104,
  sw105,
  sw106,
  sw107,
  sw108,
  sw109,
  sw201,
  sw202,
  sw203,
  sw204,
  sw301,
  sw302,
  sw303,
  sw304,
  sw305,
  sw306,
  sw401,
  sw402,
  sw403,
  sw501,
  sw502,
  sw503,
  sw504,
  sw505,
  sw506,
  sw507,
  sw508,
  sw509,
  sw510,
  sw511,
  sw601,
  sw701,
  sw702,
  sw703,
];

/** The rule of a code (`SW102`, `sw102`) or of a name (`ghost-from-the-future`), or undefined. */
export function ruleOf(codeOrName: string): Rule | undefined {
  const wanted = codeOrName.toLowerCase();
  return catalogue.find((each) => each.code.toLowerCase() === wanted || each.name === wanted);
}
