// Goal: CRI's events are used where they say more than the logs. Method: small nodes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { known } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { bootId, nowNs, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';

const upS = Number(uptimeNs / 1_000_000_000n);
const at = (agoS: number) => ({
  wallNs: nowNs - seconds(agoS),
  bootId,
  monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
});
const find = (snapshot: Snapshot, code: string) => diagnose(snapshot).findings.find((each) => each.code === code);

test("CRI's events are of the last minutes: they count before the log of the whole boot", () => {
  const of = sandbox('web', 0, 'ready', -upS);
  const made = { sandboxId: of.id, container: 'c' };
  const moment = (agoS: number) => ({ wallNs: nowNs - seconds(agoS) });
  const logged = [{ ...made, attempt: 90, count: 61, first: at(3_000), last: at(1) }];
  const told = { ...made, attempt: 90, count: 41, first: moment(241), last: moment(1) };
  const found = (event: object) =>
    find(
      snapshotOf({
        sandboxes: [of],
        runtimeLog: { creations: logged },
        more: { containerEvents: known({ creations: [{ ...told, ...event }] }) },
      }),
      'SW401',
    );
  assert.match(found({})?.evidence[0]?.text ?? '', /c: 10 a minute, attempt 90$/);
  assert.equal(found({})?.evidence[0]?.source, 'containerEvents');
  // One creation is no rate; two of a container that is new are no loop; the log tells then, and here of none.
  for (const none of [{ count: 1 }, { attempt: 1 }, { first: moment(9_000), last: moment(8_000) }])
    assert.equal(
      found(none),
      undefined,
      JSON.stringify(none, (_, each) => String(each)),
    );
});
