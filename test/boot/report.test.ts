import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BootRecord, ClockRecord, HealRecord } from '../../src/boot/record.ts';
import { bootReport, type ReportParts } from '../../src/boot/report.ts';
import { bootReportText } from '../../src/cli/boot-report.ts';
import type { Entry } from '../../src/heal/entries.ts';
import type { Boot } from '../../src/model/node.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { Action } from '../../src/model/plan.ts';
import { bootId, container, nowNs, sandbox, seconds, snapshotOf, uptimeNs } from '../diagnose/build.ts';

const bootedS = -Number(uptimeNs / 1_000_000_000n);
const style = { colour: false, width: 80, unicode: true } as unknown as Parameters<typeof bootReportText>[1];
const nothing: BootRecord = { format: 'sandwarden.boot/1', heal: [] };
const quiet = { booted: true, unclean: false, clockBehind: false };

function last(end: Boot['end']): Boot {
  return { bootId: 'a'.repeat(32), firstNs: nowNs - seconds(9_000), lastNs: nowNs - seconds(700), end };
}

function report(parts: Partial<ReportParts>, end: Boot['end'] = 'clean') {
  const web = sandbox('web', 1, 'ready', bootedS + 21);
  const later = sandbox('later', 0, 'ready', bootedS + 3_600);
  const snapshot = snapshotOf({
    sandboxes: [web, sandbox('web', 0, 'notready', -9_000), later],
    containers: [container(web, { createdAtNs: web.createdAtNs + seconds(2) })],
    more: { boots: known([last(end), { ...last('running'), bootId }]) },
  });
  return bootReport({ snapshot, record: nothing, flags: quiet, entries: [], ...parts });
}

const moved: ClockRecord = {
  atUptimeNs: seconds(9),
  wallNs: nowNs - seconds(7_200),
  neverSet: false,
  result: 'moved',
  toNs: nowNs,
  why: 'the last boot went on until then by containerd and journal',
  witnesses: [],
  distrusted: [],
};
const healed: HealRecord = {
  step: 'before-kubelet',
  startedUptimeNs: seconds(12),
  endedUptimeNs: seconds(14),
  runtimeReadyUptimeNs: seconds(13),
  reportOnly: false,
  removed: ['default/web/0'],
  left: [],
  settled: true,
  why: 'nothing is left that blocks a pod',
};

function removal(of: string): Entry[] {
  const at = { wallNs: nowNs, uptimeNs: seconds(13), bootId: `${bootId.slice(0, 8)}-${bootId.slice(8)}` };
  const common = { v: 1, runId: 'r', at } as const;
  const action = { kind: 'remove-sandbox', object: of } as Action;
  return [
    { ...common, seq: 1, kind: 'intent', action, read: '' },
    { ...common, seq: 2, kind: 'outcome', of: 1, result: 'done', why: '', tookMs: 5, found: false },
    { ...common, seq: 3, kind: 'intent', action: { ...action, object: 'default/not-done/0' }, read: '' },
  ];
}

describe('the report of a boot', () => {
  test('nothing ran: one line', () => {
    assert.equal(bootReportText(report({}), style), 'nothing ran: the last boot ended cleanly\n');
    assert.match(report({}, 'unclean').verdict, /installed after the last boot/);
    assert.match(report({ flags: { ...quiet, booted: false } }).verdict, /did not run/);
  });

  test('what was wrong and done, and how long it took; pods that came an hour later are no part of the boot', () => {
    const record = { ...nothing, clock: moved, heal: [healed] };
    const flags = { booted: true, unclean: true, clockBehind: true };
    const found = report({ record, flags, entries: removal('default/web/0') }, 'unclean');
    assert.equal(found.verdict, 'the clock was moved forward, 1 dead sandbox removed');
    assert.deepEqual(found.wrong, [
      'the last boot ended without a shutdown',
      'the clock was at least 2 h behind',
      'dead sandboxes blocked their pods: default/web/0',
    ]);
    assert.deepEqual(found.took, {
      runtimeReadyNs: seconds(13),
      kubeletStartedNs: seconds(20),
      lastPodNs: seconds(23),
      lastPod: 'default/web (default/web/1)',
      ready: 2,
      pods: 2,
    });
    const text = bootReportText(found, style);
    for (const each of [
      /^ {2}clock moved forward 2 h/m,
      /^ {2}last sandbox and its containers made \+23 s: default\/web .*;\s+when it became ready is not measured$/m,
      /removed sandbox default\/web\/0/,
    ]) {
      assert.match(text, each);
    }
    assert.doesNotMatch(text, /not-done/);
  });

  test('where nobody waited for the runtime, its start is not called its readiness', () => {
    const { runtimeReadyUptimeNs: _, ...unasked } = healed;
    const record = { ...nothing, heal: [unasked] };
    const found = report({ record, flags: { ...quiet, unclean: true } }, 'unclean');
    assert.equal(found.took.runtimeReadyNs, undefined);
    assert.match(bootReportText(found, style), /runtime started (\+|not known)/);
  });

  test('what is not settled comes first', () => {
    const open = {
      ...healed,
      settled: false,
      why: 'kubelet decides',
      left: [{ object: 'default/x/0', why: 'because' }],
    };
    const found = report({ record: { ...nothing, heal: [open] } });
    assert.match(found.verdict, /not all is settled: kubelet decides/);
    assert.match(bootReportText(found, style), /default\/x\/0: because/);
    assert.match(report({ record: { ...nothing, heal: [{ ...open, reportOnly: true }] } }).verdict, /^only reported/);
  });

  test('a runtime that cannot start, because two records have one name', () => {
    const [kind, name, holderId] = ['sandbox', 'web_default_uid_0', 'a'.repeat(64)] as const;
    const at = { wallNs: nowNs, uptimeNs };
    const duplicate = { kind, name, holderId, text: 'fatal', count: 3, first: at, last: at };
    const refused = unknown('ERR_SOCKET_REFUSED', 'nobody listens at the socket');
    const runtimeLog = { duplicates: [duplicate] };
    const found = report({ snapshot: snapshotOf({ runtimeLog, more: { runtime: refused, sandboxes: refused } }) });
    assert.match(found.wrong.join('\n'), /^SW105: The runtime gives up at start/m);
  });
});
