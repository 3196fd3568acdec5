/** What the journal tells: what was done when, by which clock, how it ended, and what was left undone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { history } from '../../src/heal/history.ts';
import { readJournal } from '../../src/heal/journal.ts';
import { heal, simNode } from './sim-run.ts';

test('a run: its acts with both clocks, their outcomes, and how long it took', async () => {
  const node = simNode((world) => world.addPod('a'));
  await heal(node);
  const [run, ...others] = history((await readJournal(node.disk)).entries);
  assert.deepEqual(others, []);
  assert.equal(run?.mode, 'run');
  assert.equal(run?.planned, 1);
  assert.ok((run?.tookMs ?? 0) >= 12_000, `${run?.tookMs}`);
  const [act] = run?.acts ?? [];
  assert.equal(act?.result, 'done');
  assert.equal(act?.action.object, 'default/a/0');
  assert.equal(
    (act?.at.wallNs ?? 0n) - (act?.at.uptimeNs ?? 0n),
    node.world.clock.wallNs() - node.world.clock.uptimeNs(),
  );
  assert.equal(run?.end?.recovery.state, 'recovered');
});

test('a clock that is turned back during a run changes no duration', async () => {
  const node = simNode((world) => world.addPod('a'));
  node.world.before = (call) => {
    if (call === 'remove') node.world.clock.stepWall(-7_200);
  };
  await heal(node, { verifyTimeoutMs: 3_000 });
  const [run] = history((await readJournal(node.disk)).entries);
  assert.ok((run?.endedAt?.wallNs ?? 0n) < (run?.startedAt.wallNs ?? 0n));
  assert.ok((run?.tookMs ?? 0) >= 12_000 && (run?.tookMs ?? 0) < 60_000);
});

test('an intent without an outcome is undone, in a run without an end; the next run that finds it done says so', async () => {
  const node = simNode((world) => world.addPod('a'));
  await heal(node);
  const whole = (await readJournal(node.disk)).entries;
  const cut = whole.filter((each) => each.kind === 'run-start' || each.kind === 'intent');
  const [killed] = history(cut);
  assert.deepEqual(
    killed?.acts.map((each) => each.result),
    ['undone'],
  );
  assert.equal(killed?.endedAt, undefined);
  node.disk.current = node.disk.current.subarray(
    0,
    node.disk.current.indexOf('\n', node.disk.current.indexOf('"intent"')) + 1,
  );
  await heal(node);
  const runs = history((await readJournal(node.disk)).entries);
  assert.equal(runs.length, 2);
  assert.deepEqual(
    runs[0]?.acts.map((each) => [each.result, each.found]),
    [['done', true]],
  );
  assert.match(runs[0]?.acts[0]?.why ?? '', /found done: it is not listed any more/);
});
