import type { Rule } from '../../diagnose/rule.ts';

/** A rule as plain data, for -o json. */
export function ruleData(rule: Rule) {
  const { code, name, title, severity, says, explanation, evidence, remedy, sources } = rule;
  return { code, name, title, severity, says, explanation, evidence, remedy, sources };
}
