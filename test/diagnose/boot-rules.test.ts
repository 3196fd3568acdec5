import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { Boot, UnitCall, UnitOrder, UnitsFacts } from '../../src/model/node.ts';
import { known } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { bootId, nowNs, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';

/** The findings of the boot family (SW2xx) alone. */
function found(more: Partial<Snapshot>, spec: Parameters<typeof snapshotOf>[0] = {}) {
  const { findings } = diagnose(snapshotOf({ ...spec, more }));
  return findings.filter((each) => each.code.startsWith('SW2'));
}

const YEAR_S = 365 * 86_400;
const bootedS = -Number(uptimeNs / 1_000_000_000n);
const boot = (name: string, fromS: number, toS: number, end: Boot['end']): Boot => ({
  bootId: name.padEnd(32, '0'),
  firstNs: nowNs + seconds(fromS),
  lastNs: nowNs + seconds(toS),
  end,
});
const current: Boot = { ...boot('c', bootedS, 0, 'running'), bootId };

describe('SW201', () => {
  test('an unclean end is said, a clean or unknown one is not', () => {
    const of = (end: Boot['end']) => found({ boots: known([boot('a', -9_000, -700, end), current]) });
    assert.deepEqual(
      of('unclean').map((each) => `${each.code} ${each.severity}`),
      ['SW201 info'],
    );
    assert.match(of('unclean')[0]?.evidence[0]?.text ?? '', /^boot a0000000 has no shutdown record/);
    assert.deepEqual([of('clean'), of('unknown')], [[], []]);
  });
});

describe('SW202', () => {
  test('the last boot ended after this one began', () => {
    const [finding, ...rest] = found({ boots: known([boot('a', 0, 7_200 + bootedS, 'clean'), current]) });
    assert.deepEqual(rest, []);
    assert.match(finding?.why ?? '', /at least 2 h behind\. It still is/);
    assert.equal(finding?.remedy.command, 'sandwarden install');
  });

  test('it was behind and has been put right: nothing to do', () => {
    const [finding] = found({ boots: known([boot('a', -9_000, bootedS + 60, 'clean'), current]) });
    assert.match(finding?.why ?? '', /1 min behind\. It has been put right since/);
    assert.equal(finding?.remedy.command, undefined);
  });

  test('the last boot said 2099: its clock was wrong, and nobody is told to move this one', () => {
    const at = 73 * YEAR_S;
    const [finding] = found({ boots: known([boot('a', at, at + 60, 'clean'), current]) });
    assert.match(finding?.why ?? '', /its clock was wrong, not this one's/);
    const { verdict, chain } = diagnose(snapshotOf({ sandboxes: [sandbox('web', 0, 'notready', at)] }));
    assert.doesNotMatch(verdict, /behind/);
    assert.ok(!chain.some((each) => /behind/.test(each.text)));
  });

  test('the clock was set after kubelet had started', () => {
    const startedAt = (byS: number) => ({
      log: { startedAt: { wallNs: nowNs - uptimeNs + seconds(20 - byS), bootId, monotonicUs: 20_000_000n } },
    });
    assert.match(found({}, startedAt(3_600))[0]?.why ?? '', /set forward by 1 h after kubelet/);
    assert.equal(found({}, startedAt(-3_600))[0]?.severity, 'warning');
    assert.deepEqual(found({}, startedAt(5)), []);
  });
});

describe('SW203', () => {
  const script = '/usr/local/bin/k3s-pre-start-cleanup.sh';
  const file = '/etc/systemd/system/k3s.service.d/sandbox-cleanup.conf';
  const call: UnitCall = {
    unit: 'k3s.service',
    key: 'ExecStartPre',
    file: script,
    line: 5,
    text: 'crictl pods --state NotReady -q 2>/dev/null | xargs -r crictl rmp --force 2>/dev/null || true',
    by: { file, line: 2, text: `ExecStartPre=${script}` },
    hides: '|| true, 2>/dev/null, | xargs',
  };
  const order = (unit: string, key: string, other: string): UnitOrder => {
    return { unit, key, other, file: `/etc/systemd/system/${unit}`, line: 3, text: `${key}=${other}` };
  };
  const of = (units: Partial<UnitsFacts>) =>
    found({ units: known({ installed: ['k3s.service'], calls: [], orders: [], ...units }) });

  test("the well-known hook: ExecStartPre of k3s, its errors hidden; file and line are quoted, 'install' is offered", () => {
    const [finding, ...rest] = of({ calls: [call, { ...call, line: 7 }] });
    assert.deepEqual(rest, []);
    assert.match(finding?.why ?? '', /there is no socket yet\. Its failure is hidden by \|\| true/);
    assert.deepEqual(
      finding?.evidence.map((each) => each.text.split(': ')[0]),
      [`${file}:2`, `${script}:5`],
    );
    assert.equal(finding?.remedy.command, 'sandwarden install');
  });

  test('its earlier attempt: After=containerd.service beside k3s', () => {
    const unit = 'k3s-sandbox-cleanup.service';
    const { by: _, ...direct } = { ...call, unit, key: 'ExecStart' };
    const [finding] = of({ calls: [direct], orders: [order(unit, 'After', 'containerd.service')] });
    assert.match(finding?.why ?? '', /After=containerd\.service, and there is no such unit here/);
  });

  test('a unit that runs before k3s', () => {
    const unit = 'cleanup.service';
    const [finding] = of({
      calls: [{ ...call, unit, key: 'ExecStart' }],
      orders: [order(unit, 'Before', 'k3s.service')],
    });
    assert.match(finding?.why ?? '', /runs before k3s\.service/);
  });

  test('hooks that can work are left in peace', () => {
    const installed = ['containerd.service', 'kubelet.service'];
    const post = { ...call, key: 'ExecStartPost' };
    assert.deepEqual(of({ calls: [post] }), []);
    const kubelet = { ...call, unit: 'kubelet.service' };
    const after = order('kubelet.service', 'After', 'containerd.service');
    assert.deepEqual(of({ installed, calls: [kubelet], orders: [after] }), []);
  });

  test('a snapshot of an earlier version has no units: nothing is said', () => assert.deepEqual(found({}), []));
});

describe('SW204', () => {
  const loop = [0, 1, 2].map((index) => boot(`b${index}`, -2_000 + index * 400, -1_900 + index * 400, 'unclean'));

  test('three unclean boots within an hour', () => {
    const codes = found({ boots: known([...loop, current]) }).map((each) => each.code);
    assert.deepEqual(codes, ['SW204', 'SW201']);
  });

  test('two, or three over days, or one that was clean: no loop', () => {
    const [a, b, c] = loop;
    assert.ok(a && b && c);
    for (const boots of [
      [b, c],
      [boot('a', -90_000, -89_000, 'unclean'), b, c],
      [a, { ...b, end: 'clean' as const }, c],
    ]) {
      const codes = found({ boots: known([...boots, current]) }).map((each) => each.code);
      assert.ok(!codes.includes('SW204'));
    }
  });
});
