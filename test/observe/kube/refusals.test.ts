// Goal: kubelet's events tell what its log would, of this node alone, and nobody's forged event tells of another's pod.
// Method: events as kubelet writes them, and as somebody else might; the test API server.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { kubeServer } from '../../../lab/kube-api/server.ts';
import { observeRefusals, refusalsOfPage } from '../../../src/observe/kube/refusals.ts';
import { tempDir } from '../../helpers/temp.ts';

const uid = '6f1c0000-0000-4000-8000-000000000001';
const holder = 'a'.repeat(64);
const name = `web_default_${uid}_0`;
const words = `failed to reserve sandbox name "${name}": name "${name}" is reserved for "${holder}"`;

function event(more: object = {}) {
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'web.1', namespace: 'default' },
    involvedObject: { kind: 'Pod', namespace: 'default', name: 'web', uid },
    reason: 'FailedCreatePodSandBox',
    message: `Failed to create pod sandbox: rpc error: code = Unknown desc = ${words}`,
    source: { component: 'kubelet', host: 'node-1' },
    firstTimestamp: '2026-03-01T00:00:01Z',
    lastTimestamp: '2026-03-01T00:01:01Z',
    count: 7,
    type: 'Warning',
    ...more,
  };
}

describe('an event of a refused sandbox', () => {
  test('is what the log would say', () => {
    assert.deepEqual(refusalsOfPage({ items: [event()] }, 'node-1'), [
      {
        kind: 'sandbox',
        asked: { name: 'web', namespace: 'default', uid, attempt: 0 },
        holderId: holder,
        text: words,
        count: 7,
        first: { wallNs: 1_772_323_201_000_000_000n },
        last: { wallNs: 1_772_323_261_000_000_000n },
      },
    ]);
  });

  test('by the new recorder: a series, and the node as the reporting instance', () => {
    const series = { count: 9, lastObservedTime: '2026-03-01T00:02:01.000000Z' };
    const newer = { firstTimestamp: null, lastTimestamp: null, eventTime: '2026-03-01T00:00:01.000000Z', count: 0 };
    const [found] = refusalsOfPage(
      { items: [event({ ...newer, series, source: {}, reportingInstance: 'node-1' })] },
      'node-1',
    );
    assert.deepEqual([found?.count, found?.last.wallNs], [9, 1_772_323_321_000_000_000n]);
  });

  test('of another node, about another pod, with other words or without a date: not ours', () => {
    const others = [
      event({ source: { host: 'node-2' } }),
      event({ involvedObject: { kind: 'Pod', uid: 'another' } }),
      event({ message: 'Failed to create pod sandbox: the plugin failed' }),
      event({ firstTimestamp: null, lastTimestamp: null }),
      7,
    ];
    assert.deepEqual(refusalsOfPage({ items: others }, 'node-1'), []);
  });

  test('any JSON: refusals or none', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (items) => {
        refusalsOfPage({ items }, 'node-1');
        refusalsOfPage(items, 'node-1');
      }),
      { numRuns: 200 },
    );
  });
});

test('one list by reason; without the permission it is said', async () => {
  await using api = await kubeServer();
  await using home = await tempDir();
  const flag = home.join('config');
  const clusters = [{ name: 'c', cluster: { server: api.url } }];
  const contexts = [{ name: 'c', context: { cluster: 'c' } }];
  await writeFile(flag, JSON.stringify({ 'current-context': 'c', contexts, clusters }));
  const ask = () => observeRefusals({ flag, env: {}, hostname: 'node-1' });
  api.store.create(api.resource('events'), 'default', event());
  api.store.create(
    api.resource('events'),
    'default',
    event({ metadata: { name: 'x', namespace: 'default' }, reason: 'Failed' }),
  );
  const found = await ask();
  assert.deepEqual(found.known && found.value.map((each) => each.holderId), [holder]);
  assert.deepEqual(api.permissions(), ['list events']);
});
