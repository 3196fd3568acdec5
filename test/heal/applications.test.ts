import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { partApplications } from '../../src/heal/applications.ts';
import type { Application } from '../../src/heal/storage-world.ts';
import { known, unknown } from '../../src/model/observed.ts';

const goal = { drivers: ['d.example'], follow: ['apps/db-0', 'csi/attacher-1'], waiting: ['apps/db-0'] };

const app = (over: Partial<Application> = {}): Application => ({
  namespace: 'argocd',
  name: 'shop',
  sync: 'Synced',
  health: 'Degraded',
  destination: 'shop',
  resources: ['shop/web'],
  ...over,
});

/** Whether an Application that is red now is waited for, by what it was before (undefined: green). */
function isWaitedFor(now: Application, was: Application | undefined): boolean {
  const before = known({ total: 2, red: was === undefined ? [] : [was] });
  const { waitedFor, leftAlone } = partApplications({ total: 2, red: [now] }, before, goal);
  assert.equal(waitedFor.length + leftAlone.length, 1);
  return waitedFor.length === 1;
}

describe('a red Application is waited for', () => {
  test('where it was green before the acts', () => {
    assert.equal(isWaitedFor(app(), undefined), true);
    assert.equal(isWaitedFor(app({ sync: 'OutOfSync', health: 'Healthy' }), undefined), true);
    // Another of its name is not it.
    assert.equal(isWaitedFor(app(), app({ namespace: 'team-b' })), true);
  });
  test('where it was unhealthy and holds a pod that waits, by what it is made of or by its namespace', () => {
    for (const held of [{ resources: ['apps/db'] }, { resources: ['apps/db-0'] }]) {
      assert.equal(isWaitedFor(app(held), app(held)), true);
    }
    const unlisted = { resources: [], destination: 'apps' };
    assert.equal(isWaitedFor(app({ ...unlisted, health: 'Progressing' }), app(unlisted)), true);
  });
  test('where it went out of sync since, or lost its health', () => {
    assert.equal(isWaitedFor(app({ sync: 'OutOfSync' }), app()), true);
    assert.equal(isWaitedFor(app({ sync: 'OutOfSync' }), app({ sync: 'OutOfSync', health: 'Healthy' })), true);
  });
  test('where nobody saw what was before', () => {
    const now = { total: 1, red: [app()] };
    assert.deepEqual(partApplications(now, undefined, goal).waitedFor, now.red);
    const silent = unknown('ERR_KUBE_UNREACHABLE', 'it is down');
    assert.deepEqual(partApplications(now, silent, goal).waitedFor, now.red);
  });
});

describe('a red Application is left alone', () => {
  test('where it was red before and holds no pod that waits', () => {
    assert.equal(isWaitedFor(app(), app()), false);
    assert.equal(isWaitedFor(app({ health: 'Progressing' }), app()), false);
    assert.equal(isWaitedFor(app({ resources: ['apps/database'] }), app({ resources: ['apps/database'] })), false);
  });
  test('where it was out of sync before, whatever it holds: no pod mends that', () => {
    const was = app({ sync: 'OutOfSync', resources: ['apps/db'] });
    assert.equal(isWaitedFor({ ...was, health: 'Healthy' }, was), false);
    assert.equal(isWaitedFor(was, was), true, 'but for its health');
  });
  test('where a person has suspended it', () => {
    const was = app({ health: 'Suspended', resources: ['apps/db'] });
    assert.equal(isWaitedFor(was, was), false);
  });
});
