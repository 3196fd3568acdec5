import type { Pod, PodContainer } from '../model/node.ts';
import { at, countOf, listOf, member, textOf } from './json.ts';
import { momentOfText } from './kubelet-log.ts';

/**
 * What of a pod of the API says how its containers fare and which of kubelet's folders and volumes it uses.
 * No environment, no command line, no annotation and no other path is kept.
 */
export function podDetails(item: unknown): Pick<Pod, 'owner' | 'containers' | 'claims' | 'inlineDrivers'> {
  const owner = ownerOf(item);
  const volumes = listOf(at(item, 'spec', 'volumes'));
  const claims = volumes.flatMap((each) => {
    const named = textOf(at(each, 'persistentVolumeClaim', 'claimName'), 253);
    // kube-controller-manager makes the claim of a generic ephemeral volume: POD-VOLUME (ephemeral/util.go).
    const ephemeral = member(each, 'ephemeral') === undefined ? undefined : textOf(member(each, 'name'), 253);
    const made = ephemeral && `${textOf(at(item, 'metadata', 'name'), 253) ?? ''}-${ephemeral}`;
    return named ?? made ?? [];
  });
  const inline = volumes.flatMap((each) => textOf(at(each, 'csi', 'driver'), 253) ?? []);
  const containers = containersOf(item, kubeletPathsOf(volumes));
  return {
    ...(owner === undefined ? {} : { owner }),
    ...(containers.length === 0 ? {} : { containers }),
    ...(claims.length === 0 ? {} : { claims }),
    ...(inline.length === 0 ? {} : { inlineDrivers: [...new Set(inline)] }),
  };
}

function ownerOf(item: unknown): Pod['owner'] {
  const owner = listOf(at(item, 'metadata', 'ownerReferences')).find((each) => member(each, 'controller') === true);
  const [kind, name] = [textOf(member(owner, 'kind'), 63), textOf(member(owner, 'name'), 253)];
  return kind === undefined || name === undefined ? undefined : { kind, name };
}

/** kubelet's own folder, its plugins, its registration sockets, its pods: whatever its root folder is called. */
const kubeletPath =
  /^\/(?:[^/]+\/)*(?:kubelet|plugins|plugins_registry)(?:\/(?:plugins|plugins_registry|pods))?(?:\/[^/]+){0,3}$/;

/** The host paths of volumes that are kubelet's folders, by the volume's name. */
function kubeletPathsOf(volumes: readonly unknown[]): Map<string, string> {
  return new Map(
    volumes.flatMap((each): [string, string][] => {
      const [name, path] = [textOf(member(each, 'name'), 63), textOf(at(each, 'hostPath', 'path'))];
      const plain = path?.replace(/\/+/g, '/').replace(/(.)\/$/, '$1');
      return name !== undefined && plain !== undefined && kubeletPath.test(plain) ? [[name, plain]] : [];
    }),
  );
}

function containersOf(item: unknown, paths: ReadonlyMap<string, string>): PodContainer[] {
  const kinds = [
    ['initContainers', 'initContainerStatuses'],
    ['containers', 'containerStatuses'],
  ] as const;
  return kinds.flatMap(([inSpec, inStatus]) => {
    const statuses = listOf(at(item, 'status', inStatus));
    return listOf(at(item, 'spec', inSpec)).flatMap((spec): PodContainer[] => {
      const name = textOf(member(spec, 'name'), 63);
      if (name === undefined) return [];
      const status = statuses.find((each) => member(each, 'name') === name);
      return [{ name, ...stateOf(status), ...mountsOf(spec, paths) }];
    });
  });
}

function stateOf(status: unknown): Omit<PodContainer, 'name'> {
  const state = member(status, 'state');
  const found = (['waiting', 'running', 'terminated'] as const).find((each) => member(state, each) !== undefined);
  const detail = found === undefined ? undefined : member(state, found);
  const [reason, message] = [textOf(member(detail, 'reason'), 63), textOf(member(detail, 'message'))];
  const ended = found === 'terminated' ? detail : at(status, 'lastState', 'terminated');
  const lastExit = ended === undefined ? undefined : exitOf(ended);
  return {
    state: found ?? 'unknown',
    ...(reason === undefined ? {} : { reason }),
    // Of a container that ended it is what the program itself wrote.
    ...(message === undefined || found !== 'waiting' ? {} : { message }),
    ready: member(status, 'ready') === true,
    restarts: countOf(member(status, 'restartCount')),
    ...(lastExit === undefined ? {} : { lastExit }),
  };
}

function exitOf(ended: unknown): NonNullable<PodContainer['lastExit']> {
  const finished = momentOfText(textOf(member(ended, 'finishedAt')) ?? '');
  return {
    exitCode: countOf(member(ended, 'exitCode')),
    reason: textOf(member(ended, 'reason'), 63) ?? '',
    ...(finished === undefined ? {} : { finishedAtNs: finished.wallNs }),
  };
}

function mountsOf(spec: unknown, paths: ReadonlyMap<string, string>) {
  const mounts = listOf(member(spec, 'volumeMounts'));
  const kubeletPaths = mounts.flatMap((each) => {
    const path = paths.get(textOf(member(each, 'name'), 63) ?? '');
    const below = textOf(member(each, 'subPath'));
    return path === undefined ? [] : [below === undefined ? path : `${path}/${below}`];
  });
  const forOthers = mounts.some((each) => member(each, 'mountPropagation') === 'Bidirectional');
  return {
    ...(kubeletPaths.length === 0 ? {} : { kubeletPaths: [...new Set(kubeletPaths)].sort() }),
    ...(forOthers ? { mountsForOthers: true as const } : {}),
  };
}
