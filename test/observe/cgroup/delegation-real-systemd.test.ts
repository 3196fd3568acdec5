// Goal: which scopes are delegated is told of each of several, as a real systemd says it in one answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withDelegation } from '../../../src/observe/cgroup/delegation.ts';
import { type Run, run } from '../../../src/observe/child.ts';
import { realSystemd, withoutSystemd } from '../../helpers/real-systemd.ts';
import { treeOfScopes } from './scopes.ts';

const scopes = { 'first.scope': 'yes', 'second.scope': 'no', 'third.scope': 'yes' };

test('several scopes of a real systemd', { skip: withoutSystemd, timeout: 120_000 }, async () => {
  await using systemd = await realSystemd();
  for (const [name, delegate] of Object.entries(scopes)) {
    const start = ['sh', '-c', 'systemd-run --quiet --scope "$@" sleep 1000 >/dev/null 2>&1 &', 'sh'] as const;
    await systemd.run(...start, `--unit=${name}`, '--slice=system.slice', `--property=Delegate=${delegate}`);
    const isActive = async () => (await systemd.ended('systemctl', 'is-active', name)).stdout === 'active\n';
    await systemd.until(`${name} is active`, async () => ((await isActive()) ? true : undefined));
  }
  const facts = treeOfScopes([...Object.keys(scopes), 'gone.scope']);
  const beside: Run = (argv, options) => run(systemd.argv(...argv), options);
  const { slices } = await withDelegation(facts, beside);
  assert.deepEqual(
    slices[0]?.scopes?.map((each) => each.delegated),
    [true, false, true, undefined],
  );
});
