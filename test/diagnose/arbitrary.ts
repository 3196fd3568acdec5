import fc from 'fast-check';
import type { Pod } from '../../src/model/node.ts';
import type { NameHeld } from '../../src/model/records.ts';
import type { Container, Sandbox } from '../../src/model/sandbox.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { container, idOf, nameHeld, nowNs, pod, sandbox, seconds, snapshotOf } from './build.ts';

/**
 * Random nodes: a few pods, each with a random history of sandboxes, dates in any order, and what kubelet may say of
 * them.
 */

interface RandomPod {
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
  readonly errors: readonly NameHeld[];
  readonly pod: Pod | undefined;
}

const date = fc.oneof(fc.integer({ min: -90_000, max: 90_000 }), fc.constantFrom(-600, -60, -1, 0, 1, 60, 7_200));

const oneSandbox = fc.record({
  attempt: fc.nat({ max: 6 }),
  ready: fc.boolean(),
  fromNowS: date,
  halfCreated: fc.integer({ min: 0, max: 9 }),
  containers: fc.array(
    fc.record({
      name: fc.constantFrom('c', 'd'),
      attempt: fc.nat({ max: 4 }),
      state: fc.constantFrom('created', 'running', 'exited', 'exited', 'exited', 'unknown'),
      exitCode: fc.constantFrom(undefined, 0, 1, 255),
      fromNowS: date,
    }),
    { maxLength: 2 },
  ),
});

const onePod = fc.record({
  sandboxes: fc.uniqueArray(oneSandbox, { maxLength: 4, selector: (each) => each.attempt }),
  api: fc.constantFrom(undefined, 'Running', 'Pending', 'Succeeded', 'Failed'),
  policy: fc.constantFrom('Always', 'OnFailure', 'Never'),
  deleting: fc.integer({ min: 0, max: 9 }),
  error: fc.option(
    fc.record({ attempt: fc.nat({ max: 6 }), count: fc.integer({ min: 1, max: 9 }), of: fc.nat({ max: 4 }) }),
  ),
});

/** A random node. `api` says whether the Kubernetes API answers. */
export function arbitraryNode(): fc.Arbitrary<Snapshot> {
  return fc
    .record({
      pods: fc.array(onePod, { maxLength: 4 }),
      kubelet: fc.constantFrom('v1.34.9', 'v1.28.0', 'v1.35.1', 'v1.36.2', null),
      running: fc.constantFrom(true, true, true, false),
      api: fc.boolean(),
      runtimeLog: fc.boolean(),
    })
    .map(({ pods, kubelet, running, api, runtimeLog }) => {
      const made = pods.map((each, index) => makePod(`p${index}`, each));
      return snapshotOf({
        sandboxes: made.flatMap((each) => each.sandboxes),
        containers: made.flatMap((each) => each.containers),
        errors: made.flatMap((each) => each.errors),
        kubelet,
        kubeletRunning: running,
        ...(api ? { pods: made.flatMap((each) => (each.pod === undefined ? [] : [each.pod])) } : {}),
        ...(runtimeLog ? {} : { runtimeLog: null }),
      });
    });
}

type PodSpec = typeof onePod extends fc.Arbitrary<infer T> ? T : never;

function makePod(name: string, spec: PodSpec): RandomPod {
  const sandboxes = spec.sandboxes.map((each) => {
    const made = sandbox(name, each.attempt, each.ready ? 'ready' : 'notready', each.fromNowS);
    return each.halfCreated === 0 && !each.ready ? { ...made, createdAtNs: -6_795_364_578_871_345_152n } : made;
  });
  const containers = spec.sandboxes.flatMap((each, index) =>
    each.containers.map((inside, number): Container => {
      const of = sandboxes[index];
      if (of === undefined) throw new Error('a sandbox is missing');
      return container(of, {
        id: idOf(`${name}/${each.attempt}/${inside.name}/${number}`),
        name: inside.name,
        attempt: inside.attempt,
        state: inside.state as Container['state'],
        createdAtNs: nowNs + seconds(inside.fromNowS),
        ...(inside.exitCode === undefined
          ? {}
          : { exit: { exitCode: inside.exitCode, reason: 'x', startedAtNs: 0n, finishedAtNs: 0n } }),
      });
    }),
  );
  const holder = spec.error ? sandboxes[spec.error.of] : undefined;
  const errors = spec.error
    ? [nameHeld(name, spec.error.attempt, holder?.id ?? idOf('elsewhere'), { count: spec.error.count })]
    : [];
  const known =
    spec.api === undefined
      ? undefined
      : pod(name, {
          phase: spec.api,
          restartPolicy: spec.policy as Pod['restartPolicy'],
          deleting: spec.deleting === 0,
        });
  return { sandboxes, containers, errors, pod: known };
}
