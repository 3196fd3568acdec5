// Goal: what stands before COMMAND is for here, what stands after it for the node.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { commands } from '../../src/cli/frame/commands.ts';
import { asksRemoteHelp, remoteRequest } from '../../src/cli/remote/options.ts';
import { isSandwardenError } from '../../src/model/errors.ts';

describe('what stands before COMMAND', () => {
  const read = (...argv: string[]) => remoteRequest(argv, commands);

  test('only there --node means another node', () => {
    assert.equal(read('check'), undefined);
    assert.equal(read('anchor', '--node'), undefined);
    assert.equal(read('--no-color', 'anchor', '--node'), undefined);
    const { argv, ...rest } =
      read('--context', 'prod', '--node', 'n1', 'check', '--node-name', 'x', '-o', 'json') ?? assert.fail();
    assert.deepEqual(argv, ['check', '--node-name', 'x', '-o', 'json']);
    assert.deepEqual([rest.node, rest.context, rest.namespace], ['n1', 'prod', 'kube-system']);
    assert.deepEqual(read('--no-color', '--node', 'n1', 'check', '-o', 'json')?.argv, [
      'check',
      '--no-color',
      '-o',
      'json',
    ]);
  });

  test('the program is the one there, this one, or that of an image, and not two of them', () => {
    const program = (...argv: string[]) => read('--node', 'n1', ...argv, 'check')?.program;
    assert.deepEqual(program(), { from: 'node', path: '/usr/local/bin/sandwarden', elseHere: true });
    assert.deepEqual(program('--program', '/opt/sw'), { from: 'node', path: '/opt/sw' });
    assert.deepEqual(program('--copy'), { from: 'here' });
    assert.deepEqual(program('--image', 'any:1', '--program-image', 'sw:1'), { from: 'image', image: 'sw:1' });
    const ways = [['--program', '/opt/sw'], ['--copy'], ['--program-image', 'sw:1']];
    for (const [index, one] of ways.entries()) {
      const other = ways[(index + 1) % ways.length] ?? [];
      assert.throws(
        () => program(...one, ...other),
        (error) => {
          assert.ok(isSandwardenError(error, 'ERR_USAGE') && error.exitCode === 64);
          assert.match(error.message, new RegExp(`'${one[0]}'.* contradict`));
          assert.match(error.hint, /--program PATH.*--copy.*--program-image NAME/);
          return true;
        },
      );
    }
  });

  test('--help before COMMAND is about --node, after it about COMMAND', () => {
    const asks = (...argv: string[]) => asksRemoteHelp(argv, commands);
    for (const argv of [
      ['--node', 'n1', '--help'],
      ['--node=n1', '-h'],
      ['--node', '--help'],
    ])
      assert.ok(asks(...argv));
    for (const argv of [['--node', 'n1', 'check', '--help'], ['anchor', '--node', '-h'], ['--help']]) {
      assert.ok(!asks(...argv));
    }
  });

  test('what does not fit is said', () => {
    const cases: [string[], RegExp][] = [
      [['--node'], /'--node' needs a value/],
      [['--node', 'n1'], /a COMMAND is missing/],
      [['--node', 'n1', 'chekc'], /there is no command 'chekc'/],
      [['--node', 'N_1', 'check'], /'N_1' is no name of a node/],
      [['--node', '../pods', 'check'], /no name of a node/],
      [['--node', 'n1', '--yes', 'heal'], /'--yes' cannot stand between/],
      [['--node', 'n1', '--program', 'sw', 'heal'], /no absolute path/],
      [['--node', 'n1', '--start-timeout', 'soon', 'heal'], /no number of seconds/],
      [['--node', 'n1', '--copy=yes', 'heal'], /'--copy' takes no value/],
      [['--node', 'n1', '--program-image', '', 'heal'], /'--program-image' needs a value/],
    ];
    for (const [argv, message] of cases) assert.throws(() => read(...argv), { code: 'ERR_USAGE', message });
    assert.throws(() => read('--node', 'n1', 'chekc'), { hint: /^Did you mean 'check'\? / });
  });
});
