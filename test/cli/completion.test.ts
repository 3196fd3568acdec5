// Goal: a Tab gives what may stand there, in each shell. Method: the word list itself, then the scripts in the real
// shells.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { candidates } from '../../src/cli/complete.ts';
import { commands } from '../../src/cli/frame/commands.ts';
import { completionScripts } from '../../src/cli/render/completion-scripts.ts';
import { catalogue } from '../../src/diagnose/catalogue.ts';

const values = (...words: string[]) => candidates(words).map((each) => each.split('\t')[0]);

describe('the candidates', () => {
  test('commands, without the hidden one', () => {
    const visible = commands.filter((each) => !each.hidden).map((each) => each.name);
    assert.deepEqual(values(''), visible);
    assert.deepEqual(values('h'), ['heal', 'history']);
    assert.deepEqual(values(), visible);
  });
  test('options that are not given yet', () => {
    assert.ok(values('check', '--').includes('--show'));
    assert.ok(!values('check', '--show', 'all', '--').includes('--show'));
    assert.ok(values('heal', '--only', 'SW102', '--').includes('--only'), 'it may be given again');
    assert.deepEqual(values('check', '--fa'), ['--fail-on']);
  });
  test('before a command, --node and what goes with it', () => {
    assert.deepEqual(values('--n'), ['--node', '--no-color']);
    assert.ok(!values('--').includes('--copy'));
    assert.deepEqual(values('--node', 'n1', '--p'), ['--program', '--program-image']);
    assert.deepEqual(values('--node=n1', '--kubeconfig', ''), [':file']);
    assert.deepEqual(values('--node', 'n1', 'chec'), ['check']);
    assert.ok(!values('--node', 'n1', 'check', '--').includes('--copy'));
  });
  test('values, in each way they can be written', () => {
    assert.deepEqual(values('check', '--show', 'e'), ['error']);
    assert.deepEqual(values('check', '--show=e'), ['--show=error']);
    assert.deepEqual(values('check', '--show', '=', 'e'), ['error'], 'as bash splits it');
    assert.deepEqual(values('check', '-o', ''), ['text', 'json', 'sarif', 'junit']);
    assert.deepEqual(values('completion', ''), ['bash', 'zsh', 'fish']);
  });
  test('nothing where all that a command takes is there', () => {
    for (const words of ['explain SW102', 'explain pod', 'explain pod default/web', 'watch --for 3m kernel']) {
      assert.deepEqual(values(...words.split(' '), ''), [], words);
    }
    assert.deepEqual(values('anchor', 'release', 'heal', ''), [], 'an anchor that is called as a command');
    assert.deepEqual(values('anchor', 'list', '--'), values('anchor', '--'));
    assert.deepEqual(values('watch', '--for', '3m', ''), ['controllers', 'kernel']);
    assert.deepEqual(values('watch', '--output', '=', 'json', ''), ['controllers', 'kernel']);
  });
  test('codes and files', () => {
    const codes = catalogue.map((each) => each.code);
    assert.deepEqual(values('explain', ''), [...codes, 'pod']);
    assert.deepEqual(
      values('explain', 'sw70'),
      codes.filter((each) => each.startsWith('SW70')),
    );
    assert.deepEqual(
      values('heal', '--only', 'SW70'),
      codes.filter((each) => each.startsWith('SW70')),
    );
    assert.deepEqual(values('check', '--snapshot', ''), [':file']);
    assert.deepEqual(values('heal', '--state-dir', ''), [':directory']);
  });
});

describe('the scripts in the shells', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sandwarden-completion-'));
    const main = resolve(import.meta.dirname, '../../src/main.ts');
    writeFileSync(join(folder, 'sandwarden'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
    chmodSync(join(folder, 'sandwarden'), 0o755);
    for (const [shell, script] of Object.entries(completionScripts)) writeFileSync(join(folder, shell), script);
    writeFileSync(join(folder, 'a file.json'), '');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function shell(name: string, args: readonly string[]): string {
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, HOME: folder };
    const result = spawnSync(name, args, { env, cwd: folder, encoding: 'utf8', timeout: 20_000 });
    assert.equal(result.status, 0, `${name}: ${result.stderr}`);
    assert.equal(result.stderr, '');
    return result.stdout;
  }
  const skip = (name: string) =>
    spawnSync(name, ['--version']).error === undefined ? false : `${name} is not installed`;

  test('bash', { skip: skip('bash') }, () => {
    const complete = (...words: string[]) => {
      const array = words.map((each) => `'${each}'`).join(' ');
      const script = `. ./bash; COMP_WORDS=(sandwarden ${array}); COMP_CWORD=${words.length}
        _sandwarden 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return shell('bash', ['--norc', '-c', script]).trimEnd().split('\n');
    };
    assert.deepEqual(complete('he'), ['heal']);
    assert.deepEqual(complete('check', '--fail-on', ''), ['error', 'warning', 'never']);
    assert.deepEqual(complete('check', '--show', '=', 'al'), ['all']);
    assert.deepEqual(complete('check', '--snapshot', 'a'), ['a file.json']);
    assert.match(shell('bash', ['--norc', '-c', '. ./bash; complete -p sandwarden']), /-F _sandwarden sandwarden/);
  });

  test('zsh', { skip: skip('zsh') }, () => {
    const script = `
      _describe() { print -rl -- "\${(@)candidates}" }
      _files() { print files "$@" }
      compdef() { : }
      source ./zsh
      words=(sandwarden he); CURRENT=2; _sandwarden
      words=(sandwarden check --fail-on ''); CURRENT=4; _sandwarden
      words=(sandwarden check --snapshot ''); CURRENT=4; _sandwarden
      words=(sandwarden heal --state-dir ''); CURRENT=4; _sandwarden`;
    const lines = shell('zsh', ['-f', '-c', script]).trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^heal:mend exactly/);
    assert.deepEqual(lines.slice(1), ['error:error', 'warning:warning', 'never:never', 'files', 'files -/']);
    // As a file in fpath it is loaded by compinit.
    const installed = `mkdir -p site; cp zsh site/_sandwarden; fpath=($PWD/site $fpath)
      autoload -U compinit; compinit -D; print $_comps[sandwarden]`;
    assert.equal(shell('zsh', ['-f', '-c', installed]).trim(), '_sandwarden');
  });

  test('fish', { skip: skip('fish') }, () => {
    const complete = (line: string) =>
      shell('fish', ['--no-config', '-c', `source ./fish; complete -C '${line}'`])
        .trimEnd()
        .split('\n');
    assert.match(complete('sandwarden he')[0] ?? '', /^heal\tmend exactly/);
    assert.deepEqual(complete('sandwarden check --fail-on '), ['error', 'never', 'warning']);
    assert.deepEqual(complete('sandwarden explain sw701').length, 1);
    assert.match(complete('sandwarden check --snapshot a')[0] ?? '', /^a file\.json/);
  });
});
