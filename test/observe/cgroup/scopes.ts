import type { CgroupFacts } from '../../../src/model/cgroups.ts';

/** A tree in which nothing is known but scopes with these names below system.slice. */
export function treeOfScopes(names: readonly string[]): CgroupFacts {
  const scopes = names.map((name) => ({ path: `/system.slice/${name}` }));
  return {
    mode: 'v2',
    rootControllers: [],
    mountedV1: [],
    required: [],
    kernelWords: [],
    slices: [{ path: '/system.slice', level: 'above', scopes }],
    pods: [],
    odd: [],
    truncated: false,
  };
}
