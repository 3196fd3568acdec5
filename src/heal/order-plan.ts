import { unifiedDiff } from '../diagnose/config/diff.ts';
import { configOf } from '../diagnose/config/drivers.ts';
import type { Facts } from '../diagnose/facts.ts';
import { sw507 } from '../diagnose/rules/sw507.ts';
import type { Action, Plan, Refusal } from '../model/plan.ts';
import type { ConfigWriter } from '../model/runtime-config.ts';
import { isWanted } from './chosen.ts';
import { stepOf, textIn } from './config-plan.ts';
import { type Material, orderPath } from './material.ts';
import type { PlanOptions } from './plan.ts';

/**
 * The cure of SW507: a drop-in with After= for the runtime's unit, and only where that can close no circle and lets no
 * two units wait for each other. A race that was only won by chance is ordered where a person names the finding.
 */
export function planOrder(facts: Facts, options: PlanOptions, material: Material): Plan {
  const named = options.only.some((each) => each.code === 'SW507');
  const found = sw507
    .examine(facts)
    .filter((each) => named || each.severity !== 'info')
    .filter((each) => isWanted(options, each.code, each.object.name, '', ''));
  const units = new Set(found.map((each) => each.object.name));
  const writers = (configOf(facts)?.writers ?? []).filter((each) => units.has(each.unit) && !each.orderedBefore);
  const actions: Action[] = [];
  const refusals: Refusal[] = [];
  for (const [runtimeUnit, group] of Map.groupBy(writers, (each) => each.runtimeUnit)) {
    for (const each of group) {
      const reason = obstacleOf(each);
      if (reason !== undefined) refusals.push({ object: each.unit, target: each.unit, code: 'SW507', reason });
    }
    const free = group.filter((each) => obstacleOf(each) === undefined).map((each) => each.unit);
    if (free.length === 0) continue;
    const action = orderAfter(runtimeUnit, free, material);
    if (typeof action === 'string') {
      refusals.push({ object: runtimeUnit, target: runtimeUnit, code: 'SW507', reason: action });
    } else if (options.allow.includes('disruptive')) actions.push(action);
    else {
      const reason = `would order ${runtimeUnit} after ${free.join(', ')}, from the next boot on`;
      refusals.push({ object: runtimeUnit, target: runtimeUnit, code: 'SW507', reason, lift: '--allow=disruptive' });
    }
  }
  return { actions, refusals, pods: [] };
}

/** Why a writer must not be waited for, in plain words. */
function obstacleOf({ unit, runtimeUnit, orderedAfter, startsUnits }: ConfigWriter): string | undefined {
  if (!/^[A-Za-z0-9:_.\\@-]+$/.test(unit)) return 'its name can stand in no unit file';
  if (orderedAfter === true) {
    return `it is ordered after ${runtimeUnit} itself: the other order would close a circle`;
  }
  if (startsUnits === true) {
    return `it starts units itself: ordered before ${runtimeUnit}, each could wait for the other for ever`;
  }
  if (startsUnits === undefined) {
    return `nobody can say whether it starts ${runtimeUnit} itself; then each would wait for the other for ever`;
  }
  return undefined;
}

function orderAfter(runtimeUnit: string, writers: readonly string[], material: Material): Action | string {
  const path = orderPath(runtimeUnit);
  const before = textIn(material, path);
  const earlier = [...(before ?? '').matchAll(/^After=(.*)$/gm)].flatMap((each) => (each[1] ?? '').split(/\s+/));
  const after = [...new Set([...earlier, ...writers])].filter((each) => each !== '').sort();
  const text = [
    '# Written by sandwarden heal (SW507): these units write what this one reads at its start.',
    "# 'sandwarden history' shows how it is taken back.",
    '[Unit]',
    `After=${after.join(' ')}`,
    '',
  ].join('\n');
  const step = stepOf({ path, after: text }, material);
  if (typeof step === 'string') return step;
  const names = writers.join(', ');
  return {
    kind: 'order-unit',
    target: path,
    object: path,
    code: 'SW507',
    tier: 'disruptive',
    reason: `nothing orders ${runtimeUnit} after what writes its files: ${names}`,
    precondition: 'the file is as it was read; systemd shows the order after a daemon-reload, else it is taken back',
    expects: `from the next boot on ${runtimeUnit} starts after ${names}; nothing is restarted now`,
    guard: { kind: 'order-unit', files: [step], reload: { unit: runtimeUnit, after }, restarts: [] },
    diff: unifiedDiff(path, before, text),
    contents: new Map([[path, text]]),
  };
}
