// Goal: the program as a person and a script meet it. Method: it is spawned, over recorded nodes and over sockets
// that behave badly, once for each exit code and each bad input.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { describeError } from '../../src/cli/frame/errors.ts';
import { PodSandboxState } from '../../src/cri/gen/runtime/v1/runtime_pb.js';
import { encodeEntry } from '../../src/heal/entries.ts';
import { unknown } from '../../src/model/observed.ts';
import { isSafeText } from '../../src/model/safe-text.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { fakeCri, fakeSocket, type Handlers } from '../helpers/fake-cri.ts';
import { readRecording } from '../helpers/recording.ts';
import { tempDir } from '../helpers/temp.ts';
import { apart, type Ended, sandwarden } from './spawn.ts';

/** An error is on stderr, says what to do, and leaves stdout alone. */
function assertError(ended: Ended, code: number, says: RegExp): void {
  assert.equal(ended.code, code, ended.stderr);
  assert.match(ended.stderr, says);
  assert.match(ended.stderr, /^sandwarden: .*\n {2}\S/, 'a message and a hint');
  assert.equal(ended.stdout, '');
}

async function checkOf(snapshot: Snapshot, ...args: string[]): Promise<Ended> {
  await using dir = await tempDir();
  writeFileSync(dir.join('node.json'), encodeSnapshot(snapshot));
  return await sandwarden(['check', '--snapshot', dir.join('node.json'), ...args]);
}

const stuck = readRecording('clock-step/stuck');
const healed = readRecording('clock-step/healed');
const blind: Snapshot = { ...healed, kubelet: unknown('ERR_NOT_SUPPORTED', 'nobody can say') };

describe('the exit codes of check', () => {
  test('0: healthy is one line, and one that says what was not seen', async () => {
    const { code, stdout, stderr } = await checkOf(healed);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^Healthy: .*\.\n(Not looked at: .*\n)?$/);
  });
  test('10: warnings, and 0 for who asks only about errors', async () => {
    assert.equal((await checkOf(blind)).code, 10);
    assert.equal((await checkOf(blind, '--fail-on', 'error')).code, 0);
  });
  test('20: errors, and 0 for who asks about none; what is printed does not matter', async () => {
    const shown = await checkOf(stuck, '--show', 'error');
    assert.equal(shown.code, 20);
    assert.match(shown.stdout, /^2 pods do not run: the node booted with its clock 1 h 59 min behind/);
    assert.match(shown.stdout, /sandwarden heal --only SW102$/m);
    assert.equal((await checkOf(stuck, '--fail-on', 'never')).code, 0);
  });
  test('the machine formats carry the same', async () => {
    const json = JSON.parse((await checkOf(stuck, '-o', 'json')).stdout);
    assert.deepEqual([json.format, json.state, json.exitCode], ['sandwarden.check/1', 'errors', 20]);
    const sarif = JSON.parse((await checkOf(stuck, '-o', 'sarif')).stdout);
    const errors = sarif.runs[0].results.filter((each: { level: string }) => each.level === 'error');
    assert.deepEqual(
      errors.map((each: { ruleId: string }) => each.ruleId),
      ['SW102', 'SW102'],
    );
    assert.match((await checkOf(stuck, '-o', 'junit')).stdout, /failures="2"/);
  });
});

