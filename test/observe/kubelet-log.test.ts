// Goal: kubelet's log is understood in every form it was seen in, counted right, and never believed too much.
// Method: lines of recorded nodes, their variants by version, and hostile ones; time is measured for the long ones.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { KubeletLog } from '../../src/model/records.ts';
import { KubeletLogReader } from '../../src/observe/kubelet-log.ts';
import { parseJournalLine } from '../../src/observe/log-line.ts';
import { parseFields } from '../../src/observe/logfmt.ts';
import { findHeld } from '../../src/observe/name-held.ts';
import { runs } from '../helpers/fuzz.ts';
import { readRecording, recordedLines } from '../helpers/recording.ts';

const uid = '952445e6-2148-4759-81f5-bfa26c3b4f8c';
const id = '139aa633ee1386201936f3719e1dd3f795de7a27622f43e4af3b82eba9d057ea';
const nowNs = BigInt(Date.parse('2026-11-21T18:01:21Z')) * 1_000_000n;
const heldText = `failed to reserve sandbox name "be_default_${uid}_1": name "be_default_${uid}_1" is reserved for "${id}"`;
const escaped = (text: string) => text.replace(/[\\"]/g, '\\$&');

describe('a recorded log', () => {
  it('of a stuck node names both held names, each counted once per failure', () => {
    const log = readRecording('clock-step/stuck').kubeletLog;
    assert.ok(log.known);
    assert.equal(log.value.version, 'v1.34.9');
    const seen = log.value.nameHeld.map((each) => [each.kind, each.asked.name, each.asked.attempt, each.count]);
    assert.deepEqual(seen, [
      ['sandbox', 'be', 1, 6],
      ['sandbox', 'web', 1, 6],
    ]);
    assert.equal(log.value.nameHeld[0]?.holderId, id);
    assert.equal(log.value.nameHeld[0]?.first.monotonicUs, 30_618_219n);
  });

  it('of a healthy node names none', () => {
    for (const name of ['normal-reboot', 'cgroup-flapping'] as const) {
      const log = readRecording(name).kubeletLog;
      assert.ok(log.known && log.value.lines > 100);
      assert.deepEqual(log.value.nameHeld, [], name);
      assert.equal(log.value.version, 'v1.36.2');
    }
  });
});

describe('a held name', () => {
  const middle = '; check if another CreateContainer request is in progress';
  const container = `failed to reserve container name "c_be_default_${uid}_7"`;
  const forms = {
    plain: heldText,
    'escaped once': escaped(heldText),
    'escaped twice': escaped(escaped(heldText)),
    'escaped three times': escaped(escaped(escaped(heldText))),
  };
  for (const [name, text] of Object.entries(forms)) {
    it(`is found ${name}`, () => {
      assert.deepEqual(findHeld(`E x] "Error syncing" err="rpc error: ${text}" pod="a/b"`), {
        kind: 'sandbox',
        name: `be_default_${uid}_1`,
        holderId: id,
      });
    });
  }

  it('of a container is found with and without the middle part of newer containerd', () => {
    for (const part of ['', middle]) {
      const text = `${container}${part}: name "c_be_default_${uid}_7" is reserved for "${id}"`;
      const log = read(
        error(`log.go:32] "CreateContainer in sandbox from runtime service failed" err="${escaped(text)}"`),
      );
      const [held] = log.nameHeld;
      assert.equal(held?.kind, 'container');
      assert.deepEqual(held.asked, { container: 'c', name: 'be', namespace: 'default', uid, attempt: 7 });
    }
  });

  it('counts only where both names agree and the parts are those of a sandbox', () => {
    assert.equal(findHeld('failed to reserve sandbox name "a_b_c_1": name "a_b_c_2" is reserved for "x"'), undefined);
    const odd = 'failed to reserve sandbox name "a_b": name "a_b" is reserved for "x"';
    assert.deepEqual(
      read(error(`log.go:32] "RunPodSandbox from runtime service failed" err="${escaped(odd)}"`)).nameHeld,
      [],
    );
  });

  it('that is only quoted for information is not believed', () => {
    const line = `I1121 18:00:14.961749     367 event.go:389] "Event occurred" message="${escaped(heldText)}"`;
    assert.deepEqual(read(line).nameHeld, []);
  });

  it('is counted by time: the lines of one failure once, the next failure again', () => {
    const at = (ms: number) =>
      error(`log.go:32] "RunPodSandbox from runtime service failed" err="${escaped(heldText)}"`, ms);
    const log = read(at(0), at(10), at(12), at(600), at(605), at(15_000));
    assert.deepEqual(
      log.nameHeld.map((each) => each.count),
      [3],
    );
  });

  it('is found in the unstructured log of 1.20, in JSON logs, and behind a stream prefix', () => {
    const old = error(
      `remote_runtime.go:116] RunPodSandbox from runtime service failed: rpc error: code = Unknown desc = ${heldText}`,
    );
    const json = JSON.stringify({
      ts: 1795284014961.5,
      caller: 'remote/log.go:32',
      msg: 'RunPodSandbox from runtime service failed',
      err: heldText,
    });
    for (const line of [old, json, `??? ${old}`, `<3>${old}`]) assert.equal(read(line).nameHeld.length, 1, line);
  });
});

describe('the cgroup above all pods that kubelet refuses at its start', () => {
  const now = 'error validating root container [kubepods] : cgroup ["kubepods"] has some missing controllers: cpuset';
  const old = "root container [kubepods] doesn't exist";
  const failed = (text: string) =>
    `kubelet.go:1566] "Failed to start ContainerManager" err="failed to initialize top level QOS containers: ${escaped(text)}"`;
  const brief = (log: KubeletLog) =>
    log.rootCgroupRefused?.map(({ text, missing, count }) => [text, missing, count].join('|'));

  it('is quoted in the words of 1.31 and newer and of 1.30 and older, with its count and moments', () => {
    const log = read(error(failed(now)), error(failed(now), 11_000), error(failed(old), 22_000));
    assert.deepEqual(brief(log), [`${now}|cpuset|2`, `${old}||1`]);
    const [first] = log.rootCgroupRefused ?? [];
    assert.equal((first?.last.wallNs ?? 0n) - (first?.first.wallNs ?? 0n), 11_000_000_000n);
  });

  it('is quoted from the fatal line of 1.20, from an invalid configuration, and from k3s', () => {
    const fatal = error(`kubelet.go:1384] Failed to start ContainerManager failed to initialize: ${old}`);
    const wrong = 'invalid configuration: cgroup ["a"] has some missing controllers: cpuset, pids';
    const k3s = `time="2026-11-21T18:00:00Z" level=error msg="kubelet exited: failed to run Kubelet: ${escaped(wrong)}"`;
    assert.deepEqual(brief(read(fatal.replace(/^E/, 'F'))), [`${old}||1`]);
    assert.deepEqual(brief(read(error(`run.go:72] "command failed" err="failed to run Kubelet: ${escaped(wrong)}"`))), [
      `${wrong}|cpuset,pids|1`,
    ]);
    assert.deepEqual(brief(read(k3s)), [`${wrong}|cpuset,pids|1`]);
  });

  it('is not believed where an event or the error of a pod quotes it', () => {
    const lines = [
      `event.go:389] "Event occurred" err="${escaped(now)}"`,
      `pod_workers.go:1] "Error syncing pod, skipping" err="${escaped(now)}" pod="default/be"`,
    ];
    assert.deepEqual(brief(read(...lines.map((line) => error(line)))), []);
    assert.deepEqual(brief(read(error(failed(now)).replace(/^E/, 'I'))), []);
  });
});

describe('a sandbox that cannot be stopped', () => {
  const why = `rpc error: code = Unknown desc = failed to destroy network for sandbox "${id}": cni plugin not initialized`;

  it('in a sync is told with the words of the call and the pod', () => {
    const log = read(
      error(`log.go:32] "StopPodSandbox from runtime service failed" err="${escaped(why)}" podSandboxID="${id}"`),
      error(`kuberuntime_manager.go:1] "Failed to stop sandbox" podSandboxID={"Type":"containerd","ID":"${id}"}`, 1),
      error(
        `pod_workers.go:1] "Error syncing pod, skipping" err="failed to \\"KillPodSandbox\\" for \\"${uid}\\" with KillPodSandboxError: \\"${escaped(escaped(why))}\\"" pod="default/be"`,
        2,
      ),
    );
    assert.equal(log.stopFailed.length, 1);
    const [only] = log.stopFailed;
    assert.deepEqual(
      [only?.during, only?.sandboxId, only?.podUid, only?.count, only?.error],
      ['sync', id, uid, 1, why],
    );
  });

  it('in the garbage collection is told in the form of now and of 1.20', () => {
    for (const line of [
      `kuberuntime_gc.go:180] "Failed to stop sandbox before removing" err="${escaped(why)}" sandboxID="${id}"`,
      `kuberuntime_gc.go:171] Failed to stop sandbox "${id}" before removing: ${why}`,
    ]) {
      const [only] = read(error(line)).stopFailed;
      assert.deepEqual([only?.during, only?.sandboxId, only?.error], ['gc', id, why], line);
    }
  });
});

describe('a RunPodSandbox that kubelet gave up', () => {
  it('is told once, with its pod', () => {
    const err = 'err="rpc error: code = DeadlineExceeded desc = context deadline exceeded"';
    const log = read(
      error(`log.go:32] "RunPodSandbox from runtime service failed" ${err}`),
      error(`kuberuntime_sandbox.go:72] "Failed to create sandbox for pod" ${err} pod="default/web"`, 1),
      error(`kuberuntime_manager.go:1353] "CreatePodSandbox for pod failed" ${err} pod="default/web"`, 2),
      error(
        'kuberuntime_sandbox.go:72] "Failed to create sandbox for pod" err="stream terminated by RST_STREAM with error code: CANCEL" pod="default/web"',
        250_000,
      ),
    );
    assert.deepEqual(
      log.runTimedOut.map((each) => [each.pod, each.count]),
      [[{ namespace: 'default', name: 'web' }, 2]],
    );
  });
});

describe('a plain file', () => {
  it('of k3s gives dates, the version of kubelet inside, and of k3s where kubelet’s line is not there', () => {
    const k3s = 'time="2026-11-21T18:00:00Z" level=info msg="Starting k3s v1.31.6+k3s1 (6ab750f9)"';
    assert.equal(read(k3s).version, 'v1.31.6+k3s1');
    const log = read(
      k3s,
      'I1121 18:00:01.981377     367 server.go:529] "Kubelet version" kubeletVersion="v1.31.6+k3s1"',
    );
    assert.equal(log.version, 'v1.31.6+k3s1');
    assert.equal(log.since?.wallNs, BigInt(Date.parse('2026-11-21T18:00:00Z')) * 1_000_000n);
    assert.equal(log.startedAt?.wallNs, BigInt(new Date(2026, 10, 21, 18, 0, 1).getTime()) * 1_000_000n + 981_377_000n);
  });
});

describe('a journal record', () => {
  it('may have its message as text, bytes, several texts, or null', () => {
    const of = (message: unknown) =>
      parseJournalLine(JSON.stringify({ MESSAGE: message, __REALTIME_TIMESTAMP: '5' }))?.text;
    assert.deepEqual([of('a'), of([104, 105, 255]), of(['a', 'b']), of(null), of(7)], ['a', 'hi\ufffd', 'a b', '', '']);
  });

  it('with a message beyond the limit is cut, and a record beyond it is none', () => {
    const line = (size: number) =>
      parseJournalLine(JSON.stringify({ MESSAGE: 'x'.repeat(size), __REALTIME_TIMESTAMP: '5' }));
    assert.equal(line(100_000)?.text.length, 64 * 1024);
    assert.equal(line(2_000_000), undefined);
  });
});

describe('hostile lines', () => {
  it('never throw, whatever they are', () => {
    const known = recordedLines('clock-step/stuck', 'kubelet')
      .filter((line) => line.includes('reserved for'))
      .slice(0, 8);
    const mutated = fc.tuple(
      fc.constantFrom(...known),
      fc.nat(),
      fc.nat(40),
      fc.string({ maxLength: 20, unit: 'binary' }),
    );
    fc.assert(
      fc.property(mutated, ([line, at, cut, insert]) => {
        const start = at % line.length;
        feed(line.slice(0, start) + insert + line.slice(start + cut));
      }),
      runs(1_000),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => feed(text)),
      runs(1_000),
    );
    fc.assert(
      fc.property(fc.json(), (text) => feed(text)),
      runs(300),
    );
  });

  it('of a megabyte are read in linear time', () => {
    const mega = (text: string) => text.repeat(Math.ceil(1_000_000 / text.length));
    const header = 'E1121 18:00:14.961749     367 log.go:32] "x" ';
    for (const [name, line] of Object.entries({
      backslashes: `${header}err="${mega('\\')}`,
      quotes: `${header}err=${mega('"')}`,
      marks: `${header}err="${mega('failed to reserve sandbox name "a_')}`,
      escaped: `${header}err="${mega('failed to reserve sandbox name \\\\\\"')}`,
      keys: header + mega('a='),
      brackets: `${header}x=${mega('{')}`,
      spaces: mega(' '),
      deadline: `${header}err="DeadlineExceeded ${mega('CreatePodSandboxError for pod "')}`,
      kill: `${header}err="KillPodSandboxError ${mega('failed to "KillPodSandbox" for "')}`,
      sandbox: `${header}err="KillPodSandboxError ${mega('sandbox "')}`,
      logfmt: mega('time="'),
      headers: mega('E1121 18:00:14.961749     367 '),
    })) {
      const start = performance.now();
      feed(line);
      parseFields(line);
      findHeld(line);
      const tookMs = performance.now() - start;
      // A parser that backtracks would take minutes; a loaded machine takes what it takes.
      assert.ok(tookMs < 10_000, `${name}: ${Math.round(tookMs)} ms`);
    }
  });

  it('cannot fill the memory with ever new names', () => {
    const reader = new KubeletLogReader(nowNs);
    for (let i = 0; i < 6_000; i++) {
      const text = heldText.replaceAll('be_default', `p${i}_default`);
      reader.add({ text: error(`log.go:32] "RunPodSandbox from runtime service failed" err="${escaped(text)}"`) });
    }
    assert.equal(reader.result(false).nameHeld.length, 5_000);
  });
});

function feed(line: string): void {
  const reader = new KubeletLogReader(nowNs);
  const journal = parseJournalLine(line);
  if (journal) reader.add(journal);
  reader.add({ text: line });
  reader.result(false);
}

function read(...lines: string[]): KubeletLog {
  const reader = new KubeletLogReader(nowNs);
  for (const text of lines) reader.add({ text });
  return reader.result(false);
}

/** An error line of klog, `afterMs` after 18:00:00. */
function error(rest: string, afterMs = 0): string {
  const date = new Date(2026, 10, 21, 18, 0, 0, afterMs);
  const two = (value: number) => String(value).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `E1121 ${time}.${String(date.getMilliseconds()).padStart(3, '0')}000     367 ${rest}`;
}
