// Goal: what goes over the bus is what D-Bus means by it. Method: sd-bus (busctl) is the judge, in both directions,
// over a real dbus-daemon; laws over generated types; bytes that break the specification.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { scopeProperties } from '../../src/systemd/bus.ts';
import { decode } from '../../src/systemd/dbus/decode.ts';
import { encode } from '../../src/systemd/dbus/encode.ts';
import { encodeMessage, type Message, MessageSplitter } from '../../src/systemd/dbus/message.ts';
import { DBusFault, type DBusValue, parseSignature } from '../../src/systemd/dbus/types.ts';
import { busService } from '../helpers/bus-service.ts';
import { dbusDaemon, withoutBus } from '../helpers/dbus-daemon.ts';
import { runs } from '../helpers/fuzz.ts';
import { argumentsOf, jsonOf, signatures, typedValue } from './values.ts';

const run = promisify(execFile);

describe('against sd-bus', { skip: withoutBus }, () => {
  let daemon: Awaited<ReturnType<typeof dbusDaemon>>;
  before(async () => {
    daemon = await dbusDaemon();
  });
  after(() => daemon[Symbol.asyncDispose]());

  async function busctl(...args: string[]): Promise<{ type: string; data: unknown[] }> {
    const argv = [`--address=unix:path=${daemon.socket}`, '--json=short', '--', ...args];
    const { stdout } = await run('busctl', argv);
    return JSON.parse(stdout);
  }

  test('busctl writes and we read, we write and busctl reads: the same', async () => {
    const heard: Message[] = [];
    const echo = (call: Message) => {
      heard.push(call);
      return { signature: call.signature ?? '', body: call.body ?? [] };
    };
    await using _service = await busService(daemon.socket, 'test.Echo', echo);
    await fc.assert(
      fc.asyncProperty(fc.array(typedValue({ forBusctl: true }), { minLength: 1, maxLength: 5 }), async (values) => {
        const signature = values.map((each) => each.signature).join('');
        const words = values.flatMap(({ type, value }) => argumentsOf(type, value));
        const { type, data } = await busctl('call', 'test.Echo', '/a', 'test.Echo', 'Echo', signature, ...words);
        assert.equal(type, signature);
        assert.deepEqual(
          data,
          values.map(({ type, value }) => jsonOf(type, value)),
        );
        assert.deepEqual(
          heard.at(-1)?.body,
          values.map((each) => each.value),
        );
      }),
      runs(60),
    );
  });

  test('the line of docs/anchors.md is the call that we make', async () => {
    await using service = await busService(daemon.socket, 'org.freedesktop.systemd1', () => ({
      signature: 'o',
      body: ['/org/freedesktop/systemd1/job/1'],
    }));
    const scope = {
      name: 'sandwarden-anchor-x.scope',
      slice: 'kubepods-burstable-podx.slice',
      description: 'what for',
    };
    const properties = scopeProperties({ ...scope, command: ['/bin/sleep'] }, 4711);
    const words = argumentsOf(parseSignature('a(sv)')[0] ?? assert.fail(), properties as unknown as DBusValue);
    await busctl(
      ...['call', 'org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager'],
      ...['StartTransientUnit', 'ssa(sv)a(sa(sv))', scope.name, 'fail', ...words, '0'],
    );
    assert.deepEqual(service.calls.at(-1)?.body, [scope.name, 'fail', properties, []]);
  });
});

