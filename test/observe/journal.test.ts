// Goal: logs are read with bounds and without waiting, from the journal or a file, and a silence is explained.
// Method: a fake journalctl, real children, files, and a fifo.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import { endOfBoot, observeBoots, parseBootList } from '../../src/observe/boots.ts';
import { type Run, run } from '../../src/observe/child.ts';
import { readKubeletLog, readRuntimeLog } from '../../src/observe/journal.ts';
import { LineSplitter } from '../../src/observe/lines.ts';
import { readText } from '../../src/observe/read-file.ts';
import { runs } from '../helpers/fuzz.ts';
import { recordedLines } from '../helpers/recording.ts';
import { tempDir } from '../helpers/temp.ts';

const nowNs = 1_795_284_081_000_000_000n;
const bootId = 'b79c4359b11e48b989924690bec1142b';
const source = { units: ['kubelet.service'], nowNs, bootId };

describe('the journal', () => {
  it('is asked for this boot, the units, a time and a number of lines', async () => {
    const asked: string[][] = [];
    const log = await readKubeletLog({
      ...source,
      run: answering(recordedLines('clock-step/stuck', 'kubelet'), '', asked),
    });
    assert.ok(log.known);
    assert.equal(log.value.version, 'v1.34.9');
    assert.equal(log.value.lines, 417, 'the lines of the boot before are left out');
    for (const part of ['-b', '--all', '--unit=kubelet.service', '--since=@1795282281', '20000'])
      assert.ok(asked[0]?.includes(part), part);
    assert.equal(asked.length, 1);
  });

  it('without a line says whether it is forbidden, not there, or quiet', async () => {
    const read = (stderr: string, last: string[]) => {
      const runner: Run = (argv, options) => {
        if (!argv.some((each) => each.startsWith('--since'))) for (const line of last) options?.onLine?.(line);
        return Promise.resolve({ stdout: '', stderr });
      };
      return readKubeletLog({ ...source, run: runner });
    };
    const forbidden = await read('Hint: You are currently not seeing messages from other users', []);
    assert.ok(!forbidden.known && forbidden.code === 'ERR_FORBIDDEN');
    const none = await read('No journal files were found.', []);
    assert.ok(!none.known && none.code === 'ERR_NOT_SUPPORTED' && none.hint !== '');
    const quiet = await read('', recordedLines('clock-step/stuck', 'kubelet').slice(-1));
    assert.ok(quiet.known && quiet.value.lines === 0);
  });

  it('that is not there is unknown with a hint', async () => {
    const runner: Run = (argv, options) => run(['/nonexistent/journalctl', ...argv.slice(1)], options);
    const log = await readKubeletLog({ ...source, run: runner });
    assert.ok(!log.known && log.code === 'ERR_COMMAND_MISSING' && log.hint !== '');
  });
});

