import { apiVersionOf, type Resource } from './objects.ts';

/** What one request is about, in the words of the API's authorization. */
export interface Attributes {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
}

/** What a method and a URL ask for; undefined where no resource has that path. */
export function attributesOf(method: string, url: URL, resources: readonly Resource[]): Attributes | undefined {
  const parts = url.pathname.split('/').filter((part) => part !== '');
  const prefix = parts[0] === 'api' ? 2 : 3;
  const version = parts.slice(1, prefix).join('/');
  const rest = parts.slice(prefix).map(decodeURIComponent);
  const isIn = rest[0] === 'namespaces' && rest.length > 2 && rest[2] !== 'status';
  const [plural, name, subresource] = isIn ? rest.slice(2) : rest;
  const resource = resources.find((each) => each.name === plural && apiVersionOf(each) === version);
  if (resource === undefined || !/^apis?$/.test(parts[0] ?? '')) return undefined;
  const isWatch = /^(?:1|true)$/.test(url.searchParams.get('watch') ?? '');
  const verb = verbOf(method, name, isWatch);
  if (verb === undefined) return undefined;
  return { verb, resource, namespace: isIn ? rest[1] : undefined, name, subresource, query: url.searchParams };
}

function verbOf(method: string, name: string | undefined, isWatch: boolean): Attributes['verb'] | undefined {
  if (method === 'GET') return name === undefined ? (isWatch ? 'watch' : 'list') : 'get';
  return ({ POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const)[method];
}

/** `delete pods`, `get pods/log`: what a role would have to allow. */
export function permission({ verb, resource, subresource }: Attributes): string {
  const group = resource.group === '' ? '' : `.${resource.group}`;
  return `${verb} ${resource.name}${group}${subresource === undefined ? '' : `/${subresource}`}`;
}