describe('laws', () => {
  test('what was written is read again', () => {
    fc.assert(
      fc.property(fc.array(typedValue(), { maxLength: 6 }), (values) => {
        const signature = values.map((each) => each.signature).join('');
        const body = values.map((each) => each.value);
        assert.deepEqual(decode(signature, encode(signature, body)), body);
      }),
      runs(500),
    );
  });
  test('a message is the same in one piece and in any pieces', () => {
    fc.assert(
      fc.property(fc.array(typedValue(), { maxLength: 4 }), fc.integer({ min: 1, max: 97 }), (values, size) => {
        const signature = values.map((each) => each.signature).join('');
        const head = {
          type: 'call',
          serial: 7,
          path: '/a/b',
          member: 'C',
          interface: 'd.e',
          destination: ':1.2',
        } as const;
        const bytes = encodeMessage({ ...head, signature, body: values.map((each) => each.value) });
        const [whole, pieces] = [new MessageSplitter(), new MessageSplitter()];
        const twice = Buffer.concat([bytes, bytes]);
        const cut = Array.from({ length: Math.ceil(twice.length / size) }, (_, i) =>
          twice.subarray(i * size, (i + 1) * size),
        );
        const expected = whole.push(twice);
        assert.deepEqual(
          cut.flatMap((each) => pieces.push(each)),
          expected,
        );
        assert.equal(expected.length, 2);
        assert.deepEqual(
          { ...head, ...(signature === '' ? {} : { signature }), body: values.map((each) => each.value) },
          expected[0],
        );
      }),
      runs(200),
    );
  });
  test('any bytes are read or refused, never anything else', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...signatures),
        fc.uint8Array({ maxLength: 200 }),
        fc.boolean(),
        (signature, bytes, little) => {
          try {
            decode(signature, Buffer.from(bytes), little);
          } catch (error) {
            assert.ok(error instanceof DBusFault, String(error));
          }
        },
      ),
      runs(2_000),
    );
  });
  test('a message with bytes changed is read or refused', () => {
    const body = [['PIDs', { signature: 'au', value: [1] }]];
    const bytes = encodeMessage({
      type: 'signal',
      serial: 1,
      path: '/a',
      interface: 'a.b',
      member: 'C',
      signature: 'a(sv)',
      body: [body],
    });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const changed = Buffer.from(bytes);
          for (const [at, byte] of changes) changed[at] = byte;
          try {
            new MessageSplitter().push(changed);
          } catch (error) {
            assert.ok(error instanceof DBusFault, String(error));
          }
        },
      ),
      runs(2_000),
    );
  });
});

describe('what no body can be', () => {
  const refused: readonly (readonly [string, DBusValue[]])[] = [
    ['u', [-1]],
    ['u', [2 ** 32]],
    ['y', [256]],
    ['n', [40_000]],
    ['i', [1.5]],
    ['t', [-1n]],
    ['x', [2n ** 63n]],
    ['t', [1]],
    ['b', [1]],
    ['s', ['a\0b']],
    ['s', ['\ud800']],
    ['o', ['no/path']],
    ['o', ['/a//b']],
    ['g', ['(']],
    ['v', ['x']],
    ['v', [{ signature: 'ss', value: 'x' }]],
    ['(ss)', [['a']]],
    ['as', ['a']],
    ['s', []],
    ['', ['a']],
    ['a', []],
    ['(', []],
    ['()', [[]]],
    ['a{vs}', [[]]],
    ['{ss}', [['a', 'b']]],
    ['z', ['a']],
    ['a'.repeat(66).concat('y'), [[]]],
    ['s'.repeat(256), []],
  ];
  for (const [signature, body] of refused) {
    test(`${signature.slice(0, 20)} ${JSON.stringify(body, (_, v) => (typeof v === 'bigint' ? `${v}n` : v))}`, () => {
      assert.throws(() => encode(signature, body), DBusFault);
    });
  }
  test('a big-endian message is read; a length beyond the limit is refused before it is waited for', () => {
    assert.deepEqual(decode('u', Buffer.from([0, 0, 1, 2]), false), [258]);
    const bytes = encodeMessage({ type: 'return', serial: 1, replySerial: 1 });
    bytes.writeUInt32LE(0x7fff_ffff, 4);
    assert.throws(() => new MessageSplitter().push(bytes), /too long/);
  });
  test('a variant in variants, deeper than the specification allows', () => {
    let value: DBusValue = 'x';
    for (let depth = 0; depth < 70; depth++) value = { signature: depth === 0 ? 's' : 'v', value };
    assert.throws(() => encode('v', [value]), /too deep/);
  });
});
