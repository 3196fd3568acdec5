// Goal: units that systemd takes, that wait for nothing they need not, and that may do no more than they must.
// Method: the script of each layout against its golden file; systemd's own tools where they are installed.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { parseBootConf } from '../../../src/boot/boot-conf.ts';
import { lineDiff } from '../../../src/boot/install/diff.ts';
import { findLayout, type Layout } from '../../../src/boot/install/layouts.ts';
import { type Program, planUnits } from '../../../src/boot/install/units.ts';
import { planScript } from '../../../src/cli/render/install-text.ts';
import { Rooted } from '../../../src/observe/installed/rooted.ts';
import { splitWords } from '../../../src/observe/installed/unit-files.ts';
import { assertGolden } from '../../cli/golden.ts';
import { tempDir } from '../../helpers/temp.ts';
import { nodeWith, options } from './fixture.ts';
import * as roots from './roots.ts';

const layouts = {
  kubeadm: roots.kubeadm,
  eks: roots.eks,
  k3s: roots.k3s,
  'k3s-agent': roots.k3sAgent,
  'rke2-server': roots.rke2Server,
  'rke2-agent': roots.rke2,
};

for (const [name, tree] of Object.entries(layouts)) {
  test(`install --dry-run on ${name}`, async () => {
    await using node = await nodeWith(tree);
    const before = node.tree('/');
    assertGolden(`install-${name}.sh`, planScript(await node.prepare()));
    assert.deepEqual(node.tree('/'), before);
  });
}

