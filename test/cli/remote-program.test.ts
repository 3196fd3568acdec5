// Goal: the program comes to a node that has none, by stdin or out of an image, runs there, and leaves nothing behind,
// whatever goes wrong on the way. Method: the node is this machine; the pod's own script is run on it by its own shell,
// with other folders in the places of /host, /var/tmp and /sandwarden.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { Program } from '../../lab/kube-api/kubelet.ts';
import { type KubeObject, listAt, textAt } from '../../lab/kube-api/objects.ts';
import { run, until } from '../../lab/run.ts';
import { commands } from '../../src/cli/frame/commands.ts';
import { describeError } from '../../src/cli/frame/errors.ts';
import { packProgram } from '../../src/cli/remote/copy.ts';
import { remoteRequest } from '../../src/cli/remote/options.ts';
import { runOnNode } from '../../src/cli/remote/run.ts';
import { remotePermissions } from '../helpers/remote-permissions.ts';
import { tempDir } from '../helpers/temp.ts';
import { commandOf, left, type Rig, type RigOptions, rig } from './remote-rig.ts';

const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
const echo = 'console.log(process.argv.slice(2).join("|")); process.exitCode = 20;';
const deaf = `process.on('SIGTERM', () => { console.log('told'); process.exit(130); });
  console.log('up'); setInterval(() => {}, 1000);`;

/** What chroot(1) says where the program is not there. */
const notThere = ['/usr/sbin/chroot: failed to run command ', "'/usr/local/bin/sandwarden': No such file\n"];

interface World extends AsyncDisposable {
  readonly it: Rig;
  /** What takes the place of /var/tmp, and what is in it. */
  readonly place: string;
  readonly marks: () => string[];
  /** What takes the place of the image's folder. */
  readonly image: string;
  /** `sandwarden --node n1 ARGV…`: its exit code. */
  go(...argv: string[]): Promise<number>;
  /** In the place of a command of the node. */
  fake(command: string, script: string): Promise<void>;
}

