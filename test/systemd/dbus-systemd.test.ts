// Goal: systemd is asked as it expects, within its deadlines, and every way in which the bus or systemd fails is told
// as what it is. Method: a real dbus-daemon with a Manager that the test plays; sockets that are no bus.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { scopeScript } from '../../src/cli/render/anchor-text.ts';
import type { ErrorCode } from '../../src/model/errors.ts';
import { systemdOverDBus } from '../../src/systemd/dbus-systemd.ts';
import { apart } from '../cli/spawn.ts';
import { busService } from '../helpers/bus-service.ts';
import { dbusDaemon, withoutBus } from '../helpers/dbus-daemon.ts';
import { fakeSystemd } from '../helpers/fake-systemd.ts';
import { tempDir } from '../helpers/temp.ts';

const MANAGER = { path: '/org/freedesktop/systemd1', interface: 'org.freedesktop.systemd1.Manager' };
const scope = {
  name: 'sandwarden-anchor-x.scope',
  slice: 'kubepods-burstable.slice',
  description: 'sandwarden anchor: pod default/vm',
  command: ['/bin/sleep', '2147483647'] as const,
};

describe('over a real bus', { skip: withoutBus }, () => {
  let daemon: Awaited<ReturnType<typeof dbusDaemon>>;
  before(async () => {
    daemon = await dbusDaemon();
  });
  after(() => daemon[Symbol.asyncDispose]());
  const open = (timeouts = {}) => systemdOverDBus(daemon.socket, timeouts);

  test('a scope: the process runs, and is named with the right properties', async () => {
    await using systemd = await fakeSystemd(daemon.socket);
    await using bus = await open();
    assert.equal(bus.release, 252);
    await bus.startScope(scope);
    const [name, mode, properties, aux] = systemd.calls.at(-1)?.body ?? [];
    assert.deepEqual([name, mode, aux], [scope.name, 'fail', []]);
    const given = new Map(properties as [string, { signature: string; value: unknown }][]);
    const pid = pidOf(properties);
    try {
      assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' '), /sleep 2147483647/);
      assert.equal(readFileSync(`/proc/${pid}/environ`, 'utf8'), '');
      assert.deepEqual(given.get('Delegate'), { signature: 'b', value: true });
      assert.deepEqual(given.get('Slice'), { signature: 's', value: scope.slice });
      assert.deepEqual(given.get('DefaultDependencies'), { signature: 'b', value: false });
    } finally {
      process.kill(pid, 'SIGKILL');
    }
  });

  for (const signal of ['before', 'after'] as const) {
    test(`a job whose signal comes ${signal} the answer`, async () => {
      await using _systemd = await fakeSystemd(daemon.socket, { signal });
      await using bus = await open();
      await bus.startUnit('a.service');
      await bus.stopUnit('a.service');
    });
  }

  test('a job that fails: told, and the process of the scope is gone', async () => {
    await using systemd = await fakeSystemd(daemon.socket, { result: 'dependency' });
    await using bus = await open();
    await assert.rejects(bus.startScope(scope), { code: 'ERR_SYSTEMD_FAILED', message: /'dependency'/ });
    await gone(pidOf(systemd.calls.at(-1)?.body?.[2]));
  });

  test('a job that never ends, an answer that never comes: each its deadline', async () => {
    await using _systemd = await fakeSystemd(daemon.socket, {
      signal: 'never',
      answers: { Reload: () => undefined as never, SetUnitProperties: () => new Promise(() => undefined) },
    });
    await using bus = await open({ callMs: 150, jobMs: 150 });
    await assert.rejects(bus.startUnit('a.service'), { code: 'ERR_SYSTEMD_UNREACHABLE', message: /within 0.15 s/ });
    await assert.rejects(bus.setProperties('a.slice', [], false), { code: 'ERR_SYSTEMD_UNREACHABLE' });
  });

  test("a stranger's signal about our job changes nothing", async () => {
    await using stranger = await busService(daemon.socket, undefined, () => undefined);
    await using _systemd = await fakeSystemd(daemon.socket, {
      answers: {
        StartUnit: async (call, service) => {
          const job = `${MANAGER.path}/job/77`;
          const removed = { ...MANAGER, member: 'JobRemoved', signature: 'uoss' };
          const body = (result: string) => [77, job, 'a.service', result];
          stranger.signal({ ...removed, body: body('done'), destination: call.sender ?? '' });
          // The bus has it, and hands it on before whatever comes later.
          await stranger.flush();
          setImmediate(() => service.signal({ ...removed, body: body('failed') }));
          return { signature: 'o', body: [job] };
        },
      },
    });
    await using bus = await open();
    await assert.rejects(bus.startUnit('a.service'), { code: 'ERR_SYSTEMD_FAILED', message: /'failed'/ });
  });

  test('what systemd says of a unit; one that it does not know', async () => {
    const v = (signature: string, value: never) => ({ signature, value });
    const unit = [
      ['Id', v('s', 'a.scope' as never)],
      ['ActiveState', v('s', 'active' as never)],
      ['Transient', v('b', true as never)],
      ['After', v('as', ['b.slice', 'c.slice'] as never)],
      ['ActiveEnterTimestampMonotonic', v('t', 123_456_789_012_345n as never)],
    ];
    const own = [
      ['Slice', v('s', 'b.slice' as never)],
      ['Delegate', v('b', true as never)],
      ['AllowedCPUs', v('ay', Uint8Array.of(0b101, 1) as never)],
      ['MemoryCurrent', v('t', 0xffff_ffff_ffff_ffffn as never)],
      ['NewInSystemd999', v('a(sv)', [] as never)],
    ];
    const units = {
      'a.scope': { 'org.freedesktop.systemd1.Unit': unit, 'org.freedesktop.systemd1.Scope': own },
    };
    await using _systemd = await fakeSystemd(daemon.socket, { units: units as never });
    await using bus = await open();
    const state = await bus.unit('a.scope');
    assert.ok(state);
    assert.deepEqual(
      [state.id, state.activeState, state.transient, state.after, state.activeSinceUs, state.slice, state.delegate],
      ['a.scope', 'active', true, ['b.slice', 'c.slice'], 123_456_789_012_345n, 'b.slice', true],
    );
    assert.deepEqual([state.allowedCpus, state.memoryBytes], [[0, 2, 8], undefined]);
    assert.equal(await bus.unit('b.scope'), undefined);
    assert.deepEqual(await bus.unitNames(['a*']), ['a.scope']);
  });

  test('in a pid namespace of its own: nothing is moved, it would be a stranger', {
    skip: apart === undefined,
  }, async () => {
    await using systemd = await fakeSystemd(daemon.socket);
    const module = resolve(import.meta.dirname, '../../src/systemd/dbus-systemd.ts');
    const script = `import { systemdOverDBus } from ${JSON.stringify(module)};
      const bus = await systemdOverDBus(${JSON.stringify(daemon.socket)});
      const moved = bus.startScope(${JSON.stringify(scope)});
      await moved.then(() => console.log('moved'), (error) => console.log(error.code));
      await bus[Symbol.asyncDispose]();`;
    const [program = '', ...words] = [...(apart ?? []), process.execPath, '--input-type=module', '--eval', script];
    const { stdout } = await promisify(execFile)(program, words);
    assert.equal(stdout, 'ERR_NOT_SUPPORTED\n');
    assert.ok(!systemd.calls.some((each) => each.member === 'StartTransientUnit'));
  });

  test('hostile names never reach systemd', async () => {
    await using systemd = await fakeSystemd(daemon.socket);
    await using bus = await open();
    const before = systemd.calls.length;
    for (const name of ['', '-x.service', 'a b.scope', 'a\n.scope', '../a.slice', 'a', `${'a'.repeat(260)}.slice`]) {
      await assert.rejects(bus.unit(name), { code: 'ERR_USAGE' }, name);
      await assert.rejects(bus.stopUnit(name), { code: 'ERR_USAGE' }, name);
      await assert.rejects(bus.startScope({ ...scope, slice: name }), { code: 'ERR_USAGE' }, name);
    }
    assert.equal(systemd.calls.length, before);
  });

  test('an old systemd is told as it is', async () => {
    for (const [version, release] of [
      ['v219', 219],
      ['243', 243],
      ['257.9-1~deb13u1', 257],
      ['258~rc1', 258],
    ] as const) {
      await using _systemd = await fakeSystemd(daemon.socket, { version });
      await using bus = await open();
      assert.equal(bus.release, release);
    }
    await using _odd = await fakeSystemd(daemon.socket, { version: '\u001b[2J' });
    await assert.rejects(open(), { code: 'ERR_SYSTEMD_FAILED' });
  });

  test('errors of systemd and of the bus', async () => {
    const answers = (error: string) => ({ StopUnit: () => ({ error, says: 'because\u001b[31m' }) });
    const expected: readonly (readonly [string, ErrorCode | undefined])[] = [
      ['org.freedesktop.systemd1.NoSuchUnit', undefined],
      ['org.freedesktop.DBus.Error.AccessDenied', 'ERR_FORBIDDEN'],
      ['org.freedesktop.DBus.Error.InteractiveAuthorizationRequired', 'ERR_FORBIDDEN'],
      ['org.freedesktop.DBus.Error.NoReply', 'ERR_SYSTEMD_UNREACHABLE'],
      ['org.freedesktop.systemd1.UnitMasked', 'ERR_SYSTEMD_FAILED'],
    ];
    for (const [error, code] of expected) {
      await using _systemd = await fakeSystemd(daemon.socket, { answers: answers(error) });
      await using bus = await open();
      if (code === undefined) await bus.stopUnit('a.service');
      else await assert.rejects(bus.stopUnit('a.service'), { code, message: /^[\x20-\x7e]*$/ });
    }
    await assert.rejects(open(), { code: 'ERR_SYSTEMD_UNREACHABLE', message: /systemd is not on the system bus/ });
  });

  test('the script of --dry-run makes the call that we make', async () => {
    await using folder = await tempDir();
    await using systemd = await fakeSystemd(daemon.socket);
    await using bus = await open();
    await bus.startScope(scope);
    const script = scopeScript({ ...scope, command: ['/bin/sleep', '0'] });
    const env = { PATH: process.env.PATH, HOME: folder.path, DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${daemon.socket}` };
    await promisify(execFile)('sh', ['-c', script], { env });
    const calls = systemd.calls.filter((each) => each.member === 'StartTransientUnit').map((each) => each.body ?? []);
    const [ours, theirs] = calls;
    process.kill(pidOf(ours?.[2]), 'SIGKILL');
    assert.deepEqual(calls.length, 2);
    assert.deepEqual(withoutPid(theirs), withoutPid(ours));
  });
});

describe('a bus that fails', { skip: withoutBus }, () => {
  test('the policy of the bus denies it', async () => {
    await using daemon = await dbusDaemon(`<deny send_interface="${MANAGER.interface}" send_member="StopUnit"/>`);
    await using _systemd = await fakeSystemd(daemon.socket);
    await using bus = await systemdOverDBus(daemon.socket);
    await assert.rejects(bus.stopUnit('a.service'), { code: 'ERR_FORBIDDEN' });
  });

  test('gone in the middle of a call, and after it', async () => {
    await using daemon = await dbusDaemon();
    await using systemd = await fakeSystemd(daemon.socket, {
      answers: {
        StopUnit: () => {
          daemon.kill();
          return new Promise(() => undefined);
        },
      },
    });
    await using bus = await systemdOverDBus(daemon.socket);
    const lost = { code: 'ERR_SYSTEMD_UNREACHABLE', message: /was lost/ };
    await assert.rejects(bus.stopUnit('a.service'), lost);
    await assert.rejects(bus.reload(), lost);
    systemd.close();
  });

  test('gone while a job is waited for', async () => {
    await using daemon = await dbusDaemon();
    await using _systemd = await fakeSystemd(daemon.socket, {
      signal: 'never',
      answers: {
        StartUnit: () => {
          setImmediate(() => daemon.kill());
          return { signature: 'o', body: ['/org/freedesktop/systemd1/job/1'] };
        },
      },
    });
    await using bus = await systemdOverDBus(daemon.socket);
    await assert.rejects(bus.startUnit('a.service'), { code: 'ERR_SYSTEMD_UNREACHABLE', message: /was lost/ });
  });

  const servers: readonly (readonly [string, (socket: Socket) => void, RegExp])[] = [
    ['says nothing', () => undefined, /does not answer/],
    ['hangs up', (socket) => socket.destroy(), /does not speak D-Bus|was lost/],
    ['speaks something else', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), /does not speak D-Bus/],
    ['talks without end', (socket) => socket.write('a'.repeat(10_000)), /does not speak D-Bus/],
    ['refuses', (socket) => socket.write('REJECTED EXTERNAL\r\n'), /does not let this user in/],
    [
      'breaks the protocol',
      (socket) => socket.write(`OK ${'0'.repeat(32)}\r\n${'x'.repeat(64)}`),
      /not speak D-Bus|lost/,
    ],
  ];
  for (const [name, serve, message] of servers) {
    test(`what listens ${name}`, async () => {
      await using folder = await tempDir();
      const path = folder.join('bus');
      const sockets = new Set<Socket>();
      const server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined);
        serve(socket);
      }).listen(path);
      await once(server, 'listening');
      try {
        await assert.rejects(systemdOverDBus(path, { connectMs: 200, callMs: 200 }), { message });
      } finally {
        for (const socket of sockets) socket.destroy();
        server.close();
        await once(server, 'close');
      }
    });
  }

  test('there is no socket, or nobody behind it', async () => {
    await using folder = await tempDir();
    await assert.rejects(systemdOverDBus(folder.join('none')), {
      code: 'ERR_SYSTEMD_UNREACHABLE',
      message: /no system bus at/,
    });
    const daemon = await dbusDaemon();
    daemon.kill();
    await daemon[Symbol.asyncDispose]();
    await assert.rejects(systemdOverDBus(daemon.socket), { code: 'ERR_SYSTEMD_UNREACHABLE' });
  });
});

type Properties = readonly (readonly [string, { readonly signature: string; readonly value: unknown }])[];

/** The process that a StartTransientUnit names. */
function pidOf(properties: unknown): number {
  const pids = new Map(properties as Properties).get('PIDs')?.value;
  assert.ok(Array.isArray(pids) && pids.length === 1 && pids[0] > 1, 'one process');
  return pids[0];
}

function withoutPid(body: readonly unknown[] | undefined): unknown {
  const [name, mode, properties, aux] = body ?? [];
  return [name, mode, (properties as Properties).filter(([key]) => key !== 'PIDs'), aux];
}

/** Waits until a process of ours is no more, or only waits to be reaped. */
async function gone(pid: number): Promise<void> {
  const until = performance.now() + 5_000;
  while (existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) {
    assert.ok(performance.now() < until, `process ${pid} is still there`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
