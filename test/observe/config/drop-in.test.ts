import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { allFlavours, type Flavour } from '../../../lab/flavours.ts';
import { installed } from '../../../lab/install.ts';
import { run } from '../../../lab/run.ts';
import { unifiedDiff } from '../../../src/diagnose/config/diff.ts';
import { planSystemdCgroup } from '../../../src/diagnose/config/drop-in.ts';
import { readDump } from '../../../src/observe/config/containerd-dump.ts';
import { loadContainerd } from '../../../src/observe/config/containerd-files.ts';
import { mergeContainerd, mergeRuleOf } from '../../../src/observe/config/containerd-merge.ts';
import { filesUnder } from '../../../src/observe/config/file-source.ts';
import { targetOf } from '../../../src/observe/config/target.ts';
import { parseToml, type TomlNode } from '../../../src/observe/config/toml.ts';
import { runs } from '../../helpers/fuzz.ts';
import { configOfFiles } from '../../helpers/recorded-config.ts';
import { tempDir } from '../../helpers/temp.ts';
import { configurations, type GeneratedFile } from './arbitrary-config.ts';

/** The cure of SW503, as text: what the real containerd makes of it. */

const versions: Readonly<Record<Flavour, readonly number[]>> = { '1.6': [0, 2], '1.7': [0, 2], '2.1': [0, 2, 3] };
const mains: typeof versions = { '1.6': [2], '1.7': [2], '2.1': [2, 3] };
const main = '/etc/containerd/config.toml';

for (const flavour of allFlavours) {
  describe(`containerd ${flavour}`, async () => {
    const parts = await installed(flavour);
    const skip = parts === undefined ? 'the laboratory is not installed (make lab-install)' : false;

    test('every handler of runc is on after it, and nothing else is changed', { skip, timeout: 120_000 }, async () => {
      await using folder = await tempDir();
      const { numRuns } = runs(40);
      const seed = Number(process.env.FUZZ_SEED ?? 302_815_307);
      const configs = fc.sample(configurations(versions[flavour], mains[flavour]), { numRuns, seed });
      const lab = { bin: parts?.bin ?? '', version: parts?.version ?? '', seed };
      let cured = 0;
      for (const [index, files] of configs.entries()) {
        if (await cures(folder.join(String(index)), files, lab)) cured += 1;
      }
      // Those that are left to a person are few: tables written inline.
      assert.ok(cured >= numRuns / 2, `${cured} of ${numRuns}, seed ${seed}`);
    });

    test('without a file', { skip }, async () => {
      await using folder = await tempDir();
      const lab = { bin: parts?.bin ?? '', version: parts?.version ?? '', seed: 0 };
      assert.ok(await cures(folder.path, [], lab));
    });
  });
}

interface Lab {
  readonly bin: string;
  readonly version: string;
  readonly seed: number;
}

async function cures(folder: string, files: readonly GeneratedFile[], { bin, version, seed }: Lab): Promise<boolean> {
  await mkdir(folder, { recursive: true });
  for (const { name, text } of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  const first = join(folder, 'main.toml');
  const argv = ['-C', folder, join(bin, 'containerd'), '-c', first, 'config', 'dump'];
  const dump = async () => (await run('env', argv)).stdout;
  const seen = await observe(first, version, folder);
  const before = files.length === 0 ? undefined : await dump();
  const texts = new Map<string, string>();
  for (const each of seen.files) texts.set(each.path, await readFile(each.path, 'utf8'));
  const plan = planSystemdCgroup(seen, (path) => texts.get(path));
  const shown = `seed ${seed}\n${files.map((each) => `# ${each.name}\n${each.text}`).join('\n')}`;
  if (!plan.ok) return false;
  for (const { path, after } of plan.edits) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, after);
  }
  const after = await dump();
  const settings = await readDump(after);
  const told = `${shown}\n${plan.edits.map((each) => each.diff).join('\n')}`;
  for (const handler of settings?.handlers ?? []) {
    const isVm = handler.runtimeType === 'io.containerd.kata.v2';
    const was = seen.settings?.handlers.find((each) => each.name === handler.name)?.systemdCgroup ?? false;
    assert.equal(handler.systemdCgroup, isVm ? was : true, `${handler.name}\n${told}`);
  }
  if (before !== undefined) assert.deepEqual(await plainDump(after), await plainDump(before), told);
  return true;
}

async function observe(first: string, version: string, folder: string) {
  const config = await loadContainerd(first, version, filesUnder(), folder);
  const merged = mergeContainerd(config.loaded, version);
  assert.ok(merged.ok);
  return {
    rule: mergeRuleOf(version),
    file: first,
    fileFrom: 'a test',
    files: config.files,
    settings: merged.settings,
    lost: merged.lost,
    target: targetOf(config.loaded, first, merged.version, version),
  };
}

