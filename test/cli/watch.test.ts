// Goal: a line a change, a table that fits the terminal, JSON that a script can read. Method: goldens of a fight that
// is told by hand, in each width; laws over hostile names; the command line as a program.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readDuration } from '../../src/cli/frame/duration.ts';
import type { Output } from '../../src/cli/frame/io.ts';
import { columnsOf } from '../../src/cli/render/layout.ts';
import { JsonWatchReport } from '../../src/cli/render/watch-json.ts';
import type { WatchReport } from '../../src/cli/render/watch-report.ts';
import { TextWatchReport } from '../../src/cli/render/watch-text.ts';
import { PodNames } from '../../src/cli/watch-names.ts';
import { isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import { limits } from '../../src/model/limits.ts';
import { isSafeText } from '../../src/model/safe-text.ts';
import { decodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { allControllers, besteffort, burstable, kubepods, ToldWatch } from '../helpers/watched-tree.ts';
import { assertGolden } from './golden.ts';
import { sandwarden } from './spawn.ts';
import { styles } from './styles.ts';

class Sink implements Output {
  readonly takesColour = false;
  readonly columns = undefined;
  readonly isTerminal: boolean;
  text = '';
  constructor(isTerminal: boolean) {
    this.isTerminal = isTerminal;
  }
  write(text: string): void {
    this.text += text;
  }
}

const withoutCpuset = 'cpu io memory hugetlb pids';

/** A fight over cpuset, a slice that is made anew, an overflow, and a pod whose name drives the terminal. */
function tell(report: WatchReport, namedBy?: string): void {
  const told = new ToldWatch();
  for (const uid of ['be-1', 'be-2']) told.tree.pod(besteffort, uid);
  told.tree.process(700, namedBy ?? 'runc', '/system.slice/containerd.service');
  const name = namedBy ?? 'be';
  report.start({ watch: told.watch, whyNoNames: namedBy });
  const act = (afterMs: number, awayNs: bigint | undefined, what: () => void) => {
    told.nowNs += BigInt(afterMs) * 1_000_000n;
    told.events.splice(0);
    what();
    const pods = [{ uid: 'be-1', namespace: 'default', name }, { uid: 'be-2' }];
    for (const event of told.events)
      report.event(event, awayNs, event.kind === 'change' ? pods.slice(0, event.pods.length) : []);
  };
  act(1_000, undefined, () => told.write(besteffort, withoutCpuset, 1));
  act(64, 64_000_000n, () => told.write(besteffort, allControllers, 376));
  act(500, undefined, () => told.write(burstable, withoutCpuset, 575));
  act(2_400, 2_400_000_000n, () => told.write(burstable, allControllers, 700));
  act(10, undefined, () => told.tell({ kind: 'overflow' }));
  act(57_000, undefined, () => {
    told.tree.make(kubepods, allControllers);
    told.changed('', 'kubepods.slice');
  });
  report.note('The names of pods are not known: nobody answers.');
  act(1, undefined, () => told.write(besteffort, withoutCpuset, 1));
  told.nowNs += 119_025_000_000n;
  const watched = { end: 'time' as const, changes: told.watch.result(), missing: told.watch.missing() };
  report.end({ watched, watchedNs: 180_000_000_000n, exitCode: 10 });
}

describe('text', () => {
  for (const [name, style] of Object.entries(styles)) {
    test(`at a terminal, ${name}`, () => {
      const sink = new Sink(true);
      tell(new TextWatchReport(sink, () => style));
      assertGolden(`watch-terminal.${name}.txt`, sink.text);
      for (const line of sink.text.split('\n')) assert.ok(columnsOf(line) < style.width, line);
      if (!style.unicode) assert.match(sink.text, /^[\x20-\x7e\n]*$/);
    });
  }
  test('elsewhere a change is one line, and nothing moves the cursor', () => {
    const sink = new Sink(false);
    tell(new TextWatchReport(sink, () => ({ width: 80, colour: false, unicode: true })));
    assertGolden('watch-pipe.txt', sink.text);
    assert.equal(sink.text.match(/^\d\d:\d\d:\d\d\.\d{3}Z {2}cpuset (gone|back) /gm)?.length, 5);
    assert.ok(isSafeText(sink.text.replaceAll('\n', '')));
  });
  test('names of others drive no terminal', () => {
    const sink = new Sink(false);
    tell(new TextWatchReport(sink, () => ({ width: 80, colour: false, unicode: false })), '\u001b[2J\u202eevil');
    assert.match(sink.text, /^[\x20-\x7e\n]*$/);
  });
});

test('json: one object a line, from start to end', () => {
  const sink = new Sink(false);
  tell(new JsonWatchReport(sink));
  assertGolden('watch.jsonl', sink.text);
  const lines = sink.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; summary?: string[] });
  assert.equal(lines[0]?.type, 'start');
  assert.equal(lines.at(-1)?.type, 'end');
  assert.deepEqual(lines.at(-1)?.summary, [
    'cpuset left kubepods-besteffort.slice twice in 3 min: taken by systemd (pid 1), put back by kubelet (pid 376); ' +
      'it is missing now',
    'cpuset left kubepods-burstable.slice once in 3 min: taken by a process that was gone at once (pid 575), ' +
      'put back by runc (pid 700)',
  ]);
});

