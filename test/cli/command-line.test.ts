// Goal: whatever is typed, the answer is a command that runs or a message that says what to type instead.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { commands } from '../../src/cli/frame/commands.ts';
import { commandHelp, helpPage } from '../../src/cli/frame/help.ts';
import { nodePage } from '../../src/cli/frame/node-options.ts';
import { readCommandLine } from '../../src/cli/frame/parse.ts';
import { nearest } from '../../src/cli/frame/suggest.ts';
import { topHelp } from '../../src/cli/frame/top-help.ts';
import { remoteRequest } from '../../src/cli/remote/options.ts';
import { columnsOf } from '../../src/cli/render/layout.ts';
import { isSandwardenError, type SandwardenError } from '../../src/model/errors.ts';

const read = (...argv: string[]) => readCommandLine(argv, commands);

function refusal(...argv: string[]): SandwardenError {
  try {
    read(...argv);
  } catch (error) {
    if (isSandwardenError(error, 'ERR_USAGE')) return error;
    throw error;
  }
  return assert.fail(`accepted: ${argv.join(' ')}`);
}

describe('what is understood', () => {
  test('a command with its options', () => {
    const request = read('heal', '-y', '--only', 'SW102', '--only=SW104/default/web/0', '--allow=disruptive');
    assert.equal(request.kind, 'run');
    assert.ok(request.kind === 'run');
    assert.equal(request.args.flag('yes'), true);
    assert.equal(request.args.flag('dry-run'), false);
    assert.deepEqual(request.args.values('only'), ['SW102', 'SW104/default/web/0']);
    assert.equal(request.args.value('allow'), 'disruptive');
  });
  test('options before the command', () => {
    const request = read('--no-color', '-o', 'json', '--runtime-endpoint', '/run/x.sock', 'check', '--show=all');
    assert.ok(request.kind === 'run');
    assert.equal(request.command.name, 'check');
    assert.equal(request.args.value('output'), 'json');
    assert.equal(request.args.value('runtime-endpoint'), '/run/x.sock');
    assert.equal(request.args.flag('no-color'), true);
  });
  test('the last of two values counts', () => {
    const request = read('check', '-o', 'json', '-o', 'text');
    assert.ok(request.kind === 'run');
    assert.equal(request.args.value('output'), 'text');
  });
  test('help in all its forms', () => {
    assert.deepEqual(read('--help'), { kind: 'help', command: undefined });
    assert.deepEqual(read('help'), { kind: 'help', command: undefined });
    for (const argv of [
      ['check', '--help'],
      ['check', '-h'],
      ['--help', 'check'],
      ['help', 'check'],
    ]) {
      const request = read(...argv);
      assert.ok(request.kind === 'help' && request.command?.name === 'check', argv.join(' '));
    }
    for (const word of ['--version', '-V', 'version']) assert.deepEqual(read(word), { kind: 'version' });
  });
});

