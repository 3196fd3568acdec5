import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeletLogReader } from '../../../src/observe/kubelet-log.ts';

const nowNs = 1_795_284_081_000_000_000n;
const at = { wallNs: nowNs, bootId: 'b', monotonicUs: 1n };

function read(...lines: string[]) {
  const reader = new KubeletLogReader(nowNs);
  for (const text of lines) reader.add({ text, at });
  return reader.result(false);
}

test('a plugin that kubelet cannot register, in its own words and in those of goroutinemap', () => {
  const socket = '/var/lib/kubelet/plugins_registry/driver.longhorn.io-reg.sock';
  const words = `RegisterPlugin error -- dial failed at socket ${socket}, err: failed to dial socket ${socket}, err: context deadline exceeded`;
  const { registrationFailed } = read(
    `E1121 19:41:02.000000     367 goroutinemap.go:150] Operation for "${socket}" failed. No retries permitted until 2026-11-21 19:43:04 (durationBeforeRetry 2m2s). Error: ${words}`,
    `E1121 19:41:02.000100     367 operation_generator.go:134] "OperationExecutor.RegisterPlugin failed" err="${words}"`,
  );
  assert.deepEqual(
    registrationFailed?.map((each) => [each.socket, each.error.slice(0, 21), each.count]),
    [[socket, 'failed to dial socket', 1]],
  );
});

test('a volume of CSI that does not come, with its driver and its pod', () => {
  const unique = '(UniqueName: \\"kubernetes.io/csi/driver.longhorn.io^pvc-1\\") pod \\"db-0\\" (UID: \\"6f1c-1\\")';
  const { volumeFailed } = read(
    `E1121 19:41:02.000000     367 nestedpendingoperations.go:348] "Operation failed" err="MountVolume.MountDevice failed for volume \\"pvc-1\\" ${unique} : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name driver.longhorn.io not found in the list of registered CSI drivers"`,
    'E1121 19:41:02.000000     367 nestedpendingoperations.go:348] Operation for "{volumeName:kubernetes.io/csi/driver.longhorn.io^pvc-2 podName: nodeName:}" failed. Error: Volume not attached according to node status for volume "pvc-2" (UniqueName: "kubernetes.io/csi/driver.longhorn.io^pvc-2") pod "db-1" (UID: "6f1c-2")',
  );
  assert.deepEqual(
    volumeFailed?.map((each) => [each.driver, each.podName, each.podUid]),
    [
      ['driver.longhorn.io', 'db-0', '6f1c-1'],
      ['driver.longhorn.io', 'db-1', '6f1c-2'],
    ],
  );
  assert.match(volumeFailed?.[0]?.error ?? '', /not found in the list of registered CSI drivers/);
  // Here the words stand before the volume.
  assert.equal(volumeFailed?.[1]?.error, 'Volume not attached according to node status');
});

test('kubelet 1.20, which puts the whole error in quotes: as a real one wrote it', () => {
  const socket = '/var/lib/kubelet/plugins_registry/lab.csi.example-reg.sock';
  const unique =
    '(UniqueName: \\"kubernetes.io/csi/lab.csi.example^vol-1\\") pod \\"db-0\\" (UID: \\"7e3cc1ce-106b\\")';
  const { registrationFailed, volumeFailed } = read(
    `E1121 19:40:37.437891      17 goroutinemap.go:150] Operation for "${socket}" failed. No retries permitted until 2026-11-21 19:40:53 (durationBeforeRetry 16s). Error: "RegisterPlugin error -- failed to get plugin info using RPC GetInfo at socket ${socket}, err: rpc error: code = Internal desc = stream terminated by RST_STREAM with error code: PROTOCOL_ERROR"`,
    `E1121 19:41:02.057571      17 nestedpendingoperations.go:301] Operation for "{volumeName:kubernetes.io/csi/lab.csi.example^vol-1 podName: nodeName:}" failed. No retries permitted until 2026-11-21 19:42:11 (durationBeforeRetry 1m4s). Error: "MountVolume.MountDevice failed for volume \\"pv1\\" ${unique} : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name lab.csi.example not found in the list of registered CSI drivers"`,
  );
  assert.match(registrationFailed?.[0]?.error ?? '', /^rpc error: code = Internal .* code: PROTOCOL_ERROR$/);
  assert.match(volumeFailed?.[0]?.error ?? '', /the list of registered CSI drivers$/);
  assert.deepEqual([volumeFailed?.[0]?.podName, volumeFailed?.[0]?.podUid], ['db-0', '7e3cc1ce-106b']);
});

test('what is only logged for information tells of no failure', () => {
  const line =
    'I1121 19:41:02.000000     367 x.go:1] RegisterPlugin error -- dial failed at socket /a-reg.sock, err: x';
  assert.deepEqual(read(line).registrationFailed, []);
});
