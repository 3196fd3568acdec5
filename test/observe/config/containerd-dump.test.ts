import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { allFlavours, type Flavour } from '../../../lab/flavours.ts';
import { installed } from '../../../lab/install.ts';
import { run } from '../../../lab/run.ts';
import type { HandlerSettings } from '../../../src/model/runtime-config.ts';
import { readDump } from '../../../src/observe/config/containerd-dump.ts';
import { loadContainerd } from '../../../src/observe/config/containerd-files.ts';
import { mergeContainerd } from '../../../src/observe/config/containerd-merge.ts';
import { filesUnder } from '../../../src/observe/config/file-source.ts';
import { runs } from '../../helpers/fuzz.ts';
import { tempDir } from '../../helpers/temp.ts';
import { configurations, type GeneratedFile } from './arbitrary-config.ts';

/** What we say the files give, against what the real containerd says: `containerd config dump`. */

const versions: Readonly<Record<Flavour, readonly number[]>> = {
  '1.6': [0, 1, 2],
  '1.7': [0, 1, 2, 3],
  '2.1': [0, 2, 3],
};

for (const flavour of allFlavours) {
  describe(`containerd ${flavour}`, async () => {
    const parts = await installed(flavour);
    const skip = parts === undefined ? 'the laboratory is not installed (make lab-install)' : false;

    test('200 generated configurations: our merge is containerd’s', { skip, timeout: 120_000 }, async (t) => {
      await using folder = await tempDir();
      const { numRuns } = runs(200);
      const seed = Number(process.env.FUZZ_SEED ?? 302_815_307);
      const configs = fc.sample(arbitrary(flavour), { numRuns, seed });
      const queue = [...configs.entries()];
      let taken = 0;
      const worker = async () => {
        for (let next = queue.shift(); next; next = queue.shift()) {
          const [index, files] = next;
          if (await compare(folder.join(String(index)), files, parts?.bin ?? '', parts?.version ?? '', seed))
            taken += 1;
        }
      };
      // Both end before the folder goes.
      const ends = await Promise.allSettled([worker(), worker()]);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
      // That both refuse a file says little.
      t.diagnostic(`containerd took ${taken} of ${numRuns}`);
      assert.ok(taken >= numRuns / 2, `containerd took ${taken} of ${numRuns}`);
    });
  });
}

/** 2.1 has more than one answer where names of version 1 meet others (v1Migrate goes over a map): not these here. */
function arbitrary(flavour: Flavour): fc.Arbitrary<readonly GeneratedFile[]> {
  return flavour === '2.1' ? configurations(versions[flavour], [2, 3]) : configurations(versions[flavour]);
}

/** Whether containerd takes the files. */
async function compare(folder: string, files: readonly GeneratedFile[], bin: string, version: string, seed: number) {
  for (const { name, text } of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  const main = join(folder, 'main.toml');
  const shown = `seed ${seed}\n${files.map((each) => `# ${each.name}\n${each.text}`).join('\n')}`;
  // containerd up to 1.7 looks for patterns in its own folder.
  const dump = await run('env', ['-C', folder, join(bin, 'containerd'), '-c', main, 'config', 'dump'], {
    check: false,
  });
  const ours = await ourView(main, version, folder);
  if (dump.status !== 0) {
    assert.equal(ours, 'refused', `containerd refuses it: ${dump.stderr}\n${shown}`);
    return false;
  }
  const theirs = await readDump(dump.stdout);
  assert.ok(theirs, `its dump cannot be read\n${shown}`);
  assert.deepEqual(ours === 'refused' ? ours : plain(ours), plain(theirs), shown);
  return true;
}

async function ourView(main: string, version: string, cwd: string): Promise<HandlerSettings | 'refused'> {
  const config = await loadContainerd(main, version, filesUnder(), cwd);
  if (config.refusal) return 'refused';
  const merged = mergeContainerd(config.loaded, version);
  return merged.ok ? merged.settings : 'refused';
}

function plain(of: HandlerSettings) {
  return {
    default: of.defaultHandler,
    handlers: Object.fromEntries(of.handlers.map((each) => [each.name, each.systemdCgroup])),
  };
}