test('the script of a dry run is one that a shell takes', async () => {
  await using node = await nodeWith(roots.kubeadm);
  const { status, stderr } = spawnSync('/bin/sh', ['-n'], {
    input: planScript(await node.prepare()),
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

test('options reach the units and boot.conf', async () => {
  await using node = await nodeWith(roots.kubeadm);
  const { plan } = await node.prepare({
    units: { clockFloor: false, bootHeal: true, syncWaitMs: 20_000, publish: false, limitMs: 30_000 },
  });
  const contentOf = (name: string) => plan.files.find(({ path }) => basename(path) === name)?.content ?? '';
  const conf = parseBootConf(contentOf('boot.conf'));
  assert.equal(conf.clockFloor, false);
  assert.equal(conf.syncWaitMs, 20_000);
  assert.match(contentOf('sandwarden-boot.service'), /--limit 30 --no-clock-floor\n/);
  assert.match(contentOf('sandwarden-boot.service'), /TimeoutStartSec=60\n/);
  assert.match(contentOf('sandwarden-clock.service'), /TimeoutStartSec=80\n/);
  assert.equal(conf.publish, false);
  assert.doesNotMatch(contentOf('sandwarden-boot-after.service'), /unclean|RuntimeMaxSec=9/);
});

const kubelet: Layout = {
  title: 'x',
  boot: 'containerd',
  runtimeUnit: 'containerd.service',
  kubeletUnits: ['kubelet.service'],
  containerdRoot: '/var/lib/containerd',
  from: [],
};

test('nothing that the boot needs depends on our units', () => {
  const program = { node: '/n', script: '/s', early: '/e' };
  const { files, links } = planUnits(kubelet, program, options.units);
  for (const { path, content } of files)
    assert.doesNotMatch(content, /^(RequiredBy|Requisite|OnFailure|PartOf)=/m, path);
  for (const { path } of links) assert.match(path, /\.wants\//);
  for (const [, command] of files.flatMap(({ content }) => [...content.matchAll(/^Exec\w+=(.*)$/gm)])) {
    // early.sh must leave its unit active, or its stop would not run; a bug of ours in Node is shown as a failed unit.
    assert.match(command ?? '', /^-|^\/n \/s boot heal/);
  }
});

test('a path of the program comes through as one word, whatever is in it', () => {
  const name = fc.string({ unit: fc.constantFrom(...'ab %$"\\;{}*~#'), minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(name, (odd) => {
      const program = { node: `/opt/${odd}/node`, script: `/opt/${odd}/s.js`, early: `/opt/${odd}/e.sh` };
      const { files } = planUnits(kubelet, program, options.units);
      const unit = files.find(({ path }) => path.endsWith('sandwarden-boot.service'))?.content ?? '';
      const words = splitWords(/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '');
      const plain = words.map((word) => word.replaceAll('%%', '%').replaceAll('$$', '$'));
      assert.deepEqual(plain.slice(0, 3), [program.node, program.script, 'boot']);
    }),
    { numRuns: 300 },
  );
});

test('a difference tells each line that changed', () => {
  assert.deepEqual(lineDiff('a\nb\nc', 'a\nx\nc\nd'), ['-b', '+x', '+d']);
  assert.deepEqual(lineDiff('same', 'same'), []);
  assert.equal(lineDiff('1\n2\n3\n4\n5\n6', '').at(-1), '+');
  assert.match(lineDiff('1\n2\n3\n4\n5\n6', 'x', 3).at(-1) ?? '', /4 more lines/);
});

const analyze = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' });
const systemdVersion = Number(/^systemd (\d+)/.exec(analyze.stdout ?? '')?.[1] ?? 0);
const skip = systemdVersion < 250 ? 'needs systemd-analyze 250 or later' : false;

describe('by systemd itself', { skip }, () => {
  const run = promisify(execFile);
  // What the units start must be there to be verified.
  const program: Program = { node: '/bin/true', script: '/bin/true', early: '/bin/true' };
  for (const [name, tree] of Object.entries(layouts)) {
    test(`${name}: verified without a word, exposed at most to 4`, async () => {
      await using dir = await tempDir();
      roots.plant(dir.path, tree);
      const layout = await findLayout(new Rooted(dir.path));
      const units = planUnits(layout, program, options.units).files.filter(({ path }) =>
        /\.(service|timer)$/.test(path),
      );
      roots.plant(
        dir.path,
        Object.fromEntries(units.map(({ path, content }) => [`/units/${basename(path)}`, content])),
      );
      const paths = units.map(({ path }) => join(dir.path, 'units', basename(path)));
      const { stderr } = await run('systemd-analyze', ['verify', '--man=no', ...paths]);
      assert.deepEqual(
        stderr.split('\n').filter((line) => line.includes('sandwarden')),
        [],
      );
      for (const path of paths.filter((each) => each.endsWith('.service'))) {
        const argv = ['security', '--offline=yes', '--threshold=100', '--no-pager', path];
        const { stdout } = await run('systemd-analyze', argv);
        const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]);
        // docs/boot.md: on k3s this one runs containerd and CNI plugins.
        const runsContainerd = layout.boot === 'k3s' && path.endsWith('sandwarden-boot.service');
        const limit = runsContainerd || path.endsWith('sandwarden-clock.service') ? 10 : 4;
        assert.ok(exposure <= limit, `${basename(path)}: ${exposure}`);
      }
    });
  }
});

describe('the program that the units start', () => {
  const image = { ...roots.k3s, '/home/me/checkout/dist/sandwarden.js': '', '/home/me/checkout/dist/early.sh': '' };
  const running = { node: '/usr/bin/node', script: '' };
  test('is the one in the image', async () => {
    await using node = await nodeWith(image);
    assert.deepEqual((await node.prepare()).program, {
      node: '/usr/local/lib/sandwarden/node',
      script: '/usr/local/lib/sandwarden/dist/sandwarden.js',
      early: '/usr/local/lib/sandwarden/dist/early.sh',
    });
  });
  test('may be named, and its home is then seen', async () => {
    await using node = await nodeWith({ ...image, '/usr/bin/node': '' });
    const asked = '/home/me/checkout/dist/sandwarden.js';
    const { program, plan } = await node.prepare({ program: { asked, running } });
    assert.equal(program.node, '/usr/bin/node');
    assert.match(plan.files.map((each) => each.content).join(), /ProtectHome=read-only/);
  });
  test('is not one that others can change', async () => {
    for (const path of ['/usr/local/lib/sandwarden', '/usr/local/lib/sandwarden/dist/early.sh']) {
      await using node = await nodeWith(image);
      chmodSync(join(node.path, path), 0o777);
      await assert.rejects(node.prepare(), { code: 'ERR_FORBIDDEN', message: new RegExp(`^${path} can be changed`) });
    }
  });
  test('is not missing', async () => {
    await using node = await nodeWith(image);
    await assert.rejects(node.prepare({ program: { asked: '/opt/x/sandwarden.js', running } }), { code: 'ERR_FILE' });
    await assert.rejects(node.prepare({ program: { asked: 'x.js', running } }), { code: 'ERR_CONFIG' });
  });
  test('is no source, no checkout, nothing in a home or in /tmp', async () => {
    const { findProgram } = await import('../../../src/boot/install/program.ts');
    const scripts: [string, RegExp][] = [
      ['/srv/x/src/main.ts', /source file/],
      ['/home/me/dist/sandwarden.js', /not there for sure/],
      ['/tmp/dist/sandwarden.js', /not there for sure/],
      // Where this checkout itself lies in a home or in /tmp, that is said first.
      [join(import.meta.dirname, 'dist/sandwarden.js'), /checkout|not there for sure/],
    ];
    for (const [script, message] of scripts) {
      await assert.rejects(findProgram(new Rooted(), { running: { node: '/usr/bin/node', script } }), {
        code: 'ERR_CONFIG',
        message,
      });
    }
  });
});

test('early.sh lies beside the built program', async () => {
  const { bundle } = await import('../../../tools/build.ts');
  await using dir = await tempDir();
  await bundle(dir.path);
  const source = new URL('../../../src/boot/early.sh', import.meta.url);
  assert.equal(readFileSync(dir.join('early.sh'), 'utf8'), readFileSync(source, 'utf8'));
});
