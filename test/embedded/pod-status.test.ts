import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kubeletVersion } from '../../src/embedded/kubelet-version.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { computePodActions, type PodStatus, phaseOf } from '../../src/embedded/pod-status.ts';
import type { Container, Sandbox } from '../../src/model/sandbox.ts';
import { job, service } from './world.ts';

const old = kubeletVersion('v1.34.9');
const recent = kubeletVersion('1.36.2');

function sandbox(attempt: number, state: Sandbox['state'], createdAtNs: bigint) {
  const named = { name: 'web', namespace: 'default', uid: 'uid-web', runtimeHandler: '', configSource: 'api' };
  const detail = { hostNetwork: false, ...(state === 'ready' ? { ip: '10.88.0.1' } : {}) };
  return { sandbox: { id: `s${attempt}`, attempt, state, createdAtNs, ...named }, detail };
}

function container(attempt: number, exitCode?: number, createdAtNs = BigInt(attempt)): Container {
  const known = { id: `c${attempt}`, sandboxId: 's0', podUid: 'uid-web', name: 'c', attempt, createdAtNs };
  if (exitCode === undefined) return { ...known, state: 'running' };
  return { ...known, state: 'exited', exit: { exitCode, reason: '', startedAtNs: 1n, finishedAtNs: 2n } };
}

const ghost = sandbox(0, 'notready', 200n);
const fresh = sandbox(1, 'ready', 100n);

test('a ghost from the future is the newest for 1.34 and not for 1.36', () => {
  const status: PodStatus = { sandboxes: [ghost, fresh], containers: [container(1)] };
  const actions = computePodActions(service('web'), status, old);
  assert.deepEqual([actions.createSandbox, actions.attempt, actions.sandboxId], [true, 1, 's0']);
  assert.equal(computePodActions(service('web'), status, recent).createSandbox, false);
});

test('a run-once pod whose container is known gets no second sandbox', () => {
  const once = job('web', 'Never', 1, 0);
  const actions = computePodActions(once, { sandboxes: [ghost], containers: [container(0, 255)] }, old);
  assert.deepEqual([actions.killPod, actions.createSandbox], [true, false]);
});

test('a run-once pod whose containers are forgotten runs a second time', () => {
  const actions = computePodActions(job('web', 'Never', 1, 0), { sandboxes: [ghost], containers: [] }, old);
  assert.deepEqual([actions.createSandbox, actions.start.length], [true, 1]);
});

test('OnFailure runs again what failed and not what succeeded', () => {
  const retried = job('web', 'OnFailure', 1, 0);
  const failed = computePodActions(retried, { sandboxes: [ghost], containers: [container(0, 255)] }, old);
  assert.deepEqual([failed.createSandbox, failed.start.length], [true, 1]);
  const succeeded = computePodActions(retried, { sandboxes: [ghost], containers: [container(0, 0)] }, old);
  assert.equal(succeeded.createSandbox, false);
});

test('two ready sandboxes are one too many', () => {
  const status = { sandboxes: [sandbox(1, 'ready', 2n), sandbox(0, 'ready', 1n)], containers: [container(0)] };
  const actions = computePodActions(service('web'), status, old);
  assert.deepEqual([actions.createSandbox, actions.attempt], [true, 2]);
});

test('a ready sandbox without an address is replaced, unless the network is the host’s', () => {
  const { sandbox: ready } = fresh;
  const without = { sandboxes: [{ sandbox: ready, detail: { hostNetwork: false } }], containers: [container(0)] };
  assert.deepEqual([computePodActions(service('web'), without, old).attempt], [2]);
  const onHost: PodSpec = { ...service('web'), hostNetwork: true };
  const host = { sandboxes: [{ sandbox: ready, detail: { hostNetwork: true } }], containers: [container(0)] };
  assert.equal(computePodActions(onHost, host, old).createSandbox, false);
  const moved = computePodActions(onHost, without, old);
  assert.deepEqual([moved.createSandbox, moved.attempt, moved.sandboxId], [true, 2, '']);
});

test('a dead container is started again by the policy', () => {
  const status = { sandboxes: [fresh], containers: [container(0, 1)] };
  assert.equal(computePodActions(service('web'), status, old).start.length, 1);
  const done = computePodActions(job('web', 'Never', 1, 1), status, old);
  assert.deepEqual([done.start.length, done.killPod], [0, true]);
});

test('phases', () => {
  const statusOf = (...containers: Container[]) => ({ sandboxes: [], containers });
  const phases = [
    phaseOf(service('web'), statusOf()),
    phaseOf(service('web'), statusOf(container(0, 0))),
    phaseOf(job('web', 'Never', 1, 0), statusOf(container(0, 0))),
    phaseOf(job('web', 'Never', 1, 0), statusOf(container(0, 3))),
    phaseOf(job('web', 'OnFailure', 1, 0), statusOf(container(0, 3))),
  ];
  assert.deepEqual(phases, ['Pending', 'Running', 'Succeeded', 'Failed', 'Running']);
});

test('a text that is no version is refused', () => {
  assert.throws(() => kubeletVersion('new'), { code: 'ERR_USAGE' });
});