test('a duration', () => {
  const read = (typed: string) => readDuration(typed, '--for', limits.watchForMs);
  assert.deepEqual(
    ['90', '90s', '1.5m', '1h', '2min', '250ms', '1d'].map(read),
    [90_000, 90_000, 90_000, 3_600_000, 120_000, 250, 86_400_000],
  );
  for (const typed of ['0', '-1s', '5 m', '', 'm', '24d', '999999999d', '1e3']) {
    assert.throws(
      () => read(typed),
      (error) => isSandwardenError(error, 'ERR_USAGE'),
      typed,
    );
  }
});

test('the names of pods: what is not known is asked for again, and seldom', async () => {
  let [asked, nowNs] = [0, 0n];
  const clock = { wallNs: () => 0n, uptimeNs: () => nowNs, sleep: () => Promise.resolve() };
  const names = new PodNames(async () => {
    asked++;
    if (asked === 3) throw new SandwardenError('ERR_SOCKET_HUNG', 'it hangs', { hint: '' });
    return [{ uid: `u${asked}`, namespace: 'default', name: 'web' }];
  }, clock);
  assert.equal(await names.load(), undefined);
  assert.deepEqual(names.of(['u2', 'u1']), [{ uid: 'u1', namespace: 'default', name: 'web' }, { uid: 'u2' }]);
  assert.equal(asked, 1, 'it was asked a moment ago');
  nowNs = BigInt(limits.watchNamesEveryMs) * 1_000_000n;
  names.of(['u2']);
  await new Promise(setImmediate);
  assert.equal(asked, 2);
  assert.deepEqual(names.of(['u2']), [{ uid: 'u2', namespace: 'default', name: 'web' }]);
  assert.equal(await names.load(), 'it hangs');
  assert.equal(await new PodNames(undefined, clock).load(), 'no container runtime was found');
});

describe('as a program', () => {
  test('what cannot be: 64', async () => {
    for (const args of [
      ['watch'],
      ['watch', 'pods'],
      ['watch', 'controllers', '--for', 'soon'],
      ['check', '--watch', '0'],
    ]) {
      const { code, stdout } = await sandwarden(args);
      assert.equal(code, 64, args.join(' '));
      assert.equal(stdout, '');
    }
    const both = await sandwarden(['check', '--watch', '1s', '--snapshot', 'x.json']);
    assert.equal(both.code, 64);
    assert.match(both.stderr, /contradict/);
  });
  test('what was watched before a look is in the snapshot, or why nothing could be', async () => {
    const { code, stdout, stderr } = await sandwarden(['snapshot', '--watch', '200ms']);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^watching the slices for 200ms/);
    const { controllerChanges } = decodeSnapshot(stdout);
    assert.ok(controllerChanges);
    if (controllerChanges.known) assert.match(controllerChanges.value.by, /^(fanotify|inotify)$/);
    else assert.match(controllerChanges.code, /^ERR_(NOT_SUPPORTED|FORBIDDEN)$/);
  });
});
