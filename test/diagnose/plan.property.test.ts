import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { buildFacts } from '../../src/diagnose/facts.ts';
import { makePlan, removalStillRight } from '../../src/heal/plan.ts';
import { foresee } from '../../src/model/kubelet-choice.ts';
import { known, valueOr } from '../../src/model/observed.ts';
import type { Plan } from '../../src/model/plan.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { arbitraryNode } from './arbitrary.ts';

const runs = { numRuns: 3_000 };
const safe = { allow: ['safe'], only: [] } as const;
const disruptive = { allow: ['safe', 'disruptive'], only: [] } as const;

test('no READY sandbox is ever in a plan', () => {
  checkPlans((snapshot, plan) => {
    for (const each of removed(snapshot, plan)) assert.equal(each.state, 'notready');
  });
});

test('no sandbox with a running or created container is ever in a plan', () => {
  checkPlans((snapshot, plan) => {
    const targets = new Set(plan.actions.map((each) => each.target));
    for (const each of valueOr(snapshot.containers, [])) {
      if (each.state === 'running' || each.state === 'created') assert.ok(!targets.has(each.sandboxId));
    }
  });
});

test("no finished pod's sandbox is ever in a plan, and none of a pod that may not run twice and has no other record", () => {
  checkPlans((snapshot, plan) => {
    for (const each of removed(snapshot, plan)) {
      const pod = valueOr(snapshot.pods, []).find((one) => one.uid === each.uid);
      assert.ok(pod?.phase !== 'Succeeded' && pod?.phase !== 'Failed' && pod?.deleting !== true);
      const records = valueOr(snapshot.containers, []).filter((one) => one.sandboxId === each.id);
      const elsewhere = valueOr(snapshot.containers, []).filter(
        (one) => one.podUid === each.uid && one.sandboxId !== each.id,
      );
      if (pod?.restartPolicy === 'Never' && records.length > 0) assert.ok(elsewhere.length > 0);
    }
  });
});

test('without the API and without a sign from kubelet, container records are never given up', () => {
  checkPlans((snapshot, plan) => {
    for (const each of removed(snapshot, plan)) {
      const told = valueOr(snapshot.pods, []).some((one) => one.uid === each.uid);
      const asked = valueOr(snapshot.kubeletLog, undefined)?.nameHeld.some((one) => one.asked.uid === each.uid);
      const runs = valueOr(snapshot.sandboxes, []).some((one) => one.uid === each.uid && one.state === 'ready');
      const records = valueOr(snapshot.containers, []).some((one) => one.sandboxId === each.id);
      assert.ok(told || asked || runs || !records);
    }
  });
});

test('every sandbox in a plan blocks: without any one of the removals its pod stays blocked', () => {
  checkPlans((snapshot, plan) => {
    const targets = new Set(plan.actions.map((each) => each.target));
    const facts = buildFacts(snapshot);
    for (const cure of facts.cures) {
      if (cure.order === undefined || !cure.ghosts.some((each) => targets.has(each.sandbox.id))) continue;
      for (const left of cure.ghosts) {
        const rest = cure.view.sandboxes.filter((each) => each.id === left.sandbox.id || !targets.has(each.id));
        assert.notEqual(foresee(rest, cure.order, facts.node?.wallNs ?? 0n).kind, 'settles');
      }
    }
  });
});

test('a sandbox that no replay and no error names is never in a plan', () => {
  checkPlans((snapshot, plan) => {
    const facts = buildFacts(snapshot);
    for (const each of removed(snapshot, plan)) {
      const view = facts.pods.get(each.uid);
      const blocked = [...(view?.fates.values() ?? [])].some((fate) => fate.kind !== 'settles');
      assert.ok(blocked || (view?.errors.length ?? 0) > 0);
    }
  });
});

test('with an unknown kubelet version nothing is removed for its date', () => {
  checkPlans((snapshot, plan) => {
    if (valueOr(snapshot.kubelet, undefined)?.version !== undefined) return;
    assert.deepEqual(
      plan.actions.filter((each) => each.code === 'SW102'),
      [],
    );
  });
});

test('after the plan is done no pod of it is blocked, and a second plan is empty', () => {
  checkPlans((snapshot, plan, options) => {
    const healed = without(snapshot, new Set(plan.actions.map((each) => each.target)));
    const facts = buildFacts(healed);
    for (const cure of facts.cures) {
      const name = `${cure.view.namespace}/${cure.view.name}`;
      if (cure.order !== undefined) assert.ok(!plan.pods.includes(name), `${name} is still blocked`);
    }
    const again = makePlan(calm(healed), options).actions.filter((each) =>
      plan.actions.some((done) => done.object === each.object),
    );
    assert.deepEqual(again, []);
  });
});

