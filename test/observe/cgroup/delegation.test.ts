// Goal: delegation is known of each scope, however many there are, and unknown where systemd did not say it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SandwardenError } from '../../../src/model/errors.ts';
import { limits } from '../../../src/model/limits.ts';
import { withDelegation } from '../../../src/observe/cgroup/delegation.ts';
import type { Run } from '../../../src/observe/child.ts';
import { treeOfScopes } from './scopes.ts';

const count = 2 * limits.cgroupUnitsAsked + 1;

/** What is known of the scopes where systemd answers `answers` times, and how many units it was asked for each time. */
async function asked(answers: number) {
  const calls: number[] = [];
  const run: Run = async (argv) => {
    const units = argv.slice(argv.indexOf('--') + 1);
    calls.push(units.length);
    if (calls.length > answers) throw new SandwardenError('ERR_COMMAND_FAILED', 'x failed: no end', { hint: 'x' });
    const blocks = units.map((unit) => `Id=${unit}\nControlGroup=/system.slice/${unit}\nDelegate=yes`);
    return { stdout: `${blocks.join('\n\n')}\n`, stderr: '' };
  };
  const facts = treeOfScopes(Array.from({ length: count }, (_, index) => `s${index}.scope`));
  const { slices } = await withDelegation(facts, run);
  return { calls, known: slices[0]?.scopes?.filter((each) => each.delegated === true).length };
}

test('more scopes than one call takes', async () => {
  const full = limits.cgroupUnitsAsked;
  assert.deepEqual(await asked(9), { calls: [full, full, 1], known: count });
});

test('what was said before systemd fell silent counts, and it is not asked on', async () => {
  const full = limits.cgroupUnitsAsked;
  assert.deepEqual(await asked(1), { calls: [full, full], known: full });
  assert.deepEqual(await asked(0), { calls: [full], known: 0 });
});