describe('a log file', () => {
  it('of journal records or plain lines is read; a missing one is told', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('a'), recordedLines('clock-step/stuck', 'kubelet').join('\n'));
    const records = await readKubeletLog({ ...source, file: dir.join('a') });
    assert.ok(records.known && records.value.nameHeld.length === 2 && !records.value.truncated);
    const missing = await readKubeletLog({ ...source, file: dir.join('none') });
    assert.ok(!missing.known && missing.code === 'ERR_FILE');
  });

  it('of which no line is the program’s and of this boot is unknown, and says what its lines are', async () => {
    await using dir = await tempDir();
    const ofBefore = recordedLines('clock-step/stuck', 'kubelet').filter((line) => !line.includes(bootId));
    const containerd = 'time="2026-11-21T18:00:00Z" level=info msg="starting containerd"';
    const klog = 'I1121 18:00:01.981377     367 server.go:529] "Kubelet version" kubeletVersion="v1.34.9"';
    const noise = Buffer.from(Array.from({ length: 3_000 }, (_, at) => (at * 7_919 + (at >> 3)) % 256));
    const cases: [title: string, content: string | Buffer, kubelet: RegExp | undefined, runtime: RegExp | undefined][] =
      [
        ['empty', '', /has no line$/, /has no line$/],
        ['empty lines', '\n\n', /has no line$/, /has no line$/],
        ['noise', noise, /lines: \d+ not kubelet's\)$/, /lines: \d+ not the runtime's\)$/],
        [
          'another boot',
          ofBefore.join('\n'),
          new RegExp(`\\(${ofBefore.length} lines: ${ofBefore.length} of another boot\\)$`),
          /boot\)$/,
        ],
        [
          'another boot, cut at both ends',
          ofBefore.slice(0, 3).join('\n').slice(100, -200),
          /\(3 lines: 1 of another boot, 2 cut off\)$/,
          /\(3 lines: 1 of another boot, 2 cut off\)$/,
        ],
        ['the other one’s log', `${containerd}\n`, /\(1 line: 1 not kubelet's\)$/, undefined],
        ['the other one’s log', `${klog}\n`, undefined, /\(1 line: 1 not the runtime's\)$/],
      ];
    for (const [title, content, kubelet, runtime] of cases) {
      await writeFile(dir.join('log'), content);
      const file = dir.join('log');
      for (const [expected, log, option] of [
        [kubelet, await readKubeletLog({ ...source, file }), '--kubelet-log'],
        [runtime, await readRuntimeLog({ ...source, file }), '--runtime-log'],
      ] as const) {
        assert.equal(log.known, expected === undefined, `${title} ${option}`);
        if (log.known || expected === undefined) continue;
        assert.equal(log.code, 'ERR_FILE');
        assert.match(log.message, expected, title);
        assert.ok(log.message.includes(file) && log.hint.includes(option), title);
      }
    }
  });

  it('of a node that is merely quiet is read: one line of its program is enough', async () => {
    await using dir = await tempDir();
    const recorded = recordedLines('clock-step/stuck', 'kubelet');
    const lines = [
      recorded.find((line) => line.includes(bootId) && line.includes('Kubelet version')) ?? '',
      'I1121 18:00:01.981377     367 server.go:1268] "Started kubelet"',
      '{"ts":1795284001981.1,"caller":"app/server.go:1268","msg":"Started kubelet","v":0}',
      'time="2026-11-21T18:00:00Z" level=info msg="Starting k3s v1.31.6+k3s1 (6ab750f9)"',
      'time="2026-11-21T18:00:00Z" level=info msg="Running kubelet --cgroup-driver=systemd"',
      `{"__REALTIME_TIMESTAMP":"1795284001000000","_BOOT_ID":"${bootId}","_COMM":"kubelet","MESSAGE":"goroutine 1"}`,
    ];
    for (const line of lines) {
      await writeFile(dir.join('log'), `what is nobody's\n${line}\n`);
      const log = await readKubeletLog({ ...source, file: dir.join('log') });
      assert.ok(log.known && log.value.lines === 2 && log.value.nameHeld.length === 0, line);
    }
    const quiet = ['level=info msg="starting containerd" time="2026-11-21T18:00:00Z"', '{"level":"info","msg":"x"}'];
    for (const line of quiet) {
      await writeFile(dir.join('log'), `what is nobody's\n${line}\n`);
      assert.ok((await readRuntimeLog({ ...source, file: dir.join('log') })).known, line);
    }
  });

  it('of a distribution that ends before this boot is unknown; a line of this boot makes it known', async () => {
    await using dir = await tempDir();
    const at = (time: string) => `time="2026-11-21T${time}Z" level=info msg="starting containerd"\n`;
    const found = { ...source, file: dir.join('log'), isFileFound: true, notBeforeNs: nowNs - 600_000_000_000n };
    await writeFile(dir.join('log'), at('10:00:00') + at('17:51:20'));
    const before = await readRuntimeLog(found);
    assert.ok(!before.known && /\(2 lines: 2 dated before this boot\)$/.test(before.message), JSON.stringify(before));
    assert.match(before.hint, /kept here; .*--runtime-log FILE/);
    await writeFile(dir.join('log'), at('10:00:00') + at('17:51:22'));
    const during = await readRuntimeLog(found);
    assert.ok(during.known && during.value.lines === 1);
  });

  it('that is a fifo or a device is refused at once', async () => {
    await using dir = await tempDir();
    execFileSync('mkfifo', [dir.join('fifo')]);
    for (const file of [dir.join('fifo'), '/dev/zero', dir.path]) {
      const log = await readKubeletLog({ ...source, file });
      assert.ok(!log.known && log.code === 'ERR_FILE', file);
    }
  });

  it('over the limit of a configuration file is refused', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('a'), 'x'.repeat(11));
    assert.equal((await readText(dir.join('a'), 11))?.length, 11);
    await assert.rejects(readText(dir.join('a'), 10), (error) => isSandwardenError(error, 'ERR_FILE'));
  });
});

describe('LineSplitter', () => {
  it('gives the lines whatever the chunks are, and cuts long ones', () => {
    const line = fc.string({ unit: fc.constantFrom('a', 'ä', '€'), minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(40)), (lines, cuts) => {
        const seen: string[] = [];
        const splitter = new LineSplitter(1_000, (each) => seen.push(each));
        let rest = Buffer.from(lines.join('\n'));
        for (const cut of cuts) {
          splitter.push(rest.subarray(0, cut));
          rest = rest.subarray(cut);
        }
        splitter.push(rest);
        splitter.end();
        assert.deepEqual(seen, lines);
      }),
      runs(300),
    );
    const seen: string[] = [];
    const splitter = new LineSplitter(3, (each) => seen.push(each));
    splitter.push(Buffer.from('abcdef\ngh\n'));
    assert.deepEqual(seen, ['abc', 'gh']);
  });
});

