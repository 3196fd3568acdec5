import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConnectError } from '@connectrpc/connect';
import { zeroTimeNs } from '../../src/embedded/daemon.ts';
import { flavours } from '../../src/embedded/flavour.ts';
import { isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import { newWorld, spec, startNs } from './world.ts';

const image = 'x';
const command = ['sleep', '1000000'];

for (const flavour of Object.values(flavours)) {
  describe(`containerd ${flavour.name}`, () => {
    test('while it recovers, every call is refused with the version’s code', async () => {
      const { starting, cri, clock } = newWorld(flavour.name);
      const started = starting();
      for (const call of [() => cri.version(), () => cri.listSandboxes(), () => cri.removeSandbox('a'.repeat(64))]) {
        const error = await call().catch((caught: unknown) => caught);
        assert.ok(isSandwardenError(error, 'ERR_RUNTIME_NOT_READY'));
        const cause = error.cause instanceof ConnectError ? error.cause.message : '';
        const words = {
          '1.6': '[unknown] server is not initialized yet',
          '1.7': '[unknown] server is not initialized yet',
          '2.1': '[unavailable] server is not initialized yet: unavailable',
        };
        assert.equal(cause, words[flavour.name]);
      }
      assert.deepEqual(await clock.drive(started), { ok: true });
      assert.equal((await cri.version()).runtimeVersion, flavour.version);
    });

    test('a sandbox is dated before its network is made, and listed when all is done', async () => {
      const { start, cri, clock, machine } = newWorld(flavour.name);
      await start();
      const before = clock.wallNs();
      const running = cri.runSandbox(spec);
      assert.deepEqual(await cri.listSandboxes(), []);
      const id = await running;
      const [listed] = await cri.listSandboxes({ podUid: 'u1' });
      assert.equal(listed?.id, id);
      assert.equal(listed?.state, 'ready');
      assert.ok(listed !== undefined && listed.createdAtNs > before && listed.createdAtNs < clock.wallNs());
      assert.deepEqual(await cri.listSandboxes({ podUid: 'other' }), []);
      const { detail } = await cri.sandboxStatus(id);
      assert.equal(detail.processStatus, 'running');
      assert.equal(detail.pid, machine.tasks.get(id)?.pid);
      assert.equal(detail.netNamespaceClosed, false);
      assert.match(detail.ip ?? '', /^10\.88\./);
    });

    test('a call that dies with the daemon ends as a lost connection', async () => {
      const { start, cri, kill, machine } = newWorld(flavour.name);
      await start();
      machine.cni.add = 'hold';
      const running = cri.runSandbox(spec).catch((error: unknown) => error);
      await cri.version();
      kill();
      const error = await running;
      assert.ok(error instanceof SandwardenError);
      assert.match(error.message, /the connection was lost/);
      await assert.rejects(cri.version(), { code: 'ERR_SOCKET_REFUSED' });
    });

    test('a container that was running when the power went comes back with 255 and Unknown', async () => {
      const { start, cri, powerCut, clock } = newWorld(flavour.name);
      await start();
      const sandboxId = await cri.runSandbox(spec);
      const container = { sandboxId, sandbox: spec, name: 'c', attempt: 3, image };
      const id = await cri.createContainer({ ...container, command });
      await cri.startContainer(id);
      const short = await cri.createContainer({
        ...container,
        name: 'short',
        command: ['sh', '-c', 'sleep 1; exit 3'],
      });
      await cri.startContainer(short);
      await clock.run(1_500);
      powerCut();
      clock.step(-3_600_000);
      await start();
      const { state, exit, attempt } = await cri.containerStatus(id);
      assert.deepEqual([state, exit?.exitCode, exit?.reason, attempt], ['exited', 255, 'Unknown', 3]);
      assert.ok(exit !== undefined && exit.finishedAtNs < exit.startedAtNs, 'it ended, by the wall, before it began');
      assert.equal((await cri.containerStatus(short)).exit?.exitCode, 3);
    });

    test('a process that ends while the daemon is down is found ended', async () => {
      const { start, cri, kill, clock } = newWorld(flavour.name);
      await start();
      const sandboxId = await cri.runSandbox(spec);
      const ends = ['sh', '-c', 'sleep 5; exit 9'];
      const id = await cri.createContainer({ sandboxId, sandbox: spec, name: 'c', attempt: 0, image, command: ends });
      await cri.startContainer(id);
      kill();
      await clock.run(10_000);
      await start();
      assert.equal((await cri.containerStatus(id)).exit?.exitCode, 9);
      assert.equal((await cri.sandboxStatus(sandboxId)).sandbox.state, 'ready');
    });

    test('what it logs of a call is what the real one logs', async () => {
      const { start, cri, lines } = newWorld(flavour.name);
      await start();
      const id = await cri.runSandbox(spec);
      await cri.runSandbox(spec).catch(() => {});
      await cri.removeSandbox(id);
      const said = lines.map((line) => /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? '');
      const metadata = '&PodSandboxMetadata{Name:web,Uid:u1,Namespace:default,Attempt:0,}';
      assert.deepEqual(said.slice(3), [
        `RunPodSandbox for ${metadata}`,
        `RunPodSandbox for ${metadata} returns sandbox id \\"${id}\\"`,
        `RunPodSandbox for ${metadata}`,
        `RunPodSandbox for ${metadata} failed, error`,
        `RemovePodSandbox for \\"${id}\\"`,
        `Forcibly stopping sandbox \\"${id}\\"`,
        `TearDown network for sandbox \\"${id}\\" successfully`,
        `RemovePodSandbox \\"${id}\\" returns successfully`,
      ]);
      assert.match(lines[0] ?? '', /^time="2026-01-01T00:00:00\.000000000Z" level=info msg="starting containerd"/);
    });
  });
}

test('1.6 lists a half-created sandbox with Go’s zero time until the next start', async () => {
  const { start, cri, machine, kill } = newWorld('1.6');
  await start();
  machine.cni.add = 'fail';
  machine.cni.del = 'fail';
  await assert.rejects(cri.runSandbox(spec), /failed to setup network for sandbox/);
  assert.equal((await cri.listSandboxes())[0]?.createdAtNs, zeroTimeNs);
  kill();
  await start();
  const [again] = await cri.listSandboxes();
  assert.ok(again !== undefined && again.createdAtNs >= startNs);
});

test('2.1 recovers what only its sandbox store knows without a date, and does not reserve its name', async () => {
  const { start, cri, machine, powerCut } = newWorld('2.1');
  await start();
  machine.cni.add = 'hold';
  const running = cri.runSandbox(spec).catch((error: unknown) => error);
  await cri.version();
  // The record is committed before the plugin is called.
  while (machine.cni.calls.length === 0) await cri.version().then(() => machine.clock.run(10));
  powerCut();
  await running;
  machine.cni.add = 'ok';
  await start();
  assert.deepEqual(
    (await cri.listSandboxes()).map((each) => [each.state, each.createdAtNs]),
    [['notready', zeroTimeNs]],
  );
  await cri.runSandbox(spec);
});

test('events tell what becomes of sandboxes and containers; 1.6 has none', async () => {
  const { start, cri } = newWorld('1.7');
  await start();
  const seen: string[] = [];
  const stop = new AbortController();
  const listening = (async () => {
    for await (const { type, id } of cri.events(stop.signal)) seen.push(`${type} ${id}`);
  })();
  const id = await cri.runSandbox(spec);
  await cri.removeSandbox(id);
  await cri.version();
  stop.abort();
  await listening;
  assert.deepEqual(seen, [`created ${id}`, `started ${id}`, `stopped ${id}`, `deleted ${id}`]);
  const old = newWorld('1.6');
  await old.start();
  await assert.rejects(old.cri.events(stop.signal)[Symbol.asyncIterator]().next(), { code: 'ERR_CRI_UNIMPLEMENTED' });
});

test('RuntimeConfig is there from 2.x on', async () => {
  for (const [flavour, driver] of [
    ['1.6', undefined],
    ['1.7', undefined],
    ['2.1', 'systemd'],
  ] as const) {
    const { start, cri } = newWorld(flavour);
    await start();
    assert.equal(await cri.cgroupDriver(), driver);
  }
});

test('Status tells a network without configuration', async () => {
  const { start, cri, machine } = newWorld('1.7');
  await start();
  machine.disk.conflist = false;
  const { conditions, info } = await cri.status();
  const network = conditions.find((each) => each.type === 'NetworkReady');
  assert.deepEqual([network?.status, network?.reason], [false, 'NetworkPluginNotReady']);
  assert.match(info.lastCNILoadStatus ?? '', /no network config found/);
  const config: unknown = JSON.parse(info.config ?? '');
  assert.deepEqual((config as { cni: unknown }).cni, {
    binDir: '/opt/cni/bin',
    confDir: '/etc/cni/net.d',
    maxConfNum: 1,
  });
});
