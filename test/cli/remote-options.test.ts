// Goal: what stands before COMMAND is for here, what stands after it for the node.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { commands } from '../../src/cli/frame/commands.ts';
import { remoteRequest } from '../../src/cli/remote/options.ts';

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
    ];
    for (const [argv, message] of cases) assert.throws(() => read(...argv), { code: 'ERR_USAGE', message });
  });
});
