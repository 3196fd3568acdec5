// Goal: of kubelet's log, exactly the stops that nothing explains count. Method: its lines, in orders that mean
// different things.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeletLogReader } from '../../src/observe/kubelet-log.ts';

const bootId = 'b'.repeat(32);
const changed = '"No ready sandbox for pod can be found. Need to start a new one" pod="default/web"';
const killed =
  '"Killing container with a grace period" pod="default/web" podUID="u1" containerName="c" containerID="containerd://0a" gracePeriod=2';

/** Reads lines that were written at these seconds of the boot. */
function read(...lines: [second: number, message: string][]) {
  const reader = new KubeletLogReader(1_795_000_000_000_000_000n);
  for (const [second, message] of lines) {
    const ns = BigInt(Math.round(second * 1_000)) * 1_000_000n;
    const at = { wallNs: 1_794_000_000_000_000_000n + ns, bootId, monotonicUs: ns / 1_000n };
    reader.add({ text: `I1121 20:03:07.098157     376 x.go:9] ${message}`, at });
  }
  const { sandboxChanges = [], unaskedStops = [] } = reader.result(false);
  return {
    changes: sandboxChanges.map((each) => [`${each.pod.namespace}/${each.pod.name}`, each.branch, each.count]),
    stops: unaskedStops.map((each) => [`${each.pod.namespace}/${each.pod.name}`, each.podUid, each.count]),
  };
}

test('stopped, then no ready sandbox: the branch that kubelet does not log; twice is twice', () => {
  const { stops, changes } = read([10, killed], [13, changed], [13.01, changed], [80, killed], [84, changed]);
  assert.deepEqual(stops, [['default/web', 'u1', 2]]);
  assert.deepEqual(changes, [['default/web', 'newest-not-ready', 2]]);
});

test('what explains a stop', () => {
  const none: unknown[] = [];
  assert.deepEqual(read([10, changed], [10.1, killed], [13, changed]).stops, none, 'the sandbox was gone first');
  const probe =
    '"Message for Container of pod" containerName="c" pod="default/web" containerMessage="Container c failed"';
  assert.deepEqual(read([10, probe], [10, killed], [13, changed]).stops, none, 'a probe');
  assert.deepEqual(read([10, killed], [60, changed]).stops, none, 'the sandbox went much later');
  const deleted = '"SyncLoop DELETE" source="api" pods=["default/web"]';
  assert.deepEqual(read([9, deleted], [10, killed], [13, changed]).stops, none, 'a deletion');
  assert.deepEqual(read([10, killed], [11, deleted], [13, changed]).stops, none, 'a deletion told late');
  const old = '"SyncLoop DELETE" source="api" pods=[default/be default/web]';
  assert.deepEqual(read([9, old], [10, killed], [13, changed]).stops, none, 'a deletion as older versions write it');
  const evicted = '"Eviction manager: pod is evicted successfully" pod="default/web"';
  assert.deepEqual(read([10, killed], [12, evicted], [13, changed]).stops, none, 'an eviction');
});

test('a pod that came back under its name counts again', () => {
  const gone = '"SyncLoop REMOVE" source="api" pods=["default/web"]';
  const back = '"SyncLoop ADD" source="api" pods=["default/web"]';
  assert.equal(read([1, gone], [2, back], [10, killed], [13, changed]).stops.length, 1);
});

test('every branch, in the words of new and old versions', () => {
  const { changes } = read(
    [1, '"No sandbox for pod can be found. Need to start a new one" pod="a/one"'],
    [2, '"Multiple sandboxes are ready for Pod. Need to reconcile them" pod="a/two"'],
    [3, '"Sandbox for pod has changed. Need to start a new one" pod="a/three"'],
    [4, '"Sandbox for pod has no IP address. Need to start a new one" pod="a/four"'],
    [5, 'No ready sandbox for pod "five_a(0a1b)" can be found. Need to start a new one'],
  );
  assert.deepEqual(changes, [
    ['a/one', 'none', 1],
    ['a/two', 'several-ready', 1],
    ['a/three', 'network-mode', 1],
    ['a/four', 'no-address', 1],
    ['a/five', 'newest-not-ready', 1],
  ]);
});
