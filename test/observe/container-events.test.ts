// Goal: CRI's events are asked for where that takes them from nobody, end with the look, and never hold it up.
// Method: a runtime that is scripted, and the embedded one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CriEvent, CriVersion } from '../../src/cri/types.ts';
import { embeddedRig } from '../../src/embedded/embedded-rig.ts';
import { SandwardenError } from '../../src/model/errors.ts';
import { limits } from '../../src/model/limits.ts';
import { known, type Observed, unknown } from '../../src/model/observed.ts';
import { readContainerEvents, tellsAll } from '../../src/observe/container-events.ts';

const minuteNs = 60_000_000_000n;
const versionOf = (runtimeVersion: string, runtimeName = 'containerd'): CriVersion => ({
  runtimeName,
  runtimeVersion,
  runtimeApiVersion: 'v1',
});
const v21: Promise<Observed<CriVersion>> = Promise.resolve(known(versionOf('2.1.9')));
const over = Promise.resolve();

function created(attempt: number, atNs: bigint, name = 'app'): CriEvent {
  return { id: `c${attempt}`, type: 'created', atNs, container: { name, attempt, sandboxId: 's' } };
}

/** Sends these, and then nothing more until it is ended. */
function sends(...list: readonly CriEvent[]) {
  return {
    events: async function* (signal: AbortSignal) {
      yield* list;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  };
}

test('creations are counted by container, with the newest attempt; other events are not', async () => {
  const { container, ...ofSandbox } = created(0, 0n);
  const list = [ofSandbox, created(4, minuteNs), { ...created(4, minuteNs), type: 'stopped' as const }];
  const answer = await readContainerEvents(sends(...list, created(5, 3n * minuteNs)), v21, over);
  const span = { count: 2, first: { wallNs: minuteNs }, last: { wallNs: 3n * minuteNs } };
  assert.deepEqual(answer, known({ creations: [{ sandboxId: 's', container: 'app', attempt: 5, ...span }] }));
});

test('who would take events from another listener does not ask', async () => {
  const asked = () => assert.fail('it was asked');
  for (const version of [
    known(versionOf('1.7.24')),
    known(versionOf('1.31.0', 'cri-o')),
    unknown('ERR_CRI_FAILED', ''),
  ])
    assert.equal(await readContainerEvents({ events: asked }, Promise.resolve(version), over), undefined);
  const [yes, no] = [
    ['2.0.0', 'v2.1.9', '10.0.1', '2.1.9+unknown'],
    ['1.6.20~ds1', '', '1.2.3', '20'],
  ];
  assert.deepEqual(
    [...yes, ...no].filter((each) => tellsAll(versionOf(each))),
    yes,
  );
});

test('a runtime that tells nothing, tells without end, or breaks off holds nobody up', async () => {
  assert.deepEqual(await readContainerEvents(sends(), v21, over), known({ creations: [] }));
  const endless = async function* () {
    for (let attempt = 0; ; attempt++) yield created(attempt, BigInt(attempt) * minuteNs);
  };
  const answer = await readContainerEvents({ events: endless }, v21, new Promise(() => {}));
  assert.ok(answer?.known && answer.value.creations[0]?.count === limits.containerEvents);
  const broken = () => {
    throw new SandwardenError('ERR_SOCKET_REFUSED', 'it hung up', { hint: 'look' });
  };
  const gone = await readContainerEvents({ events: broken }, v21, new Promise(() => {}));
  assert.deepEqual(gone, unknown('ERR_SOCKET_REFUSED', 'it hung up', 'look'));
});

test('what an embedded containerd kept of the last minutes, over its socket', async () => {
  const rig = await embeddedRig('2.1');
  await rig.start();
  try {
    const sandbox = { name: 'web', namespace: 'default', uid: '6f1c0000-0000-4000-8000-000000000001', attempt: 0 };
    const sandboxId = await rig.cri.runSandbox(sandbox);
    const spec = {
      sandboxId,
      sandbox,
      name: 'app',
      image: 'sandwarden.test/workload:1',
      command: ['sleep', '1000000'],
    };
    await rig.cri.createContainer({ ...spec, attempt: 7 });
    const answer = await readContainerEvents(rig.cri, v21, over);
    assert.ok(answer?.known);
    assert.deepEqual(
      answer.value.creations.map(({ first, last, ...each }) => each),
      [{ sandboxId, container: 'app', attempt: 7, count: 1 }],
    );
  } finally {
    await rig.close();
  }
});