describe('a child', () => {
  it('that hangs, fails, or says too much is ended and told', async () => {
    const failing = (argv: [string, ...string[]], options = {}) =>
      run(argv, options).then(
        () => undefined,
        (error: unknown) => error,
      );
    const hung = await failing(['sleep', '60'], { timeoutMs: 50 });
    assert.ok(isSandwardenError(hung, 'ERR_COMMAND_FAILED') && /no end after/.test(hung.message));
    const loud = await failing(['cat', '/dev/zero'], { maxBytes: 10_000 });
    assert.ok(isSandwardenError(loud, 'ERR_COMMAND_FAILED') && /more than 10000 bytes/.test(loud.message));
    const wrong = await failing(['ls', '/nonexistent']);
    assert.ok(wrong instanceof SandwardenError && /No such file/.test(wrong.message));
    assert.equal((await run(['echo', '$HOME'])).stdout, '$HOME\n');
    assert.equal((await run(['printf', 'a\n\nb'])).stdout, 'a\n\nb');
  });
});

describe('boots', () => {
  const list = JSON.stringify([
    { index: 0, boot_id: bootId, first_entry: 30, last_entry: 40 },
    { index: -1, boot_id: 'a'.repeat(32), first_entry: 10, last_entry: 20 },
    { index: -2, boot_id: 'c'.repeat(32), first_entry: 1, last_entry: 2 },
    { boot_id: 'none' },
    7,
  ]);

  it('end cleanly with a shutdown record and uncleanly without', async () => {
    const stopped = JSON.stringify({
      MESSAGE: 'Journal stopped',
      MESSAGE_ID: 'd93fb3c9c24d451a97cea615ce59c00b',
      __REALTIME_TIMESTAMP: '20',
    });
    const runner: Run = (argv, options) => {
      if (argv.includes('--list-boots')) return Promise.resolve({ stdout: list, stderr: '' });
      options?.onLine?.(
        argv.includes('a'.repeat(32)) ? stopped : JSON.stringify({ MESSAGE: 'working', __REALTIME_TIMESTAMP: '2' }),
      );
      return Promise.resolve({ stdout: '', stderr: '' });
    };
    const boots = await observeBoots(bootId, runner);
    assert.ok(boots.known);
    assert.deepEqual(
      boots.value.map((each) => [each.firstNs, each.end]),
      [
        [1_000n, 'unclean'],
        [10_000n, 'clean'],
        [30_000n, 'running'],
      ],
    );
  });

  it('know systemd’s words, but not those of a program that only says so', () => {
    assert.equal(endOfBoot([{ text: 'Reached target System Power Off.', comm: 'systemd' }]), 'clean');
    assert.equal(endOfBoot([{ text: 'Reached target reboot.target - System Reboot.', pid: 1 }]), 'clean');
    assert.equal(endOfBoot([{ text: 'Reached target System Power Off.', comm: 'app' }]), 'unclean');
    assert.equal(endOfBoot([{ text: 'Reached target network.target - Network.', comm: 'systemd' }]), 'unclean');
    assert.equal(endOfBoot([]), 'unknown');
  });

  it('are read from the table of systemd before 251', () => {
    const table =
      ` -1 ${'a'.repeat(32)} Sat 2026-11-21 19:58:36 UTC—Sat 2026-11-21 19:59:39 UTC\n` +
      `  0 ${bootId} Sat 2026-11-21 17:59:54 UTC—Sat 2026-11-21 18:01:17 UTC\n`;
    const second = (text: string) => BigInt(Date.parse(text)) * 1_000_000n;
    const [first, last] = [second('2026-11-21T17:59:54Z'), second('2026-11-21T18:01:17Z')];
    const boots = parseBootList(table, bootId);
    assert.deepEqual(
      boots.map((each) => each.end),
      ['unknown', 'running'],
    );
    assert.deepEqual(boots[1], { bootId, firstNs: first, lastNs: last, end: 'running' });
  });

  it('of any text are a list', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => assert.ok(Array.isArray(parseBootList(text, bootId)))),
      runs(300),
    );
  });
});

function answering(lines: readonly string[], stderr: string, asked: string[][]): Run {
  return (argv, options) => {
    asked.push([...argv]);
    for (const line of lines) options?.onLine?.(line);
    return Promise.resolve({ stdout: '', stderr });
  };
}
