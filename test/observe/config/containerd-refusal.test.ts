// Goal: what is shown as containerd's word is its reason to refuse the files, not a warning that it logs before.
// Method: the product's question, put to the real containerds.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { allFlavours, type Flavour } from '../../../lab/flavours.ts';
import { installed } from '../../../lab/install.ts';
import { Ended, run } from '../../../src/observe/child.ts';
import { askDump } from '../../../src/observe/config/runtime.ts';
import { tempDir } from '../../helpers/temp.ts';

const unknownKey = 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nbogus = 1\nsandbox_image = 3\n';
const deprecated = 'version = 1\n[plugins.cri.containerd]\nsnapshotter = 3\n';

const reasons: Readonly<Record<Flavour, Readonly<Record<'unknownKey' | 'deprecated', string | undefined>>>> = {
  '1.6': {
    unknownKey: "containerd: (4, 1): Can't convert 3(int64) to string",
    deprecated: "containerd: (3, 1): Can't convert 3(int64) to string",
  },
  '1.7': {
    unknownKey: "containerd: (4, 1): Can't convert 3(int64) to string",
    deprecated: "containerd: (3, 1): Can't convert 3(int64) to string",
  },
  // 2.x migrates a version 1 and drops that key.
  '2.1': { unknownKey: 'containerd: toml: cannot decode TOML integer into string', deprecated: undefined },
};

for (const flavour of allFlavours) {
  describe(`containerd ${flavour}`, async () => {
    const parts = await installed(flavour);
    const skip = parts === undefined ? 'the laboratory is not installed (make lab-install)' : false;

    test('its reason, not its warnings', { skip }, async () => {
      await using folder = await tempDir();
      const [main, imported] = [folder.join('main.toml'), folder.join('imported.toml')];
      const refusal = async (text: string) => {
        await writeFile(main, text);
        const answer = await askDump(join(parts?.bin ?? '', 'containerd'), main, run);
        assert.ok(answer, 'it answers');
        return 'refusal' in answer ? answer.refusal : undefined;
      };
      await writeFile(imported, deprecated);
      assert.deepEqual(
        {
          unknownKey: await refusal(unknownKey),
          deprecated: await refusal(`version = 2\nimports = ["${imported}"]\n`),
        },
        reasons[flavour],
      );
    });
  });
}

describe('what a program says before it ends with an error', () => {
  const failing = (script: string) => run(['sh', '-c', script]).then(() => undefined, endOf);

  test('is kept whole, and the message has its first line', async () => {
    const error = await failing('echo one >&2; echo two >&2; exit 3');
    assert.deepEqual([error?.stderr, error?.message], ['one\ntwo\n', 'exit 3']);
  });

  test('of much, the beginning and the end, in whole lines', async () => {
    const error = await failing('seq 1 200000 >&2; exit 1');
    const lines = error?.stderr.trim().split('\n').map(Number) ?? [];
    assert.deepEqual([lines.at(0), lines.at(-1)], [1, 200_000]);
    const gaps = lines.slice(1).filter((each, index) => each !== (lines[index] ?? 0) + 1);
    assert.equal(gaps.length, 1);
    assert.ok((error?.stderr.length ?? 0) < 70_000);
  });
});

function endOf(error: Error): Ended {
  assert.ok(error.cause instanceof Ended);
  return error.cause;
}
