/**
 * The style of the house, held by tests. Each rule has a test over the project and a sample that it must refuse,
 * so that no rule can go blind. CONTRIBUTING.md says what they ask for.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { links, rules } from './tidy/documents.ts';
import { layers } from './tidy/layers.ts';
import { type Offence, projectFiles, root, type Source, sourceOf } from './tidy/source.ts';
import * as structure from './tidy/structure.ts';
import { foreignWords, unfinishedWork } from './tidy/words.ts';

const sources = projectFiles();
const exists = (path: string) => existsSync(join(root, path));

interface Law {
  readonly says: string;
  readonly check: (source: Source) => Offence[];
  /** Offending texts by the file they would be, each with what is said about it. */
  readonly refuses: readonly (readonly [path: string, text: string, what: RegExp])[];
}

const long = (count: number, line = '  f();\n') => line.repeat(count);

const laws: readonly Law[] = [
  {
    says: 'imports go along the arrows of ARCHITECTURE.md',
    check: layers,
    refuses: [
      ['src/model/a.ts', "import type { B } from '../cri/b.ts';", /model may not import cri/],
      ['src/model/a.ts', "import { join } from 'node:path';", /is pure and imports node:path/],
      ['src/diagnose/rules/a.ts', "export { b } from '../../observe/b.ts';", /diagnose may not import observe/],
      ['src/diagnose/a.ts', "const { b } = await import('node:fs');", /is pure and imports node:fs/],
      ['src/heal/plan.ts', "import 'node:fs';", /is pure/],
      ['src/heal/a.ts', "import '../cri/client.ts';", /heal may not import cri/],
      ['src/embedded/a.ts', "import '../heal/plan.ts';", /embedded may not import heal/],
      ['src/observe/a.ts', "type A = import('../cli/a.ts').A;", /observe may not import cli/],
      ['src/cli/a.ts', "import '../../lab/a.ts';", /src imports lab/],
      ['src/cli/a.ts', "import '../../test/a.ts';", /src imports test/],
      ['src/attic/a.ts', '', /not in the table/],
    ],
  },
  {
    says: 'a file has at most 400 lines',
    check: structure.fileLength,
    refuses: [['src/a.ts', long(401), /401 lines/]],
  },
  {
    says: 'a function has at most 70 lines',
    check: structure.functionLength,
    refuses: [
      ['src/a.ts', `function a() {\n${long(69)}}`, /of 71 lines/],
      ['src/a.ts', `const a = () => {\n${long(69)}};`, /of 71 lines/],
      ['src/a.ts', `class A {\n  a() {\n${long(69)}  }\n}`, /of 71 lines/],
    ],
  },
  {
    says: 'a line has at most 120 characters',
    check: structure.lineLength,
    refuses: [
      ['src/a.ts', `// ${'word '.repeat(24)}`, /123 characters/],
      ['test/a.ts', `// ${'word '.repeat(24)}`, /123 characters/],
    ],
  },
  {
    says: 'no unfinished work',
    check: unfinishedWork,
    refuses: [
      ['src/a.ts', `// TO${'DO'}: later`, /says/],
      ['lab/a.ts', `// a st${'ub'}`, /says/],
    ],
  },
  {
    says: 'no any, and the type checker is never switched off',
    check: structure.types,
    refuses: [
      ['src/a.ts', 'const a: any = 1;', /any/],
      ['test/a.ts', `// @ts-${'ignore'}\nf();`, /type checker/],
    ],
  },
  {
    says: 'a catch looks at its error',
    check: structure.catches,
    refuses: [
      ['src/a.ts', 'try { f(); } catch {}', /without its error/],
      ['src/a.ts', 'try { f(); } catch (error) { g(); }', /does not look/],
      ['src/a.ts', 'f().catch(() => {});', /drops a rejection/],
      ['src/a.ts', 'f().catch(() => undefined);', /drops a rejection/],
    ],
  },
  {
    says: 'only the command line writes to the console',
    check: structure.consoles,
    refuses: [['src/heal/a.ts', "console.log('x');", /console/]],
  },
  {
    says: 'the date comes from a clock',
    check: structure.clocks,
    refuses: [
      ['src/heal/a.ts', 'const a = Date.now();', /wall clock/],
      ['src/heal/a.ts', 'const a = new Date();', /wall clock/],
    ],
  },
  {
    says: 'waits and deadlines are named in model/limits.ts',
    check: structure.timeouts,
    refuses: [
      ['src/heal/a.ts', 'setTimeout(f, 1_000);', /a wait/],
      ['src/heal/a.ts', 'await clock.sleep(100);', /a wait/],
      ['src/heal/a.ts', 'AbortSignal.timeout(5000);', /a wait/],
      ['src/heal/a.ts', "spawn('a', [], { timeout: 5000 });", /a wait/],
    ],
  },
  {
    says: 'exported functions have a docstring',
    check: structure.docstrings,
    refuses: [
      ['src/a.ts', 'export function a() {}', /a has no docstring/],
      ['src/a.ts', '// no docstring\nexport const a = () => 1;', /a has no docstring/],
      ['src/a.ts', '/** For b. */\nexport const b = 1;\nexport async function a() {}', /a has no docstring/],
    ],
  },
  {
    says: 'the project speaks of nothing but itself',
    check: foreignWords,
    refuses: [
      ['README.md', `in /wo${'rk'}/main`, /says/],
      ['src/a.ts', `// as the ${'A'}I says`, /says/],
    ],
  },
];

