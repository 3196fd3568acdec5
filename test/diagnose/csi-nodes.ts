import assert from 'node:assert/strict';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { CsiDriver, RegistrationSocket, VolumeAttachment } from '../../src/model/csi.ts';
import type { Finding } from '../../src/model/finding.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { podsOfList } from '../../src/observe/pods.ts';
import { crashLooping, longhorn, type PodFixture, podObject } from '../helpers/csi/drivers.ts';
import { nowNs, seconds, snapshotOf } from './build.ts';

/** Builders of small nodes with CSI drivers, for tests of the rules about them. */

/** A date of the API, seconds ago. */
export const iso = (agoS: number) =>
  new Date(Number((nowNs - seconds(agoS)) / 1_000_000n)).toISOString().slice(0, 19).concat('Z');

export function driver(of: { name: string; folder: string }, over: Partial<CsiDriver> = {}): CsiDriver {
  return {
    path: `${of.folder}/csi.sock`,
    device: '1',
    inode: '7',
    madeAtNs: nowNs - seconds(60),
    name: of.name,
    nameFrom: 'GetPluginInfo',
    state: 'ready',
    says: '',
    ...over,
  };
}

export const refusing = (of: { name: string; folder: string }) =>
  driver(of, {
    state: 'refuses',
    says: 'ECONNREFUSED',
    nameFrom: 'folder',
    name: of.folder.slice(of.folder.lastIndexOf('/') + 1),
    owned: false,
    madeAtNs: nowNs - seconds(7_000),
  });

export interface Spec {
  readonly drivers?: readonly CsiDriver[];
  readonly registrations?: readonly RegistrationSocket[];
  readonly pods?: readonly PodFixture[];
  readonly registered?: readonly string[];
  readonly attachments?: readonly VolumeAttachment[];
  /** The API server's clock, seconds before this node's. */
  readonly apiBehindS?: number;
  readonly more?: Partial<Snapshot>;
  readonly sandboxes?: Parameters<typeof snapshotOf>[0]['sandboxes'];
  readonly errors?: Parameters<typeof snapshotOf>[0]['errors'];
}

export function nodeWith(spec: Spec): Snapshot {
  const { drivers = [], registrations = [], pods, registered, attachments = [], apiBehindS = 0 } = spec;
  return snapshotOf({
    ...(spec.sandboxes === undefined ? {} : { sandboxes: spec.sandboxes }),
    ...(spec.errors === undefined ? {} : { errors: spec.errors }),
    ...(pods === undefined ? {} : { pods: podsOfList({ items: pods.map(podObject) }) }),
    more: {
      csi: known({ kubeletDirs: ['/var/lib/kubelet'], drivers, registrations, truncated: false }),
      volumes: known({ nodeName: 'node-1', asOfNs: nowNs - seconds(apiBehindS), attachments }),
      csiNode: registered === undefined ? unknown('ERR_NOT_ASKED', 'not asked') : known(registered),
      ...spec.more,
    },
  });
}

export function find(snapshot: Snapshot, ...codes: string[]): Finding[] {
  return diagnose(snapshot).findings.filter((each) => codes.length === 0 || codes.includes(each.code));
}

/** A sidecar of Longhorn whose one container ended `agoS` seconds ago. */
export function crashed(
  agoS: number,
  over: Partial<PodFixture> = {},
  exit: [number, string] = [1, 'Error'],
): PodFixture {
  const [sidecar] = longhorn.sidecars;
  assert.ok(sidecar);
  const containers = sidecar.containers.map((each) => ({ ...each, ...crashLooping(iso(agoS), 40, ...exit) }));
  return { ...sidecar, containers, ...over };
}
