import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { loadContainerd } from '../../../src/observe/config/containerd-files.ts';
import { mergeContainerd } from '../../../src/observe/config/containerd-merge.ts';
import { nodeAt, parseToml, valueAt } from '../../../src/observe/config/toml.ts';
import { runs } from '../../helpers/fuzz.ts';
import { sourceOf } from '../../helpers/recorded-config.ts';
import { configurations } from './arbitrary-config.ts';

describe('parseToml', () => {
  test('each value has its line, in every way of writing a table', async () => {
    const text = 'a.b = true\n[t."x.y"]\nv = 1\n[[list]]\nn = 1\n[[list]]\n[list.sub]\ni = { k = "s" }\n';
    const file = await parseToml(text, '/f');
    assert.ok(file.ok);
    assert.deepEqual(valueAt(file.table, 'boolean', 'a', 'b'), { value: true, at: { file: '/f', line: 1 } });
    assert.deepEqual(valueAt(file.table, 'bigint', 't', 'x.y', 'v'), { value: 1n, at: { file: '/f', line: 3 } });
    const list = nodeAt(file.table, 'list');
    assert.ok(list?.kind === 'array');
    assert.equal(valueAt(list.items[1], 'string', 'sub', 'i', 'k')?.at.line, 8);
  });

  test('what containerd refuses is refused, with the place', async () => {
    for (const [text, line] of [
      ['version = 2\nversion = 2\n', 2],
      ['[plugins]\n[plugins]\n', 2],
      ['a = "\\x41"\n', 1],
      ['a = {b = 1,\n c = 2}\n', 1],
      ['[plugins."io', 1],
    ] as const) {
      const file = await parseToml(text, '/f');
      assert.ok(!file.ok, text);
      assert.ok(Math.abs(file.line - line) <= 1 && file.message !== '', `${text}: line ${file.line}`);
    }
  });

  test('what TOML 1.1 added is taken for containerd 2 alone', async () => {
    assert.equal((await parseToml('a = "\\x41"\n', '/f', true)).ok, true);
  });

  test('an empty file is a file', async () => {
    assert.equal((await parseToml(' \n', '/f')).ok, true);
  });

  test('a megabyte of brackets is refused in good time', async () => {
    const start = performance.now();
    const [list, table, key] = ['['.repeat(1_000_000), '{b='.repeat(300_000), 'a.'.repeat(200_000)];
    for (const text of [`a = ${list}`, `a = ${list}${list.replaceAll('[', ']')}`, `a = ${table}`, `[${key}`]) {
      assert.equal((await parseToml(text, '/f')).ok, false);
    }
    assert.ok(performance.now() - start < 20_000, `${performance.now() - start} ms`);
  });
});

describe('mutations', () => {
  test('a file that was cut, doubled or sprinkled with rubbish is refused or read, never more', async () => {
    const rubbish = fc.constantFrom(
      '"',
      "'''",
      '[',
      ']',
      '{',
      '}',
      '=',
      '\0',
      '\n',
      '.',
      '#',
      '\u{1f600}',
      '__proto__',
    );
    const mutation = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), cut: fc.nat(20), insert: rubbish });
    const arbitrary = fc.tuple(configurations([0, 1, 2, 3, 4]), fc.array(mutation, { minLength: 1, maxLength: 4 }));
    await fc.assert(
      fc.asyncProperty(
        arbitrary,
        fc.constantFrom('1.6.20', '1.7.24', '2.1.9', '2.3.0', ''),
        async ([files, mutations], version) => {
          const broken = Object.fromEntries(
            files.map(({ name, text }) => {
              const changed = mutations.reduce((now, { at, cut, insert }) => {
                const place = Math.floor(at * now.length);
                return now.slice(0, place) + insert + now.slice(place + cut);
              }, text);
              return [`/c/${name}`, changed];
            }),
          );
          const config = await loadContainerd('/c/main.toml', version, sourceOf(broken), '/c');
          if (config.refusal) return assert.ok(config.refusal.text !== '');
          const merged = mergeContainerd(config.loaded, version);
          if (merged.ok) assert.ok(merged.settings.handlers.every((each) => typeof each.systemdCgroup === 'boolean'));
        },
      ),
      runs(400),
    );
  });

  test('text of any kind', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 400 }), async (text) => {
        const file = await parseToml(text, '/f', true);
        assert.ok(file.ok || file.line >= 1);
      }),
      runs(400),
    );
  });
});

describe('loading', () => {
  test('loops end, each file is loaded once, and imports come after what imports them', async () => {
    const files = {
      '/c/a.toml': 'imports = ["b.toml"]',
      '/c/b.toml': 'imports = ["a.toml", "/c/d/*.toml"]',
      '/c/d/x.toml': '',
    };
    const { files: loaded, refusal } = await loadContainerd('/c/a.toml', '2.1.9', sourceOf(files));
    assert.equal(refusal, undefined);
    assert.deepEqual(
      loaded.map((each) => each.path),
      ['/c/a.toml', '/c/b.toml', '/c/d/x.toml'],
    );
    assert.deepEqual(loaded[2]?.importedBy, { file: '/c/b.toml', line: 1 });
  });

  test('an import that is not there, and one that matches nothing', async () => {
    const one = await loadContainerd('/c/a.toml', '1.7.24', sourceOf({ '/c/a.toml': '\nimports = ["no.toml"]' }));
    assert.deepEqual(one.refusal, {
      text: 'it imports /c/no.toml, which is not there',
      at: { file: '/c/a.toml', line: 2 },
    });
    const none = await loadContainerd('/c/a.toml', '1.7.24', sourceOf({ '/c/a.toml': 'imports = ["no/*.toml"]' }));
    assert.equal(none.refusal, undefined);
  });

  test('a relative pattern: of the daemon before 1.7.14, of the file since', async () => {
    const files = { '/c/a.toml': 'imports = ["d/*.toml"]', '/c/d/x.toml': '', '/d/y.toml': '' };
    const paths = async (version: string) =>
      (await loadContainerd('/c/a.toml', version, sourceOf(files))).files.map((each) => each.path);
    assert.deepEqual(await paths('1.6.20'), ['/c/a.toml', '/d/y.toml']);
    assert.deepEqual(await paths('1.7.24'), ['/c/a.toml', '/c/d/x.toml']);
  });

  test('more files than anybody has', async () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`/c/d/${index}.toml`, '']));
    const source = sourceOf({ '/c/a.toml': 'imports = ["d/*.toml"]', ...many });
    await assert.rejects(loadContainerd('/c/a.toml', '2.1.9', source), { code: 'ERR_CONFIG' });
  });
});