describe('sockets that behave badly', () => {
  const check = (path: string, options: Parameters<typeof sandwarden>[1] = {}) =>
    sandwarden(['check', '--runtime-endpoint', path, '--timeout', '1'], options);

  test('missing: 69 and what to start', async () => {
    const ended = await check('/nonexistent/containerd.sock', apart ? { under: apart } : {});
    assert.equal(ended.code, 69);
    assert.match(ended.stdout, /^Nothing could be observed: there is no socket at \/nonexistent/);
    assert.match(ended.stdout, /--runtime-endpoint/);
  });
  test('forbidden: 77', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('cri.sock'), () => {});
    chmodSync(dir.join('cri.sock'), 0);
    chmodSync(dir.path, 0o755);
    const ended = await check(dir.join('cri.sock'), process.geteuid?.() === 0 ? { uid: 65_534 } : {});
    assert.equal(ended.code, 77, ended.stdout + ended.stderr);
    assert.match(ended.stdout, /root/);
  });
  test('hung: it accepts and never answers', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('cri.sock'), () => {});
    const ended = await check(dir.join('cri.sock'));
    assert.equal(ended.code, 20, 'a runtime that hangs is found, not unobservable');
    assert.match(ended.stdout, /SW701/);
  });
  test('half-open: it hangs up', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('cri.sock'), (socket) => socket.destroy());
    const ended = await check(dir.join('cri.sock'));
    assert.deepEqual([ended.code, ended.stderr], [69, ''], 'nothing says that a runtime is there');
    assert.match(ended.stdout, /^Nothing could be observed: .*\s*closed the connection before it said\s+anything/);
  });
  test('not CRI: a web server', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('cri.sock'), (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const ended = await check(dir.join('cri.sock'));
    assert.equal(ended.code, 69);
    assert.match(ended.stdout, /not|CRI|HTTP/);
  });
  test('no socket by its name: 64', async () => {
    assertError(await check('tcp://1.2.3.4'), 64, /not a runtime endpoint/);
  });
  test('heal over a socket that is not there: 69, as an error', async () => {
    const ended = await sandwarden(['heal', '--yes', '--runtime-endpoint', '/nonexistent/containerd.sock']);
    assertError(ended, 69, /no socket at/);
  });
  const listing: Handlers = { listPodSandbox: () => ({ items: [] }) };
  const answering: Handlers = {
    ...listing,
    version: () => ({ runtimeName: 'fake', runtimeVersion: '1', runtimeApiVersion: 'v1' }),
    status: () => ({
      status: { conditions: ['RuntimeReady', 'NetworkReady'].map((type) => ({ type, status: true })) },
    }),
  };
  const under = apart ? { under: apart } : {};
  test('a runtime that lists its sandboxes and does not tell of itself: nothing is known of it', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('cri.sock'), listing);
    const { code, stdout, stderr } = await check(dir.join('cri.sock'), under);
    assert.deepEqual([code, stderr], [69, '']);
    assert.match(stdout, /^Nothing could be observed: the runtime does not implement Status\.\n/);
    assert.match(stdout, /\n {2}container list: the runtime does not implement ListContainers\n/);
    assert.doesNotMatch(stdout, /sandbox list/, 'that one was read');
  });
  test('a runtime that tells all but its containers: no fault, and no clean bill either', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('cri.sock'), answering);
    const { code, stdout, stderr } = await check(dir.join('cri.sock'), under);
    assert.deepEqual([code, stderr], [10, '']);
    assert.match(stdout, /^No fault found, but not all could be seen: the containers could not be listed;/);
    assert.match(stdout, /\n {2}container list: the runtime does not implement ListContainers\n/);
  });
});

