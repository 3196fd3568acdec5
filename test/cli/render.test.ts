// Goal: what a person reads never changes by accident. Method: every report in every format and width against a file.
import { describe, test } from 'node:test';
import { catalogueText, ruleText } from '../../src/cli/render/catalogue-text.ts';
import { diagnosisText } from '../../src/cli/render/diagnosis-text.ts';
import { outcomeText, planText } from '../../src/cli/render/plan-text.ts';
import { diagnoses, emptyPlan, greenAgain, halfHealed, healed, plan, rules } from './fixtures.ts';
import { assertGolden } from './golden.ts';
import { styles } from './styles.ts';

for (const [styleName, style] of Object.entries(styles)) {
  describe(`text, ${styleName}`, () => {
    for (const [name, diagnosis] of Object.entries(diagnoses)) {
      test(`check of ${name}`, () => {
        assertGolden(`check-${name}.${styleName}.txt`, diagnosisText(diagnosis, style, 'warning'));
      });
    }
    test('check --show all', () => {
      assertGolden(`check-sick-all.${styleName}.txt`, diagnosisText(diagnoses.sick, style, 'all'));
    });
    test('check --show error', () => {
      assertGolden(`check-sick-error.${styleName}.txt`, diagnosisText(diagnoses.sick, style, 'error'));
    });
    test('the plan', () => {
      assertGolden(`plan.${styleName}.txt`, planText(plan, style));
      assertGolden(`plan-empty.${styleName}.txt`, planText(emptyPlan, style));
      const long = { ...plan, actions: Array.from({ length: 6 }, () => plan.actions).flat() };
      assertGolden(`plan-long.${styleName}.txt`, planText(long, style));
    });
    test('the outcome', () => {
      assertGolden(`outcome-healed.${styleName}.txt`, outcomeText(healed, style));
      assertGolden(`outcome-half.${styleName}.txt`, outcomeText(halfHealed, style));
      assertGolden(`outcome-green.${styleName}.txt`, outcomeText(greenAgain, style));
    });
    test('explain and findings', () => {
      assertGolden(`explain.${styleName}.txt`, rules.map((each) => ruleText(each, style)).join('\n'));
      assertGolden(`findings.${styleName}.txt`, catalogueText(rules, style));
    });
  });
}
