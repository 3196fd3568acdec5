// Goal: on a node with several runtimes a person is told which one was looked at, and nothing where there is one.
// Method: the program with a /run of its own, in which fake runtimes live at the known sockets.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { crictlFiles } from '../../src/observe/endpoint.ts';
import { fakeCri, fakeSocket, type Handlers } from '../helpers/fake-cri.ts';
import { tempDir } from '../helpers/temp.ts';
import { apart, type Ended, sandwarden } from './spawn.ts';

const skip = !apart
  ? 'no mount namespace of its own can be made here (unshare)'
  : crictlFiles.some((each) => existsSync(each)) && 'a crictl.yaml names the socket here';

const containerd = '/run/containerd/containerd.sock';
const crio = '/run/crio/crio.sock';
const serving: Handlers = {
  version: () => ({ runtimeName: 'fake', runtimeVersion: '1', runtimeApiVersion: 'v1' }),
  status: () => ({ status: { conditions: ['RuntimeReady', 'NetworkReady'].map((type) => ({ type, status: true })) } }),
  listPodSandbox: () => ({ items: [] }),
  listContainers: () => ({ containers: [] }),
};
// grpc-go of a service that nobody registered: containerd with CRI disabled, as Docker installs it.
const refuse = () => {
  throw new ConnectError('unknown service runtime.v1.RuntimeService', Code.Unimplemented);
};
const notServed: Handlers = {
  version: refuse,
  status: refuse,
  runtimeConfig: refuse,
  listPodSandbox: refuse,
  listContainers: refuse,
};
const taken = `Looked at unix://${containerd} (known socket); unix://${crio} is live too: '--runtime-endpoint' names another.`;

describe('two live sockets', { skip }, () => {
  test('check says in one line which was taken, and ends as with one', async () => {
    await using node = await run();
    await using _ = await node.fake(containerd, serving);
    const alone = await node.sandwarden('check');
    assert.doesNotMatch(alone.stdout, /Looked at/);
    await using __ = await node.fake(crio, serving);
    const both = await node.sandwarden('check');
    assert.ok(unwrapped(both.stdout).includes(taken), both.stdout);
    assert.deepEqual([both.code, both.stderr], [alone.code, '']);
  });

  test('a snapshot keeps it, and one of an earlier version tells what it has', async () => {
    await using node = await run();
    await using _ = await node.fake(containerd, serving);
    await using __ = await node.fake(crio, serving);
    assert.equal((await node.sandwarden('snapshot', '-o', '/run/node.json')).code, 0);
    const { endpoint, ...earlier } = JSON.parse(readFileSync(node.join('node.json'), 'utf8'));
    assert.deepEqual(endpoint.others, [`unix://${crio}`]);
    writeFileSync(node.join('earlier.json'), JSON.stringify(earlier));
    for (const name of ['node', 'earlier']) {
      const { stdout } = await node.sandwarden('check', '--snapshot', `/run/${name}.json`);
      assert.ok(unwrapped(stdout).includes(taken), `${name}: ${stdout}`);
    }
  });

  test('check -o json has it as fields, and has none where there is one', async () => {
    await using node = await run();
    await using _ = await node.fake(containerd, serving);
    assert.ok(!('lookedAt' in JSON.parse((await node.sandwarden('check', '-o', 'json')).stdout)));
    await using __ = await node.fake(crio, serving);
    const { lookedAt } = JSON.parse((await node.sandwarden('check', '-o', 'json')).stdout);
    assert.deepEqual(lookedAt, {
      endpoint: `unix://${containerd}`,
      from: 'known socket',
      others: [`unix://${crio}`],
    });
  });

  test('heal says it before its plan; one that a person named needs no word', async () => {
    await using node = await run();
    await using _ = await node.fake(containerd, serving);
    await using __ = await node.fake(crio, serving);
    const healed = await node.sandwarden('heal', '--dry-run');
    const text = unwrapped(healed.stdout);
    assert.ok(text.includes(taken) && text.indexOf(taken) < text.indexOf('The plan'), healed.stdout);
    const json = await node.sandwarden('heal', '--dry-run', '-o', 'json');
    assert.deepEqual(JSON.parse(json.stdout).lookedAt.others, [`unix://${crio}`]);
    const named = await node.sandwarden('heal', '--dry-run', '--runtime-endpoint', containerd);
    assert.doesNotMatch(named.stdout, /Looked at/);
    assert.equal(healed.code, named.code);
  });

  test('where the one that was taken hangs, check and heal name the other', async () => {
    await using node = await run();
    await using _ = await node.socket(containerd);
    await using __ = await node.fake(crio, serving);
    const checked = await node.sandwarden('check', '--timeout', '1');
    assert.equal(checked.code, 20, checked.stdout);
    assert.ok(unwrapped(checked.stdout).includes(taken), checked.stdout);
    const healed = await node.sandwarden('heal', '--yes', '--timeout', '1');
    assert.equal(healed.code, 69, healed.stdout);
    assert.ok(unwrapped(healed.stderr).includes(taken), healed.stderr);
  });
});

function unwrapped(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}

describe('a live socket that is not CRI', { skip }, () => {
  test('hides no runtime behind it: check and heal take that one and say why', async () => {
    await using node = await run();
    await using _ = await node.fake(containerd, notServed);
    await using __ = await node.fake(crio, serving);
    const checked = await node.sandwarden('check');
    const says = `Looked at unix://${crio} (known socket), because what listens on unix://${containerd} does not serve CRI v1`;
    assert.ok(unwrapped(checked.stdout).includes(says), checked.stdout);
    assert.doesNotMatch(checked.stdout, /Nothing could be observed/);
    const healed = await node.sandwarden('heal', '--dry-run', '-o', 'json');
    const { lookedAt } = JSON.parse(healed.stdout);
    assert.deepEqual([lookedAt.endpoint, lookedAt.passedOver[0].endpoint], [`unix://${crio}`, `unix://${containerd}`]);
    const named = await node.sandwarden('check', '--runtime-endpoint', containerd);
    assert.equal(named.code, 69, named.stdout);
    assert.match(named.stdout, /^Nothing could be observed: what listens on .* does not serve CRI v1/);
  });

  test('where none of them is CRI, check and heal name them all and end with 69', async () => {
    await using node = await run();
    await using _ = await node.fake(containerd, notServed);
    await using __ = await node.fake(crio, notServed);
    for (const { code, stdout, stderr } of [await node.sandwarden('check'), await node.sandwarden('heal', '--yes')]) {
      assert.equal(code, 69, stdout + stderr);
      const text = unwrapped(stdout + stderr);
      assert.match(
        text,
        /none of the known sockets that are live speaks CRI: .*containerd\.sock .*; .*crio\.sock does not/,
      );
    }
  });
});

/** A /run of its own. */
async function run() {
  const dir = await tempDir();
  const place = async (path: string) => {
    const real = dir.join(path.slice('/run/'.length));
    await mkdir(dirname(real), { recursive: true });
    return real;
  };
  const script = `mount --bind '${dir.path}' /run && exec "$@"`;
  const under = [...(apart ?? (['false'] as const)), 'sh', '-c', script, 'sh'] as const;
  return {
    join: dir.join,
    fake: async (path: string, handlers: Handlers) => fakeCri(await place(path), handlers),
    /** It accepts, and says nothing. */
    socket: async (path: string) => fakeSocket(await place(path), () => {}),
    sandwarden: (...args: string[]): Promise<Ended> => sandwarden(args, { under }),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}