test('names that drive the terminal are shown and not obeyed, in every format', async () => {
  await using dir = await tempDir();
  const name = '\u001b[2J\u202egnp.exe\u0007</b>';
  const sandbox = (attempt: number, createdAt: bigint) => ({
    id: `${attempt}`.repeat(64),
    metadata: { name, namespace: '\u001b]0;owned\u0007', uid: 'u\u2066', attempt },
    state: PodSandboxState.SANDBOX_NOTREADY,
    createdAt,
  });
  await using _ = await fakeCri(dir.join('cri.sock'), {
    version: () => ({ runtimeName: 'containerd\u001b[31m', runtimeVersion: '1', runtimeApiVersion: 'v1' }),
    status: () => ({ status: { conditions: [{ type: 'RuntimeReady', status: true, message: '\u001b[5m' }] } }),
    listPodSandbox: () => ({ items: [sandbox(0, 4_000_000_000_000_000_000n), sandbox(1, 1n)] }),
    listContainers: () => ({ containers: [] }),
  });
  for (const format of ['text', 'json', 'sarif', 'junit']) {
    const args = ['check', '--runtime-endpoint', dir.join('cri.sock'), '--show', 'all', '-o', format];
    const { code, stdout } = await sandwarden(args);
    assert.notEqual(code, 70);
    assert.ok(isSafeText(stdout.replaceAll('\n', '')), format);
    assert.match(stdout, format === 'text' ? /\\x1b\[2J\\u\{202e\}gnp\.exe/ : /gnp\.exe/);
  }
});

describe('files that are none', () => {
  test('a snapshot that is cut, of another program, missing', async () => {
    await using dir = await tempDir();
    const whole = encodeSnapshot(healed);
    writeFileSync(dir.join('cut.json'), whole.slice(0, 1_000));
    writeFileSync(dir.join('other.json'), '{"hello":"world"}');
    writeFileSync(dir.join('changed.json'), whole.replace('"takenBy"', '"takenBuy"'));
    for (const name of ['cut', 'other', 'changed']) {
      assertError(await sandwarden(['check', '--snapshot', dir.join(`${name}.json`)]), 64, /snapshot/);
    }
    assertError(await sandwarden(['check', '--snapshot', dir.join('none.json')]), 69, /no file/);
  });
  test('a snapshot beside a live option', async () => {
    assertError(await sandwarden(['check', '--snapshot', 'x', '--timeout', '3']), 64, /contradict/);
  });
  test('a snapshot that would be a file by the name of a format, or is cut off by a full disk', async () => {
    await using dir = await tempDir();
    assertError(await sandwarden(['snapshot', '-o', 'yaml']), 64, /would be a file called 'yaml'/);
    const under = ['bash', '-c', 'ulimit -f 1; trap "" XFSZ; exec "$@"', 'sh'] as const;
    const args = ['snapshot', '--runtime-endpoint', '/nonexistent.sock', '-o'];
    assertError(await sandwarden([...args, dir.join('node.json')], { under }), 69, /cannot write .*EFBIG/);
    assert.ok(!existsSync(dir.join('node.json')), 'a half of one is left');
    assertError(await sandwarden([...args, '/dev/full']), 69, /ENOSPC/);
    assert.ok(existsSync('/dev/full'));
  });
  test('a snapshot is written and read again; a link is not followed', async () => {
    await using dir = await tempDir();
    const args = ['snapshot', '--runtime-endpoint', '/nonexistent.sock', '-o'];
    assert.equal((await sandwarden([...args, dir.join('node.json')], apart ? { under: apart } : {})).code, 0);
    assert.equal((await sandwarden(['check', '--snapshot', dir.join('node.json')])).code, 69);
    spawnSync('ln', ['-s', dir.join('target'), dir.join('link')]);
    assertError(await sandwarden([...args, dir.join('link')]), 69, /symbolic link/);
  });
});

describe('how text looks', () => {
  const text = async (env: Record<string, string>, ...args: string[]) => {
    await using dir = await tempDir();
    writeFileSync(dir.join('node.json'), encodeSnapshot(stuck));
    return (await sandwarden(['check', '--snapshot', dir.join('node.json'), ...args], { env })).stdout;
  };
  test('colour: none in a pipe, FORCE_COLOR brings it, --no-color takes it', async () => {
    assert.ok(!(await text({})).includes('\u001b['));
    assert.ok((await text({ FORCE_COLOR: '1' })).includes('\u001b[31m'));
    assert.ok(!(await text({ FORCE_COLOR: '1' }, '--no-color')).includes('\u001b['));
    assert.ok(!(await text({ NO_COLOR: '1' })).includes('\u001b['));
  });
  test('ASCII for a dumb terminal and for a locale that is not UTF-8', async () => {
    assert.match(await text({}), /└─/);
    for (const env of [{ TERM: 'dumb' }, { LC_ALL: 'C' }, { LC_ALL: '', LC_CTYPE: 'POSIX', LANG: 'C.UTF-8' }]) {
      assert.match(await text(env), /^[\x20-\x7e\n]*$/);
    }
    assert.match(await text({ LC_ALL: '', LC_CTYPE: '', LANG: 'de_DE.utf8' }), /└─/);
  });
  test('the width is that of COLUMNS, and at least 40', async () => {
    const widest = (of: string) =>
      Math.max(
        ...of
          .split('\n')
          .filter((line) => !line.includes('--only'))
          .map((line) => line.length),
      );
    assert.ok(widest(await text({ COLUMNS: '60' })) <= 60);
    assert.ok(widest(await text({ COLUMNS: '5' })) <= 40);
    assert.ok(widest(await text({})) > 80);
  });
});

describe('the small commands', () => {
  test('--version, --help, and help of a command', async () => {
    assert.match((await sandwarden(['--version'])).stdout, /^sandwarden (dev|\d+\.\d+\.\d+)\n$/);
    assert.match((await sandwarden(['--help'])).stdout, /usage: sandwarden COMMAND/);
    assert.match((await sandwarden(['heal', '--help'])).stdout, /--allow TIER/);
  });
  test('explain and findings', async () => {
    assert.match((await sandwarden(['explain', 'sw102'])).stdout, /^SW102 /);
    assertError(await sandwarden(['explain', 'SW1O2']), 64, /SW1O2/);
    assert.ok(JSON.parse((await sandwarden(['findings', '-o', 'json'])).stdout).length >= 12);
  });
  test('explain: a pod without the word pod, a code with what only a pod takes', async () => {
    assertError(await sandwarden(['explain', 'default/web']), 64, /\n {2}.*'sandwarden explain pod default\/web'/);
    assertError(await sandwarden(['explain', 'pods']), 64, /Did you mean 'pod'/);
    assertError(await sandwarden(['explain', 'SW101', '--snapshot', '/nope']), 64, /does not take '--snapshot'/);
  });
  test('a deadline that is none, or longer than makes sense, and an --only of nothing', async () => {
    for (const none of ['0', 'x', '1e9', '-1']) {
      assertError(await sandwarden(['check', `--timeout=${none}`]), 64, /is no duration for '--timeout'/);
    }
    assertError(await sandwarden(['check', '--timeout', '99999']), 64, /is longer than 3h for '--timeout'/);
    assertError(await sandwarden(['check', '--watch', '9999d']), 64, /is longer than 23d for '--watch'/);
    assertError(await sandwarden(['heal', '--only', '/']), 64, /'--only \/' names no finding/);
  });
  test('a --root that is not there is no image where nothing is installed', async () => {
    for (const command of ['status', 'install', 'uninstall']) {
      assertError(await sandwarden([command, '--root', '/nonexistent']), 64, /there is no directory '\/nonexistent'/);
      assertError(await sandwarden([command, '--root', import.meta.filename]), 64, /there is no directory/);
    }
  });
  test('30: history of a damaged journal tells what is whole, and where it is damaged', async () => {
    await using dir = await tempDir();
    writeFileSync(join(dir.path, 'journal.ndjson'), damagedJournal(), { mode: 0o600 });
    const text = await sandwarden(['history', '--state-dir', dir.path]);
    assert.equal(text.code, 30);
    assert.match(text.stdout, /note +before\n[\s\S]*note +after\n[\s\S]*journal\.ndjson:2: it has no checksum/);
    const json = await sandwarden(['history', '--state-dir', dir.path, '-o', 'json']);
    assert.equal(json.code, 30);
    const { entries, damage } = JSON.parse(json.stdout);
    assert.deepEqual(
      entries.map((each: { text: string }) => each.text),
      ['before', 'after'],
    );
    assert.deepEqual(damage, [{ file: join(dir.path, 'journal.ndjson'), line: 2, why: 'it has no checksum' }]);
  });
  test('history of a node where nothing was done', async () => {
    await using dir = await tempDir();
    const ended = await sandwarden(['history', '--state-dir', dir.path]);
    assert.deepEqual([ended.code, ended.stderr], [0, '']);
    assert.match(ended.stdout, /Nothing was done here/);
    assertError(await sandwarden(['history', '--since', 'yesterday']), 64, /no time/);
  });
  test('errors as JSON where JSON was asked for', async () => {
    const ended = await sandwarden(['explain', 'nothing', '-o', 'json']);
    assert.equal(ended.stdout, '');
    assert.deepEqual(Object.keys(JSON.parse(ended.stderr).error), ['code', 'message', 'hint', 'exitCode']);
  });
  test('a reader that goes away is no error', () => {
    const main = resolve(import.meta.dirname, '../../src/main.ts');
    const script = `set -o pipefail; '${process.execPath}' '${main}' findings -o json | head -c 10`;
    const { status, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, '']);
  });
  test('a full disk behind > is 74, however little was written and whatever came after it', () => {
    const main = resolve(import.meta.dirname, '../../src/main.ts');
    for (const args of ['--version', '--help', 'findings', 'demo --fast']) {
      const script = `'${process.execPath}' '${main}' ${args} 2>&1 >/dev/full | grep 'cannot write'; exit \${PIPESTATUS[0]}`;
      const { status, stdout } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
      assert.equal(status, 74, args);
      assert.match(stdout, /^sandwarden: cannot write the output: .*\n$/);
    }
  });
  test('where only stderr cannot be written, the exit code is what is left to say it', () => {
    const main = resolve(import.meta.dirname, '../../src/main.ts');
    const script = `'${process.execPath}' '${main}' explain nothing 2>/dev/full`;
    assert.equal(spawnSync('bash', ['-c', script]).status, 64);
  });
  test('a bug of ours asks for a report and ends with 70', () => {
    const style = { colour: false, unicode: true, width: 120 };
    const { text, exitCode } = describeError(new TypeError('x is \u001b[2J not a function'), style, false);
    assert.equal(exitCode, 70);
    assert.match(text, /this is a bug of ours: x is \\x1b\[2J not a function/);
    assert.match(text, /sandwarden snapshot -o node\.json/);
  });
  test('the demonstration: from 48 pods down to healthy', async () => {
    const { code, stdout } = await sandwarden(['demo', '--fast']);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /48 pods do not run: the node booted with its clock 2 h behind/);
    assert.match(stdout, /not touching shop\/nightly-report\/0: finished pod/);
    assert.match(stdout, /Recovered in \d+s: 48 pods came back/);
    assert.match(stdout, /Healthy: 48 pods have their sandboxes; 1 NotReady sandbox is a normal leftover\.\n$/);
  });
});

/** Three lines, of which the middle one is none. */
function damagedJournal(): string {
  const at = { wallNs: 1_795_290_000_000_000_000n, uptimeNs: 60_000_000_000n, bootId: 'b' };
  const note = (seq: number, text: string) => encodeEntry({ v: 1, seq, runId: 'one', at, kind: 'note', text });
  return `${note(1, 'before')}no entry\n${note(3, 'after')}`;
}
