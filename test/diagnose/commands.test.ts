// Goal: a command that a finding gives to be pasted does what it says, whatever the names in it are. Method: recorded
// nodes whose pods and containers are named by somebody who wants root's shell; a real shell reads each command, with
// a function in place of the program that prints the words it got.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { shellLine } from '../../src/model/shell-word.ts';
import { readRecording, recordings } from '../helpers/recording.ts';
import { tempDir } from '../helpers/temp.ts';

const evil = `'"\`touch pwned\`$(touch pwned);touch pwned;#& |>pwned *`;

/** All names in a part of a snapshot, with `evil` behind them. */
function named<T>(part: T, key = ''): T {
  if (typeof part === 'string')
    return (/^(?:name|namespace|podName|podNamespace)$/.test(key) ? part + evil : part) as T;
  if (Array.isArray(part)) return part.map((each) => named(each, key)) as T;
  if (typeof part !== 'object' || part === null) return part;
  return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, named(value, name)])) as T;
}

/** What `line` hands on to its program, and which files it made. */
async function runInShell(line: string): Promise<{ words: string[]; files: string[] }> {
  await using dir = await tempDir();
  const program = line.slice(0, line.indexOf(' '));
  const script = `${program}() { printf '%s\\0' "$@"; }\n${line}`;
  const { stdout } = spawnSync('bash', ['-c', script], { cwd: dir.path, encoding: 'utf8' });
  return { words: stdout.split('\0').slice(0, -1), files: readdirSync(dir.path) };
}

describe('commands to paste', () => {
  for (const recording of recordings) {
    test(`hold their words together: ${recording}`, async () => {
      const snapshot = readRecording(recording, { allCgroups: true });
      const { sandboxes, containers, pods, kubeletLog } = snapshot;
      const sick = named({ sandboxes, containers, pods, kubeletLog });
      const { findings } = diagnose({ ...snapshot, ...sick });
      const commands = findings.flatMap(({ remedy }) => remedy.command ?? []);
      for (const command of commands.filter((each) => each.includes('pwned'))) {
        const { words, files } = await runInShell(command);
        assert.deepEqual(files, [], command);
        const last = words.at(-1) ?? '';
        assert.ok(last.includes(`${evil}/`) && (last.endsWith(evil) || last.endsWith(`${evil}/0`)), last);
      }
      const isSick = recording.endsWith('stuck') || recording === 'cgroup-flapping';
      assert.equal(
        commands.some((each) => each.includes('pwned')),
        isSick,
      );
    });
  }
  test('are as they were where the names are good', () => {
    assert.equal(
      shellLine('sandwarden', 'heal', '--only', 'SW102/default/web-0/0'),
      'sandwarden heal --only SW102/default/web-0/0',
    );
    assert.equal(shellLine('a', ''), "a ''");
  });
  test('are not put together in any other way', () => {
    const folder = join(import.meta.dirname, '../../src/diagnose');
    const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((each) => each.endsWith('.ts'));
    for (const source of sources) {
      const text = readFileSync(join(folder, source), 'utf8');
      const [found] = /\bcommand: `[^`]*\$\{(?!shellLine\()[^}]*\}/.exec(text) ?? [];
      assert.ok(found === undefined || /bootId|sandbox\.id\b/.test(found), `${source}: ${found}`);
    }
  });
});
