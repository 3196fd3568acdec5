// Goal: the program as it is shipped does its job on a real node, and ends with the documented codes. Method: the
// bundle of dist/ as a process on a node of real parts, whose /proc, /run and log files are that node's; nothing is
// handed to it but what a person would type.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { type RealNode, realNode } from '../../lab/real-node.ts';
import { ExitCode } from '../../src/model/errors.ts';
import { listed, onNode, pods, untilPodsRun, untilRefused } from './node.ts';

const program = 'dist/sandwarden.js';
const lab = await labAvailable(['1.7']);
const isBuilt = existsSync(resolve(import.meta.dirname, '../..', program));
const skip = !lab.ok ? lab.why : isBuilt ? false : 'dist/ is not built (make build)';
/** What else of the laboratory's machine is worth a warning is its own business. */
const well: readonly (number | null)[] = [ExitCode.healthy, ExitCode.warnings];

describe('the program on a real node', { skip }, () => {
  let node: RealNode;
  const run = (...args: string[]) => onNode(node, program, args);
  before(async () => {
    node = await realNode({ flavour: '1.7', pods });
    await node.boot();
    await untilPodsRun(node);
  });
  after(() => node?.close());

  test('check and heal of a healthy node', async () => {
    const check = await run('check');
    assert.ok(well.includes(check.code), check.stdout + check.stderr);
    assert.doesNotMatch(check.stdout, /^error /m);
    const heal = await run('heal', '--yes');
    assert.equal(heal.code, ExitCode.healthy, heal.stdout + heal.stderr);
    assert.match(heal.stdout, /The plan: nothing to do/);
  });

  test('check of a node that loops: 20, as text and as JSON', async () => {
    await node.powerCut();
    await node.boot({ datesAheadS: 7_200 });
    await untilRefused(node, 'web', 'be');
    const asText = await run('check');
    assert.equal(asText.code, ExitCode.errorsFound, asText.stdout + asText.stderr);
    assert.match(asText.stdout, /^2 pods do not run/);
    assert.match(asText.stdout, /^error SW102 default\/be\/0, default\/web\/0: /m);
    const asJson = await run('check', '-o', 'json');
    assert.equal(asJson.code, ExitCode.errorsFound, asJson.stderr);
    const { findings } = JSON.parse(asJson.stdout) as { findings: { code: string; severity: string }[] };
    const errors = findings.filter((each) => each.severity === 'error').map((each) => each.code);
    assert.deepEqual(errors, ['SW102', 'SW102']);
  });

  test('heal without --yes and without a terminal: 64, and nothing is done', async () => {
    const before = (await listed(node)).filter((each) => each.includes('/0 '));
    const { code, stderr } = await run('heal');
    assert.equal(code, ExitCode.usage);
    assert.match(stderr, /nothing was done.*--yes/);
    assert.deepEqual(
      (await listed(node)).filter((each) => each.includes('/0 ')),
      before,
    );
  });

  test('heal --yes: 0, the pods run, the Job keeps its sandbox, the history tells', async () => {
    const heal = await run('heal', '--yes');
    assert.equal(heal.code, ExitCode.healthy, heal.stdout + heal.stderr);
    assert.match(heal.stdout, /Recovered in .*: 2 pods came back/);
    await untilPodsRun(node);
    assert.ok((await listed(node)).includes('job/0 notready'));
    const history = await run('history');
    assert.equal(history.code, 0);
    assert.match(history.stdout, /done {4}remove sandbox default\/web\/0/);
    const check = await run('check');
    assert.ok(well.includes(check.code), check.stdout + check.stderr);
  });
});