test('all removals of a pod or none', () => {
  checkPlans((snapshot, plan) => {
    const targets = new Set(plan.actions.map((each) => each.target));
    for (const cure of buildFacts(snapshot).cures) {
      const chosen = cure.ghosts.filter((each) => targets.has(each.sandbox.id)).length;
      assert.ok(chosen === 0 || chosen === cure.ghosts.length);
    }
  });
});

test('each NotReady sandbox is in the plan or has a refusal with a reason, never both', () => {
  checkPlans((snapshot, plan) => {
    const acted = new Set(plan.actions.map((each) => each.target));
    const refused = new Map(plan.refusals.map((each) => [each.target, each.reason]));
    for (const each of valueOr(snapshot.sandboxes, [])) {
      if (each.state === 'ready') continue;
      assert.ok(acted.has(each.id) !== refused.has(each.id), `${each.name}/${each.attempt}`);
      assert.notEqual(refused.get(each.id), '');
    }
  });
});

test('the order of the input never matters', () => {
  fc.assert(
    fc.property(arbitraryNode(), fc.infiniteStream(fc.nat()), (snapshot, random) => {
      const shuffled = {
        ...snapshot,
        sandboxes: known(shuffle(valueOr(snapshot.sandboxes, []), random)),
        containers: known(shuffle(valueOr(snapshot.containers, []), random)),
      };
      assert.deepEqual(makePlan(shuffled, safe), makePlan(snapshot, safe));
      assert.deepEqual(diagnose(shuffled), diagnose(snapshot));
    }),
    { numRuns: 1_000 },
  );
});

test('what is planned is still right when the same is read again, and is not once the sandbox is READY', () => {
  checkPlans((snapshot, plan, options) => {
    for (const action of plan.actions) {
      if (action.guard.kind !== 'remove-sandbox') continue;
      const uid = action.guard.podUid;
      const fresh = {
        sandboxes: valueOr(snapshot.sandboxes, []).filter((each) => each.uid === uid),
        containers: valueOr(snapshot.containers, []).filter((each) => each.podUid === uid),
        pauseAlive: false,
      };
      assert.equal(removalStillRight(action, fresh, snapshot, options), undefined);
      const ready = fresh.sandboxes.map((each) =>
        each.id === action.target ? { ...each, state: 'ready' as const } : each,
      );
      assert.ok(removalStillRight(action, { ...fresh, sandboxes: ready }, snapshot, options));
      assert.ok(removalStillRight(action, { ...fresh, pauseAlive: undefined }, snapshot, options));
    }
  });
});

test('a diagnosis with an error has a verdict, a chain, and a remedy text for each finding', () => {
  fc.assert(
    fc.property(arbitraryNode(), (snapshot) => {
      const diagnosis = diagnose(snapshot);
      assert.ok(diagnosis.verdict.length > 10 && diagnosis.verdict.endsWith('.'));
      for (const each of diagnosis.findings) assert.ok(each.why && each.remedy.text && each.evidence.length > 0);
      if (diagnosis.state === 'errors') assert.ok(diagnosis.chain.length > 0);
    }),
    { numRuns: 1_000 },
  );
});

function checkPlans(check: (snapshot: Snapshot, plan: Plan, options: typeof safe | typeof disruptive) => void): void {
  let planned = 0;
  fc.assert(
    fc.property(arbitraryNode(), fc.constantFrom(safe, disruptive), (snapshot, options) => {
      const plan = makePlan(snapshot, options);
      planned += plan.actions.length;
      check(snapshot, plan, options);
    }),
    runs,
  );
  // A property over plans that are all empty would hold for any planner.
  assert.ok(planned > runs.numRuns / 20, `only ${planned} removals were planned`);
}

function removed(snapshot: Snapshot, plan: Plan): Sandbox[] {
  const targets = new Set(plan.actions.map((each) => each.target));
  return valueOr(snapshot.sandboxes, []).filter((each) => targets.has(each.id));
}

/** containerd removes the containers of a sandbox with it (sandbox_remove.go). */
function without(snapshot: Snapshot, ids: ReadonlySet<string>): Snapshot {
  return {
    ...snapshot,
    sandboxes: known(valueOr(snapshot.sandboxes, []).filter((each) => !ids.has(each.id))),
    containers: known(valueOr(snapshot.containers, []).filter((each) => !ids.has(each.sandboxId))),
  };
}

/** The same node when kubelet's refusals are over. */
function calm(snapshot: Snapshot): Snapshot {
  const log = valueOr(snapshot.kubeletLog, undefined);
  return log === undefined ? snapshot : { ...snapshot, kubeletLog: known({ ...log, nameHeld: [] }) };
}

function shuffle<T>(items: readonly T[], random: Iterator<number>): T[] {
  return items
    .map((item) => ({ item, key: Number(random.next().value) }))
    .sort((a, b) => a.key - b.key)
    .map((each) => each.item);
}