/** A dump without SystemdCgroup, without what is empty or zero, and without the list of the files. */
async function plainDump(dump: string): Promise<unknown> {
  const parsed = await parseToml(dump, 'dump', true);
  assert.ok(parsed.ok);
  return plain(parsed.table);
}

function plain(node: TomlNode): unknown {
  if (node.kind === 'value') return node.value;
  if (node.kind === 'array') return node.items.map(plain);
  const entries = [...node.entries]
    .filter(([key]) => key !== 'SystemdCgroup' && key !== 'imports')
    .map(([key, value]) => [key, plain(value)] as const)
    .filter(([, value]) => !isNothing(value));
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isNothing(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === '' || value === false || value === 0n;
}

describe('planSystemdCgroup', () => {
  const cri2 = 'plugins."io.containerd.grpc.v1.cri"';
  const planOf = async (files: Readonly<Record<string, string>>, version: string) =>
    planSystemdCgroup(await configOfFiles(files, version), (path) => files[path]);

  test('a false becomes true, with the comments around it', async () => {
    const text = `version = 2\n# keep\n[${cri2}.containerd.runtimes.runc.options]\n  SystemdCgroup = false # why\n`;
    const plan = await planOf({ [main]: text }, '1.7.24');
    assert.ok(plan.ok);
    assert.deepEqual(plan.restart, ['containerd.service', 'kubelet.service']);
    assert.equal(
      plan.edits[0]?.diff,
      [
        `--- ${main}`,
        `+++ ${main}`,
        '@@ -1,4 +1,4 @@',
        ' version = 2',
        ' # keep',
        ` [${cri2}.containerd.runtimes.runc.options]`,
        '-  SystemdCgroup = false # why',
        '+  SystemdCgroup = true # why',
        '',
      ].join('\n'),
    );
  });

  test('1.7: it goes into the import that replaced the table, not beside it', async () => {
    const import_ = '/etc/containerd/conf.d/a.toml';
    const files = {
      [main]: `version = 2\nimports = ["conf.d/*.toml"]\n[${cri2}.containerd.runtimes.runc.options]\nSystemdCgroup = true\n`,
      [import_]: `[${cri2}.registry]\nconfig_path = "/x"\n`,
    };
    const plan = await planOf(files, '1.7.24');
    assert.ok(plan.ok);
    assert.deepEqual(
      plan.edits.map((each) => each.path),
      [import_],
    );
    const after = await configOfFiles({ ...files, [import_]: plan.edits[0]?.after ?? '' }, '1.7.24');
    assert.equal(after.settings?.handlers[0]?.systemdCgroup, true);
  });

  test('2.1: a folder that is loaded last gets a file of its own', async () => {
    const plan = await planOf({ [main]: 'version = 3\nimports = ["/etc/containerd/conf.d/*.toml"]\n' }, '2.1.9');
    assert.ok(plan.ok);
    const [edit] = plan.edits;
    assert.equal(edit?.path, '/etc/containerd/conf.d/zz-sandwarden-systemd-cgroup.toml');
    assert.match(edit?.diff ?? '', /^--- \/dev\/null\n/);
    assert.match(edit?.after ?? '', /^version = 3\n\[plugins\."io\.containerd\.cri\.v1\.runtime"\.containerd/);
  });

  test('k3s, inline tables on one line, and refused files are left to a person', async () => {
    const k3s = '/var/lib/rancher/k3s/agent/etc/containerd/config.toml';
    const config = { ...(await configOfFiles({ [k3s]: 'version = 3\n' }, '2.0.5', k3s)) };
    assert.equal(planSystemdCgroup(config, () => 'version = 3\n').ok, false);
    const both = 'runc = {options = {SystemdCgroup = false}}, nvidia = {options = {SystemdCgroup = false}}';
    const inline = `version = 2\n[${cri2}.containerd]\nruntimes = {${both}}\n`;
    assert.equal((await planOf({ [main]: inline }, '1.7.24')).ok, false);
    assert.equal((await planOf({ [main]: 'version = \n' }, '1.7.24')).ok, false);
  });

  test('what is on already needs nothing', async () => {
    const text = `version = 2\n[${cri2}.containerd.runtimes.runc.options]\nSystemdCgroup = true\n`;
    const plan = await planOf({ [main]: text }, '1.7.24');
    assert.deepEqual(plan, { ok: true, handlers: [], edits: [], restart: ['containerd.service', 'kubelet.service'] });
  });
});

test('unifiedDiff of what is the same is empty', () => assert.equal(unifiedDiff('/f', 'a\n', 'a\n'), ''));
