import { apiVersionOf, type Resource } from './objects.ts';

/** What `kubectl` asks a server about itself; undefined where `path` is none of it. */
export function discovery(path: string, resources: readonly Resource[]): object | undefined {
  const groups = Map.groupBy(
    resources.filter(({ group }) => group !== ''),
    ({ group }) => group,
  );
  if (path === '/version') return { major: '1', minor: '32', gitVersion: 'v1.32.4', platform: 'linux/amd64' };
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  if (path === '/apis') {
    const list = [...groups].map(([name, [first]]) => groupOf(name, first));
    return { kind: 'APIGroupList', apiVersion: 'v1', groups: list };
  }
  if (path === '/openapi/v3') {
    const versions = new Set(resources.map((each) => pathOf(each)));
    const paths = [...versions].map((each) => [each, { serverRelativeURL: `/openapi/v3/${each}?hash=1` }]);
    return { paths: Object.fromEntries(paths) };
  }
  const here = (prefix: string) => resources.filter((each) => `${prefix}${pathOf(each)}` === path);
  const [described, listed] = [here('/openapi/v3/'), here('/')];
  if (described.length > 0) return openapi(described);
  if (listed.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf(listed[0] as Resource),
    resources: listed.flatMap(resourceEntries),
  };
}

function pathOf(resource: Resource): string {
  return resource.group === '' ? 'api/v1' : `apis/${apiVersionOf(resource)}`;
}

function groupOf(name: string, first: Resource | undefined): object {
  const version = { groupVersion: `${name}/${first?.version}`, version: first?.version };
  return { name, versions: [version], preferredVersion: version };
}

function resourceEntries(resource: Resource): object[] {
  const { name, kind, namespaced, shortNames, subresources = [] } = resource;
  const verbs = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];
  return [
    { name, singularName: kind.toLowerCase(), namespaced, kind, verbs, ...(shortNames ? { shortNames } : {}) },
    ...['status', ...subresources].map((each) => {
      return { name: `${name}/${each}`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] };
    }),
  ];
}

/** As much as kubectl reads before it writes: that the server checks the fields itself. */
function openapi(resources: readonly Resource[]): object {
  const parameters = [{ name: 'fieldValidation', in: 'query', schema: { type: 'string' } }];
  const paths = resources.map((resource) => {
    const { group, version, kind, name, namespaced } = resource;
    const operation = { parameters, 'x-kubernetes-group-version-kind': { group, version, kind } };
    const path = `/${pathOf(resource)}/${namespaced ? 'namespaces/{namespace}/' : ''}${name}/{name}`;
    return [path, { patch: operation }];
  });
  return { openapi: '3.0.0', info: { title: 'Kubernetes', version: 'v1.32.4' }, paths: Object.fromEntries(paths) };
}