/** A node without the program, an image with it, and the same program here. */
async function world(text: string, options: RigOptions = {}): Promise<World> {
  const folder = await tempDir();
  const [place, image, fakes] = [folder.join('place'), folder.join('image'), folder.join('fakes')];
  for (const each of [place, image, fakes, `${image}/dist`]) await mkdir(each);
  const [main, node] = [`${image}/dist/sandwarden.js`, `${image}/node`];
  await writeFile(main, text);
  // The real one has 120 MB.
  await writeFile(node, `#!/bin/sh\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 });
  await writeFile(`${image}/architecture`, `${architecture}\n`);
  const packed = await packProgram(architecture, { main, node });
  const program: Program = async function* (pod, ending, stdin) {
    const command = commandOf(pod).map((each) => each.replaceAll('$$(', '$('));
    const inRoot = command[0] === '/usr/sbin/chroot' ? command.slice(2) : command;
    if (inRoot[0] === '/usr/local/bin/sandwarden') {
      yield* notThere;
      return 127;
    }
    const [shell = '', ...args] = inRoot.map((each) =>
      each
        .replaceAll('/usr/sbin/chroot /host', 'env')
        .replaceAll('/host', '')
        .replaceAll('/var/tmp', place)
        .replaceAll('/sandwarden/', `${image}/`),
    );
    const env = { PATH: `${fakes}:${process.env.PATH}` };
    const child = spawn(shell, args, { stdio: ['pipe', 'pipe', 'ignore'], env });
    child.stdin.on('error', () => undefined);
    stdin.pipe(child.stdin);
    ending.addEventListener('abort', () => child.kill('SIGTERM'));
    const ended = new Promise<number>((done) => child.on('close', (code) => done(code ?? 1)));
    for await (const chunk of child.stdout.setEncoding('utf8')) yield chunk as string;
    return await ended;
  };
  const it = await rig(program, options);
  return {
    it,
    place,
    image,
    marks: () => readdirSync(place),
    go: async (...argv) => {
      const request = remoteRequest(['--node', 'n1', ...argv], commands) ?? assert.fail();
      try {
        return await runOnNode(request, it.io, packed);
      } catch (error) {
        const { text: said, exitCode } = describeError(error, { colour: false, unicode: true, width: 2_000 }, false);
        it.io.stderr.write(said);
        return exitCode;
      }
    },
    fake: (command, script) => writeFile(`${fakes}/${command}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 }),
    async [Symbol.asyncDispose]() {
      await it[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const imageOf = (pod: KubeObject | undefined) => textAt(listAt(pod, 'spec', 'containers')[0], 'image');
const odd = ['check', '-o', 'a b;$(x)'];
const ways: Readonly<Record<string, string[]>> = {
  '--copy': ['--copy'],
  '--program-image': ['--program-image', 'sw:1'],
};

describe('neither', () => {
  test('a node without the program: this one is taken there, and stdout has its output alone', async () => {
    await using w = await world(echo);
    assert.equal(await w.go(...odd), 20, w.it.out.stderr);
    assert.equal(w.it.out.stdout, 'check|-o|a b;$(x)\n');
    const said =
      /^sandwarden: \/usr\/local\/bin\/sandwarden cannot be run on n1 \(.*No such file\); this program is copied/;
    assert.match(w.it.out.stderr, said);
    assert.equal(w.it.out.stderr.trimEnd().split('\n').length, 1);
    assert.deepEqual([w.marks(), left(w.it.api), w.it.pods.length], [[], [], 2]);
  });

  test('where it was said that it is there, or this one cannot be taken, nothing else is tried', async () => {
    await using w = await world(echo);
    assert.equal(await w.go('--program', '/usr/local/bin/sandwarden', 'check'), 30);
    assert.deepEqual([w.it.pods.length, w.it.out.stdout], [1, notThere.join('')]);
    // Not the built program.
    assert.equal(await w.it.sandwarden('--node', 'n1', 'check'), 30);
    assert.match(w.it.out.stderr, /this program is copied there instead\n.*only the built program can be copied/s);
    assert.deepEqual([w.it.pods.length, left(w.it.api)], [2, []]);
  });
});

for (const [name, way] of Object.entries(ways)) {
  describe(name, () => {
    test('the program arrives whole, runs with what was typed, and leaves nothing on the node', async () => {
      await using w = await world(echo);
      assert.equal(await w.go(...way, ...odd), 20, w.it.out.stderr);
      assert.equal(w.it.out.stdout, 'check|-o|a b;$(x)\n');
      assert.deepEqual([w.marks(), left(w.it.api), w.it.out.stderr], [[], [], '']);
    });

    test('Ctrl-C: it gets SIGTERM, and nothing is left', async () => {
      await using w = await world(deaf);
      const ended = w.go(...way, 'check');
      await w.it.written(/up\n/);
      w.it.interrupt();
      assert.equal(await ended, 130);
      assert.match(w.it.out.stdout, /told\n$/);
      assert.deepEqual([w.marks(), left(w.it.api)], [[], []]);
    });

    test('Ctrl-C on its way: what came of it is gone, and it is not run', async () => {
      await using w = await world(echo);
      const command = name === '--copy' ? 'tar' : 'cp';
      await w.fake(command, 'echo copying; exec sleep 60');
      const ended = w.go(...way, 'check');
      await w.it.written(/copying\n/);
      assert.equal(w.marks().length, 1);
      w.it.interrupt();
      assert.equal(await ended, 130);
      assert.equal(w.it.out.stdout, 'copying\n');
      assert.deepEqual([w.marks(), left(w.it.api)], [[], []]);
    });

    test('a node whose /var/tmp cannot be written, or is full, is told of', async () => {
      await using full = await world(echo);
      await full.fake(name === '--copy' ? 'tar' : 'cp', 'echo No space left on device; exit 1');
      assert.equal(await full.go(...way, 'check'), 30);
      assert.match(full.it.out.stderr, /the program did not arrive whole on n1.*\/var\/tmp must be writable/s);
      assert.deepEqual([full.marks(), left(full.it.api)], [[], []]);

      await using bare = await world(echo);
      await rm(bare.place, { recursive: true });
      assert.equal(await bare.go(...way, 'check'), 30);
      assert.match(bare.it.out.stderr, /the program has no place on n1.*\/var\/tmp must be writable/s);
      assert.deepEqual(left(bare.it.api), []);
    });

    test('a node that cannot run it is told of', async () => {
      await using w = await world(echo);
      await using other = await world(echo, {
        refuses: () => ({ terminated: { exitCode: 128, reason: 'StartError' } }),
      });
      // As on a /var/tmp that is mounted noexec.
      await w.fake('env', '[ "$1" != /bin/sh ] || exec "$@"; exit 126');
      await w.fake('tar', `/bin/tar "$@"; chmod -R a-x "$4"/*`);
      assert.equal(await w.go(...way, 'check'), 30);
      assert.equal(await other.go(...way, 'check'), 30);
      for (const { it } of [w, other]) {
        assert.match(it.out.stderr, /the .*program.* cannot be run on n1.*noexec/s);
        assert.deepEqual(left(it.api), []);
      }
    });
  });
}

test('--copy where the API refuses to attach: told at once, the pod goes, and nothing is waited for', async () => {
  await using w = await world(echo, { allows: ({ subresource }) => subresource !== 'attach' });
  // A log that is still followed would keep this process from its end.
  assert.equal(await w.go('--copy', 'check'), 77);
  assert.match(w.it.out.stderr, /pods\/attach/);
  await until('kubelet has ended it', 20_000, () => w.marks().length + left(w.it.api).length === 0 || undefined);
});

describe('an image of our own', () => {
  const refused = (reason: string, message = 'no such host') => ({ waiting: { reason, message } });
  const refuses = (state: object) => (pod: KubeObject) => (imageOf(pod) === 'sw:1' ? state : undefined);

  test('is pulled where it is not there; nothing is written to the pod, and no other permission is needed', async () => {
    await using w = await world(echo);
    assert.equal(await w.go('--program-image', 'sw:1', '--image', 'any:1', 'check'), 20);
    const [container] = listAt(w.it.pods[0], 'spec', 'containers') as Record<string, unknown>[];
    assert.deepEqual(
      [container?.image, container?.imagePullPolicy, container?.stdin],
      ['sw:1', 'IfNotPresent', undefined],
    );
    assert.equal(w.it.pods.length, 1);
    assert.deepEqual(w.it.api.permissions(), remotePermissions);
  });

  test('that cannot be pulled is told of in one line, its pod goes, and the program is copied', async () => {
    for (const reason of ['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull']) {
      await using w = await world(echo, { refuses: refuses(refused(reason, 'failed:\nno such host')) });
      assert.equal(await w.go('--program-image', 'sw:1', ...odd), 20, w.it.out.stderr);
      assert.equal(w.it.out.stdout, 'check|-o|a b;$(x)\n');
      const said = `sandwarden: sw:1 cannot be had on n1 (${reason}: failed:\\x0ano such host); this program is copied`;
      assert.ok(
        w.it.out.stderr.startsWith(said) && w.it.out.stderr.trimEnd().split('\n').length === 1,
        w.it.out.stderr,
      );
      assert.equal(w.it.pods.length, 2);
      assert.notEqual(imageOf(w.it.pods[1]), 'sw:1');
      assert.deepEqual([w.marks(), left(w.it.api)], [[], []]);
    }
  });

  test('that is not pulled in time, too; not where no sandbox is made, or the kubelet is not heard of', async () => {
    const slow = (status?: string) => {
      const conditions = status === undefined ? [] : [{ type: 'PodReadyToStartContainers', status }];
      return { conditions, ...refused('ContainerCreating') };
    };
    for (const status of [undefined, 'True', 'False']) {
      await using w = await world(echo, { refuses: refuses(slow(status)) });
      const isTaken = status !== 'False';
      const code = await w.go('--start-timeout', '0.3', '--program-image', 'sw:1', 'check');
      assert.equal(code, isTaken ? 20 : 30, w.it.out.stderr);
      assert.match(w.it.out.stderr, isTaken ? /not pulled within 0.3 s/ : /did not start on n1 within 0.3 s/);
      assert.deepEqual(left(w.it.api), []);
    }
  });

  test('Ctrl-C while it is pulled, and while the program is copied in its place', async () => {
    const press = { now: () => {} };
    const state = { now: refused('ContainerCreating') };
    const pulling = (pod: KubeObject) => {
      press.now();
      return imageOf(pod) === 'sw:1' ? state.now : undefined;
    };
    await using w = await world(deaf, { refuses: pulling });
    press.now = () => setImmediate(() => w.it.interrupt());
    assert.equal(await w.go('--program-image', 'sw:1', 'check'), 130);
    assert.equal(w.it.pods.length, 1);

    press.now = () => {};
    state.now = refused('ErrImagePull');
    const ended = w.go('--program-image', 'sw:1', 'check');
    await w.it.written(/up\n/);
    w.it.interrupt();
    assert.equal(await ended, 130);
    assert.match(w.it.out.stdout, /told\n$/);
    assert.deepEqual([w.marks(), left(w.it.api)], [[], []]);
  });

  test('that is none of ours, or of another architecture, is told of and nothing is copied', async () => {
    await using foreign = await world(echo);
    await rm(foreign.image, { recursive: true });
    assert.equal(await foreign.go('--program-image', 'sw:1', 'check'), 30);
    assert.match(foreign.it.out.stderr, /sw:1 has no Sandwarden in it.*make image/s);

    await using other = await world(echo);
    await writeFile(`${other.image}/architecture`, 'riscv64\n');
    assert.equal(await other.go('--program-image', 'sw:1', 'check'), 30);
    assert.match(other.it.out.stderr, new RegExp(`sw:1 is not for ${architecture}, which n1 is`));
    for (const { marks, it } of [foreign, other]) {
      if (it === other.it) assert.deepEqual(marks(), []);
      assert.equal(it.pods.length, 1);
    }
  });
});

describe('the packed program', () => {
  test('has no image in it, and packing ends at once where it is no longer wanted', async () => {
    await using w = await world(echo);
    await writeFile(`${w.image}/dist/sandwarden-image-amd64.tar`, 'an image');
    const parts = { main: `${w.image}/dist/sandwarden.js`, node: `${w.image}/node` };
    await using out = await tempDir();
    await writeFile(out.join('packed'), await packProgram(architecture, parts));
    const { stdout } = await run('tar', ['-tzf', out.join('packed')]);
    assert.deepEqual(stdout.trim().split('\n').sort(), ['dist/', 'dist/sandwarden.js', 'node']);
    const ending = new AbortController();
    const packing = packProgram(architecture, { ...parts, signal: ending.signal });
    ending.abort();
    await assert.rejects(packing, { name: 'AbortError' });
  });
});
