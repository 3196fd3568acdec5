import { safeText } from '../model/safe-text.ts';
import type { KubeRequest } from './transport.ts';

/**
 * What a request needs to be allowed to do, in the words of RBAC: `list pods`, `delete pods in kube-system`,
 * `get pods/log in kube-system`. Source: apiserver pkg/endpoints/request/requestinfo.go.
 */
export function permissionOf({ method, target }: Pick<KubeRequest, 'method' | 'target'>): string {
  const [path = '', query = ''] = target.split('?', 2);
  const parts = path.split('/').filter((part) => part !== '');
  // api/v1/… or apis/GROUP/VERSION/…
  const rest = parts.slice(parts[0] === 'apis' ? 3 : 2);
  const namespace = rest[0] === 'namespaces' && rest.length > 2 ? rest[1] : undefined;
  const [resource, name, subresource] = namespace === undefined ? rest : rest.slice(2);
  if (resource === undefined) return safeText(`${method} ${path}`, 200);
  const group = parts[0] === 'apis' && parts[1] !== undefined ? `.${parts[1]}` : '';
  const what = `${resource}${subresource === undefined ? group : `/${subresource}`}`;
  const verb = verbOf(method, name, new URLSearchParams(query));
  return safeText(`${verb} ${what}${namespace === undefined ? '' : ` in ${namespace}`}`, 200);
}

function verbOf(method: KubeRequest['method'], name: string | undefined, query: URLSearchParams): string {
  switch (method) {
    case 'POST':
      return 'create';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return 'delete';
    case 'GET':
      return name !== undefined ? 'get' : query.get('watch') === 'true' ? 'watch' : 'list';
  }
}