describe('what is refused', () => {
  const cases: [string[], RegExp, RegExp][] = [
    [[], /no command/, /sandwarden check/],
    [['chekc'], /unknown command 'chekc'/, /Did you mean 'check'/],
    [['check', '--shwo', 'all'], /no option '--shwo'/, /Did you mean '--show'/],
    [['check', '-x'], /no option '-x'/, /check --help/],
    [['check', '--show'], /needs a value/, /error\|warning\|info\|all/],
    [['check', '--show', '--no-color'], /needs a value/, /error\|warning/],
    [['check', '--show='], /needs a value/, /error/],
    [['check', '--show', 'errors'], /no value of '--show'/, /Did you mean 'error'/],
    [['check', '-o', 'yaml'], /no value of '-o'/, /text, json, sarif, junit/],
    [['check', '--no-color=yes'], /takes no value/, /alone/],
    [['check', 'web'], /unexpected 'web'/, /check --help/],
    [['explain'], /needs a CODE/, /'sandwarden explain CODE', or 'sandwarden explain pod NAMESPACE\/NAME\|UID'/],
    [['explain', 'SW101', 'SW102'], /unexpected 'SW102' after 'SW101'/, /explain --help/],
    [['explain', 'pod', 'default/web', 'x'], /unexpected 'x' after 'default\/web'/, /explain --help/],
    [['anchor', 'list', 'x'], /unexpected 'x' after 'list'/, /anchor --help/],
    [['completion', 'fihs'], /'completion' does not take 'fihs'/, /Did you mean 'fish'/],
    [['anchor', 'lst'], /'anchor' does not take 'lst'/, /Did you mean 'list'\? It takes: list, release/],
    [['watch'], /'watch' needs one of controllers, kernel/, /watch controllers\|kernel/],
    [['check', '--node', 'n1'], /no option '--node'/, /'sandwarden --node NAME check'/],
    [['check', '--version'], /no option '--version'/, /'sandwarden --version' alone/],
    [['help', 'check', 'heal'], /unexpected 'heal' after 'check'/, /help COMMAND/],
    [['--versio'], /unknown option '--versio'/, /Did you mean '--version'\? .*comes first/],
    [['--frobnicate'], /unknown option '--frobnicate'/, /comes first/],
    [['help', 'hael'], /unknown command 'hael'/, /Did you mean 'heal'/],
  ];
  for (const [argv, message, hint] of cases) {
    test(argv.join(' ') || '(nothing)', () => {
      const error = refusal(...argv);
      assert.match(error.message, message);
      assert.match(error.hint, hint);
      assert.equal(error.exitCode, 64);
    });
  }
  test('a command that drives the terminal is quoted safely', () => {
    assert.ok(!refusal('\u001b[2Jcheck').message.includes('\u001b'));
    assert.ok(!refusal('check', '--\u202eshow').message.includes('\u202e'));
  });
});

test('random words give a request or ERR_USAGE, never anything else', () => {
  const word = fc.oneof(
    fc.constantFrom(
      'check',
      'heal',
      'explain',
      '--show',
      '-o',
      'json',
      '--',
      '-',
      '--only',
      '--yes',
      '=',
      '--help',
      '-y',
    ),
    fc.string({ unit: 'binary', maxLength: 12 }),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), (argv) => {
      try {
        read(...argv);
      } catch (error) {
        assert.ok(isSandwardenError(error, 'ERR_USAGE'), String(error));
        assert.notEqual(error.hint, '');
      }
    }),
    { numRuns: 1_000 },
  );
});

test('the nearest word is found within reach and not beyond', () => {
  assert.equal(nearest('haal', ['heal', 'check']), 'heal');
  assert.equal(nearest('ehal', ['heal', 'check']), 'heal');
  assert.equal(nearest('snap', ['snapshot', 'check']), 'snapshot');
  assert.equal(nearest('frobnicate', ['heal', 'check']), undefined);
});

describe('help', () => {
  for (const command of commands.filter((each) => !each.hidden)) {
    test(`${command.name} names every option, has examples that parse, and fits`, () => {
      for (const width of [40, 80, 100]) {
        const text = commandHelp(command, width);
        for (const option of command.options) assert.ok(text.includes(`--${option.name}`));
        // An example is there to be pasted and is not broken.
        const lines = text.split('\n').filter((line) => !command.examples.some(([each]) => line.trim() === each));
        for (const line of lines) assert.ok(columnsOf(line) <= width || width === 40, `${width}: ${line}`);
      }
      assert.ok(command.examples.length > 0);
      for (const [line] of command.examples) {
        const words = /sandwarden ([^|>)]*)/.exec(line)?.[1]?.trim().split(/\s+/) ?? [];
        assert.notEqual(read(...words).kind, 'version');
      }
    });
  }
  test('that of --node names every option, and fits', () => {
    const text = helpPage(nodePage, 80);
    for (const { name } of nodePage.options) assert.match(text, new RegExp(`^ +--${name} `, 'm'));
    for (const line of text.split('\n')) assert.ok(columnsOf(line) <= 80, line);
    for (const [line] of nodePage.examples) assert.ok(remoteRequest(line.split(' ').slice(1), commands), line);
  });
  test('the top lists every command with its summary, in 80 columns', () => {
    for (const command of commands) {
      assert.equal(
        topHelp.includes(`  ${command.name.padEnd(12)} ${command.summary}\n`),
        !command.hidden,
        command.name,
      );
    }
    for (const line of topHelp.split('\n')) assert.ok(line.length <= 80, line);
    assert.match(topHelp, /^[\x20-\x7e\n]*$/);
  });
});
