import assert from 'node:assert/strict';
import { test } from 'node:test';
import { removalStops } from '../../src/cri/removal.ts';

const of = (runtimeName: string, runtimeVersion: string) => removalStops({ runtimeName, runtimeVersion });

test('containerd from 1.6 on stops what it removes', () => {
  for (const version of ['1.6.20~ds1', 'v1.7.24', '1.10.0', '2.1.9-k3s1', 'v10.0.0']) {
    assert.equal(of('containerd', version), true, version);
  }
});

test('an older containerd, another runtime and a version that says nothing are stopped first', () => {
  for (const version of ['1.5.11', 'v1.4.4-k3s2', '0.9.9', '', 'unknown', '2', '99999.1.1']) {
    assert.equal(of('containerd', version), false, version);
  }
  assert.equal(of('cri-o', '1.34.1'), false);
});
