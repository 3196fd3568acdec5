import { type Action, actionKinds, type FileIdentity, type FileStep, type FilesGuard } from '../model/plan.ts';
import { asBigint, asCount, asList, asObject, asOneOf, asText } from './entry-fields.ts';

/** The action of an intent as the journal holds it. Throws Malformed. */
export function parseAction(value: unknown): Action {
  const from = asObject(value, 'action');
  return {
    kind: asOneOf(from.kind, actionKinds, 'action kind'),
    target: asText(from.target, 'target'),
    object: asText(from.object, 'object'),
    code: asText(from.code, 'code'),
    tier: asOneOf(from.tier, ['safe', 'disruptive', 'destructive'], 'tier'),
    reason: asText(from.reason, 'reason'),
    precondition: asText(from.precondition, 'precondition'),
    expects: asText(from.expects, 'expects'),
    guard: parseGuard(from.guard),
  };
}

function parseGuard(value: unknown): Action['guard'] {
  const from = asObject(value, 'guard');
  const kind = asOneOf(from.kind, actionKinds, 'guard kind');
  switch (kind) {
    case 'remove-sandbox':
      return {
        kind,
        sandboxId: asText(from.sandboxId, 'sandboxId'),
        podUid: asText(from.podUid, 'podUid'),
        attempt: asCount(from.attempt, 'attempt'),
        createdAtNs: asBigint(from.createdAtNs, 'createdAtNs'),
        ...(from.pausePid === undefined ? {} : { pausePid: asCount(from.pausePid, 'pausePid') }),
      };
    case 'kill-cni':
      return {
        kind,
        pid: asCount(from.pid, 'pid'),
        startedUptimeNs: asBigint(from.startedUptimeNs, 'startedUptimeNs'),
      };
    case 'write-config':
    case 'order-unit':
    case 'restore-files':
      return parseFiles(kind, from);
    case 'restart-runtime':
    case 'restart-kubelet':
      return {
        kind,
        unit: asText(from.unit, 'unit'),
        ...(from.on === undefined ? {} : { on: asList(from.on, 'on', asText) }),
      };
    case 'unlink-socket':
      return {
        kind,
        path: asText(from.path, 'path'),
        device: asText(from.device, 'device'),
        inode: asText(from.inode, 'inode'),
      };
    case 'delete-pod':
      return {
        kind,
        namespace: asText(from.namespace, 'namespace'),
        name: asText(from.name, 'name'),
        uid: asText(from.uid, 'uid'),
        driver: asText(from.driver, 'driver'),
        folder: asText(from.folder, 'folder'),
        socket: asText(from.socket, 'socket'),
      };
    case 'delete-attachment':
      return {
        kind,
        name: asText(from.name, 'name'),
        uid: asText(from.uid, 'uid'),
        driver: asText(from.driver, 'driver'),
        volume: asText(from.volume, 'volume'),
      };
    case 'hold-slice':
    case 'release-slice':
      return { kind, slice: asText(from.slice, 'slice') };
    case 'set-allowed-cpus':
      return {
        kind,
        unit: asText(from.unit, 'unit'),
        before: asText(from.before, 'before'),
        after: asText(from.after, 'after'),
      };
  }
}

function parseFiles(kind: FilesGuard['kind'], from: Record<string, unknown>): FilesGuard {
  const dump = from.dump === undefined ? undefined : asObject(from.dump, 'dump');
  const reload = from.reload === undefined ? undefined : asObject(from.reload, 'reload');
  return {
    kind,
    files: asList(from.files, 'files', parseStep),
    ...(dump === undefined ? {} : { dump: { file: asText(dump.file, 'file'), on: asList(dump.on, 'on', asText) } }),
    ...(reload === undefined
      ? {}
      : { reload: { unit: asText(reload.unit, 'unit'), after: asList(reload.after, 'after', asText) } }),
    restarts: asList(from.restarts, 'restarts', asText),
  };
}

function parseStep(value: unknown): FileStep {
  const from = asObject(value, 'file');
  return {
    path: asText(from.path, 'path'),
    ...(from.before === undefined ? {} : { before: parseIdentity(from.before) }),
    ...(from.after === undefined ? {} : { after: parseIdentity(from.after) }),
    folders: asList(from.folders, 'folders', asText),
  };
}

function parseIdentity(value: unknown): FileIdentity {
  const from = asObject(value, 'identity');
  return {
    sha256: asText(from.sha256, 'sha256'),
    mode: asCount(from.mode, 'mode'),
    uid: asCount(from.uid, 'uid'),
    gid: asCount(from.gid, 'gid'),
  };
}
