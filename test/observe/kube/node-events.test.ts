import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { eventsOfList, observeNodeEvents } from '../../../src/observe/kube/node-events.ts';
import { hasOpenssl, kubeApi, kubeconfigOf, makePki } from '../../helpers/kube-api.ts';
import { tempDir } from '../../helpers/temp.ts';

const event = (reason: string, lastTimestamp: string, more: object = {}) => ({
  ...{ metadata: { name: reason }, involvedObject: { kind: 'Node', name: 'node-1' }, type: 'Warning', reason },
  ...{ message: `node-1 ${reason}`, lastTimestamp, count: 3, ...more },
});

describe('eventsOfList', () => {
  test('old and new recorders; what has no date is left out', () => {
    const series = {
      lastTimestamp: null,
      count: undefined,
      series: { count: 9, lastObservedTime: '2026-03-01T00:00:02.000000Z' },
    };
    const items = [event('Rebooted', '2026-03-01T00:00:01Z'), event('NodeNotReady', '', series), event('None', ''), 7];
    assert.deepEqual(
      eventsOfList({ items }).map(({ reason, count, lastNs }) => [reason, count, lastNs]),
      [
        ['Rebooted', 3, 1_772_323_201_000_000_000n],
        ['NodeNotReady', 9, 1_772_323_202_000_000_000n],
      ],
    );
  });
  test('any JSON: events or none', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (items) => {
        eventsOfList({ items });
        eventsOfList(items);
      }),
      { numRuns: 200 },
    );
  });
});

test('one request for the events of this node; a refusal is said', {
  skip: hasOpenssl ? false : 'no openssl',
}, async () => {
  await using folder = await tempDir();
  const pki = makePki(folder.path);
  let refuse = false;
  await using api = await kubeApi({
    pki,
    fault: (response, request) => {
      if (!request.url?.startsWith('/api/v1/events?')) return false;
      const refused = { kind: 'Status', code: 403, message: 'events is forbidden' };
      const list = {
        kind: 'EventList',
        metadata: {},
        items: [event('B', '2026-03-01T00:00:02Z'), event('A', '2026-03-01T00:00:01Z')],
      };
      response.writeHead(refuse ? 403 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(refuse ? refused : list));
      return true;
    },
  });
  const flag = folder.join('kubeconfig');
  await writeFile(flag, kubeconfigOf(api.url, pki.ca, pki.admin));
  const ask = () => observeNodeEvents({ flag, env: {}, hostname: 'node-1' });
  const events = await ask();
  assert.deepEqual(events.known && events.value.map((each) => each.reason), ['A', 'B']);
  assert.equal(api.asked.length, 1);
  const selector = new URL(api.asked[0] ?? '', 'https://x').searchParams.get('fieldSelector');
  assert.equal(selector, 'involvedObject.kind=Node,involvedObject.name=node-1');
  refuse = true;
  const refused = await ask();
  assert.ok(!refused.known && refused.message !== '' && refused.code === 'ERR_FORBIDDEN', JSON.stringify(refused));
});
