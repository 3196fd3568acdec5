/** Many ask for their pods at once: few listings, and none that is older than the question. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ActsUnderWay, podReader } from '../../src/cli/pod-reader.ts';
import type { CriReader } from '../../src/cri/types.ts';
import type { Clock } from '../../src/model/clock.ts';
import { limits } from '../../src/model/limits.ts';
import type { Container, Sandbox } from '../../src/model/sandbox.ts';

test('one pod is asked for by its uid', async () => {
  const runtime = simRuntime(['a', 'b']);
  const read = podReader(runtime.cri, clockOf());
  assert.deepEqual(
    (await read('a')).sandboxes.map((each) => each.id),
    ['a-0'],
  );
  assert.deepEqual((await read('gone')).sandboxes, []);
  assert.deepEqual(runtime.filters, ['a', 'gone']);
});

test('who asks together shares one listing, and gets his own pod', async () => {
  const runtime = simRuntime(['a', 'b', 'c']);
  const read = podReader(runtime.cri, clockOf());
  const [a, b, none] = await Promise.all([read('a'), read('b'), read('x')]);
  assert.deepEqual(runtime.filters, ['all']);
  assert.deepEqual(
    [a?.sandboxes, b?.sandboxes, none?.sandboxes].map((each) => each?.map(({ id }) => id)),
    [['a-0'], ['b-0'], []],
  );
  assert.deepEqual(
    b?.containers.map((each) => each.id),
    ['c-b'],
  );
});

test('a listing that is under way does not answer who asks meanwhile', async () => {
  const runtime = simRuntime(['a']);
  const read = podReader(runtime.cri, clockOf());
  let late: Promise<{ readonly sandboxes: readonly Sandbox[] }> | undefined;
  runtime.during = () => {
    late ??= read('a');
  };
  const first = await read('a');
  runtime.uids = [];
  assert.equal(first.sandboxes.length, 1);
  assert.equal((await late)?.sandboxes.length, 0, 'it was removed after the first listing');
});

test('a listing that fails is an error for all who waited, and the next one is asked anew', async () => {
  const runtime = simRuntime(['a']);
  const read = podReader(runtime.cri, clockOf());
  runtime.during = () => {
    throw new Error('hung');
  };
  const both = await Promise.allSettled([read('a'), read('b')]);
  assert.deepEqual(
    both.map((each) => each.status),
    ['rejected', 'rejected'],
  );
  runtime.during = () => undefined;
  assert.equal((await read('a')).sandboxes.length, 1);
});

test('while the runtime acts, who asks soon after a listing waits, so that others can share the next one', async () => {
  const runtime = simRuntime(['a', 'b', 'c']);
  const clock = clockOf();
  const acts = new ActsUnderWay();
  const read = podReader(runtime.cri, clock, acts);
  await acts.during(async () => {
    await read('a');
    assert.deepEqual(clock.sleptMs, [], 'the first one does not wait');
    clock.passMs(15);
    await Promise.all([read('b'), read('c')]);
    assert.deepEqual(clock.sleptMs, [limits.listingGapMs - 15]);
    clock.passMs(limits.listingGapMs);
    await read('a');
    assert.equal(clock.sleptMs.length, 1, 'nor one that comes later');
    assert.deepEqual(runtime.filters, ['a', 'all', 'a']);
  });
});

test('nobody waits for others when no act is under way, or once the last one has ended', async () => {
  const runtime = simRuntime(['a', 'b']);
  const clock = { ...clockOf(), sleep: () => new Promise<void>(() => {}) };
  const acts = new ActsUnderWay();
  const read = podReader(runtime.cri, clock, acts);
  await read('a');
  await read('b');
  const act = Promise.withResolvers<void>();
  const acting = acts.during(() => act.promise);
  const asked = read('a');
  act.resolve();
  assert.equal((await asked).sandboxes.length, 1);
  await acting;
  assert.deepEqual(runtime.filters, ['a', 'b', 'a']);
});

/** A clock that goes on by sleeping and by `passMs`. */
function clockOf(): Clock & { readonly sleptMs: number[]; passMs(ms: number): void } {
  let uptimeNs = 0n;
  const sleptMs: number[] = [];
  const passMs = (ms: number) => {
    uptimeNs += BigInt(ms) * 1_000_000n;
  };
  return {
    sleptMs,
    passMs,
    wallNs: () => uptimeNs,
    uptimeNs: () => uptimeNs,
    sleep: async (ms) => {
      sleptMs.push(ms);
      passMs(ms);
    },
  };
}

function simRuntime(uids: string[]) {
  const runtime = { uids, filters: [] as string[], during: (): void => undefined, cri: {} as CriReader };
  const base = { namespace: 'default', attempt: 0, createdAtNs: 0n, runtimeHandler: '', configSource: 'api' } as const;
  const wanted = (filter?: { podUid?: string }) =>
    runtime.uids.filter((uid) => filter?.podUid === undefined || uid === filter.podUid);
  const listSandboxes = async (filter?: { podUid?: string }): Promise<Sandbox[]> => {
    runtime.filters.push(filter?.podUid ?? 'all');
    runtime.during();
    return wanted(filter).map((uid) => ({ ...base, id: `${uid}-0`, name: uid, uid, state: 'notready' }));
  };
  const listContainers = async (filter?: { podUid?: string }): Promise<Container[]> =>
    wanted(filter).map((uid) => ({
      ...{ id: `c-${uid}`, sandboxId: `${uid}-0`, podUid: uid, name: 'app', attempt: 0 },
      ...{ state: 'exited', createdAtNs: 0n },
    }));
  Object.assign(runtime.cri, { listSandboxes, listContainers });
  return runtime;
}