describe('the project', () => {
  test('is found', () => assert.ok(sources.some((source) => source.path === 'src/model/limits.ts')));
  for (const { says, check } of laws) test(says, () => holds(sources.flatMap(check)));
  test('each rule file defines its code and is in the catalogue', () => holds(rules(sources)));
  test('each link of a Markdown file leads somewhere', () => holds(links(sources, exists)));
});

describe('a rule refuses its sample', () => {
  for (const { says, check, refuses } of laws) {
    for (const [path, text, what] of refuses) {
      test(`${says}: ${text.trim().slice(0, 50).replaceAll('\n', ' ')}`, () => {
        const [offence] = check(sourceOf(path, text));
        assert.match(offence?.what ?? 'nothing was said', what);
      });
    }
  }

  test('each rule file defines its code and is in the catalogue', () => {
    const catalogue = sourceOf('src/diagnose/catalogue.ts', "import { sw1 } from './rules/sw999.ts';");
    const files = [
      sourceOf('src/diagnose/rules/sw998.ts', "const rule = { code: 'SW998' };"),
      sourceOf('src/diagnose/rules/sw999.ts', "const rule = { code: 'SW998' };"),
      sourceOf('src/diagnose/rules/extra.ts', ''),
    ];
    const found = rules([catalogue, ...files]).map((each) => `${each.path}: ${each.what}`);
    assert.deepEqual(found, [
      'src/diagnose/rules/sw998.ts: is not in src/diagnose/catalogue.ts',
      'src/diagnose/rules/sw999.ts: does not define SW999',
      'src/diagnose/rules/extra.ts: is not named by a code',
      'src/diagnose/rules/extra.ts: is not in src/diagnose/catalogue.ts',
    ]);
  });

  test('each link of a Markdown file leads somewhere', () => {
    const here = sourceOf('docs/a.md', '# One `two`\n[x](b.md) [y](c.md) [z](#one-two)\n[w](#three)\n`[v](d.md)`');
    const found = links([here], (path) => ['docs/a.md', 'docs/b.md'].includes(path));
    assert.deepEqual(
      found.map((each) => `${each.line}: ${each.what}`),
      ['2: c.md is not there', '3: #three is not there'],
    );
  });
});

function holds(offences: readonly Offence[]): void {
  const list = offences.map(({ path, line, what }) => `${path}:${line} ${what}`);
  if (list.length > 0) assert.fail(`${list.length} offences:\n${list.join('\n')}`);
}
