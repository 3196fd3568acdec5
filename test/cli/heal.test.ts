// Goal: `heal` over a real socket, by the process a person starts: what it says, what it does, how it ends.
// Method: an embedded node in real time whose power was cut and whose disk is dated two hours ahead. The process runs
// in
// a pid namespace of its own in which a process is called kubelet, so that nothing hangs on what else runs here.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { catalogue } from '../../src/diagnose/catalogue.ts';
import { type EmbeddedNode, startEmbeddedNode } from '../../src/embedded/node.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { tempDir } from '../helpers/temp.ts';
import { apart, type SpawnOptions, sandwarden } from './spawn.ts';

const pods: readonly PodSpec[] = [
  { name: 'web', restartPolicy: 'Always', runs: 'forever' } as const,
  { name: 'job', restartPolicy: 'Never', runs: { exitsAfterMs: 200, code: 0 } } as const,
].map(({ name, restartPolicy, runs }, index) => ({
  name,
  namespace: 'default',
  uid: `00000000-0000-4000-8000-00000000000${index}`,
  restartPolicy,
  containers: [{ name: 'c', runs }],
}));

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `not within 60 s: ${what}`);
    await sleep(50);
  }
}

const skip = apart ? false : 'no pid namespace of its own can be made here (unshare)';

/** `unshare` itself ignores signals: they go to its only child. */
function interrupt(pid: number | undefined): void {
  const child = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  process.kill(Number(child), 'SIGINT');
}

describe('heal, as a process over a socket', { skip }, () => {
  let dir: Awaited<ReturnType<typeof tempDir>>;
  let node: EmbeddedNode;
  // The node's boots and clock are its own; to the process its log must be of the boot and the clock that it sees.
  const logOfThisBoot = () => {
    const now = String(BigInt(Date.now()) * 1_000n);
    const lines = readFileSync(node.kubeletLogFile, 'utf8').trimEnd().split('\n');
    const ofNow = lines.map((line) => {
      const { _BOOT_ID, __MONOTONIC_TIMESTAMP, ...fields } = JSON.parse(line);
      return JSON.stringify({ ...fields, __REALTIME_TIMESTAMP: now });
    });
    writeFileSync(dir.join('kubelet.log'), `${ofNow.join('\n')}\n`);
    return dir.join('kubelet.log');
  };
  const args = (...more: string[]) => [
    'heal',
    ...['--runtime-endpoint', node.endpoint, '--kubelet-log', logOfThisBoot(), '--runtime-log', node.runtimeLogFile],
    ...['--state-dir', dir.join('state'), ...more],
  ];

  const run = (argv: readonly string[], options: SpawnOptions = {}) =>
    sandwarden(argv, {
      ...options,
      under: [
        ...(apart ?? (['false'] as const)),
        'sh',
        '-c',
        `${dir.join('kubelet')} -c 'sleep 1000; :' --cgroup-driver=systemd & exec "$@"`,
        'sh',
      ],
    });

  before(async () => {
    dir = await tempDir();
    copyFileSync('/bin/sh', dir.join('kubelet'));
    const options = {
      flavour: '1.7',
      kubeletVersion: 'v1.34.9',
      pods,
      dir: dir.path,
      time: 'real',
      serve: true,
    } as const;
    node = await startEmbeddedNode(options);
    await until('the pod runs and the Job has finished', () => {
      const [web, job] = node.pods();
      return web?.running === true && job?.phase === 'Succeeded';
    });
    await node.powerCut();
    node.machine.disk.shiftDates(2 * 3_600);
    await node.boot();
    await until('a name is refused', () => node.events.some((each) => each.message.includes('is reserved for')));
  });
  after(async () => {
    await node.close();
    await dir[Symbol.asyncDispose]();
  });

  test('a dry run prints the plan and does nothing', async () => {
    const { code, stdout, stderr } = await run(args('--dry-run', '--allow=disruptive'));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /The plan: 1 action, so that default\/web can start/);
    assert.match(stdout, /1\. remove sandbox default\/web\/0/);
    assert.match(stdout, /not touching default\/job\/0: .*logs live here/);
    assert.equal((await node.cri.listSandboxes()).filter((each) => each.name === 'web').length >= 1, true);
  });
  test('64: without a terminal and without --yes the plan is printed and nothing is done', async () => {
    const { code, stdout, stderr } = await run(args('--allow=disruptive'));
    assert.equal(code, 64);
    assert.match(stdout, /remove sandbox default\/web\/0/);
    assert.match(stderr, /nothing was done.*--yes/);
  });
  test('64: what destroys needs to be named', async () => {
    const { code, stderr } = await run(args('--allow=destructive', '--only', 'SW105'));
    assert.equal(code, 64);
    assert.match(stderr, /--only CODE\/OBJECT/);
    // What the hint names is what there is: SW305 alone promises to destroy anything.
    const destructive = catalogue.filter(({ remedy }) => remedy.tier === 'destructive').map((each) => each.code);
    assert.deepEqual(destructive, ['SW305']);
    assert.match(stderr, /--only SW305\/NAME/);
    assert.equal((await run(args('--only', 'SW1X2'))).code, 64);
  });
  test('30: a damaged journal means that nothing is done', async () => {
    mkdirSync(dir.join('damaged'), { mode: 0o700 });
    writeFileSync(dir.join('damaged/journal.ndjson'), 'not a journal\n');
    const { code, stdout, stderr } = await run([...args('--yes'), '--state-dir', dir.join('damaged')]);
    assert.deepEqual([code, stdout], [30, '']);
    assert.match(stderr, /damaged at .*journal\.ndjson:1/);
  });
  test('130: Ctrl-C while it waits for the second look; the journal says so', async () => {
    let interrupted = false;
    const ended = await run(args('--yes', '--allow=disruptive'), {
      onStderr: (text, child) => {
        if (interrupted || !text.includes('looking a second time')) return;
        interrupted = true;
        interrupt(child.pid);
      },
    });
    assert.equal(ended.code, 130, ended.stdout + ended.stderr);
    assert.match(ended.stderr, /Stopping after the step in hand/);
    assert.match(ended.stdout, /Stopped: interrupted/);
    const history = await sandwarden(['history', '--state-dir', dir.join('state')]);
    assert.equal(history.code, 0);
    assert.match(history.stdout, /stopped: interrupted/);
  });
  test('0: it removes what blocks, the pod comes back, and the journal tells', async () => {
    const ended = await run(args('--yes', '--allow=disruptive', '-o', 'json'));
    const report = JSON.parse(ended.stdout);
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
    assert.deepEqual(report.outcome.recovery.recovered, ['default/web']);
    assert.ok(node.pods()[0]?.running);
    const job = (await node.cri.listSandboxes()).filter((each) => each.name === 'job');
    assert.equal(job.length, 1, "the Job's sandbox and its logs are still there");
    const history = await sandwarden(['history', '--state-dir', dir.join('state'), '-o', 'json']);
    const kinds = JSON.parse(history.stdout).entries.map((each: { kind: string }) => each.kind);
    assert.deepEqual(kinds, ['run-start', 'run-end', 'run-start', 'intent', 'outcome', 'run-end']);
    const text = (await sandwarden(['history', '--state-dir', dir.join('state'), '--since', '1h'])).stdout;
    assert.match(text, /done {4}remove sandbox default\/web\/0/);
  });
  test('0: there is nothing left to do', async () => {
    const { code, stdout } = await run(args('--yes'));
    assert.match(stdout, /The plan: nothing to do/);
    assert.equal(code, 0, stdout);
  });
});
