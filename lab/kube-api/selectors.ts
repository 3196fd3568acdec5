import { at, type KubeObject, Refusal, type Resource } from './objects.ts';

/**
 * Whether an object is meant by `fieldSelector` and `labelSelector`. Throws a Refusal for a field that cannot be
 * selected by, and for a label selector of a form that is not understood here.
 */
export function selectorOf(resource: Resource, query: URLSearchParams): (object: KubeObject) => boolean {
  const fields = termsOf(query.get('fieldSelector')).map((term) => fieldTerm(resource, term));
  const labels = termsOf(query.get('labelSelector')).map(labelTerm);
  return (object) => fields.every((test) => test(object)) && labels.every((test) => test(object));
}

function termsOf(selector: string | null): string[] {
  return (selector ?? '').split(',').filter((term) => term !== '');
}

function fieldTerm(resource: Resource, term: string): (object: KubeObject) => boolean {
  const [, field = '', operator = '', wanted = ''] = /^([^!=]+)(==|!=|=)(.*)$/.exec(term) ?? [];
  if (!['metadata.name', 'metadata.namespace', ...(resource.selectable ?? [])].includes(field)) {
    throw new Refusal(400, 'BadRequest', `field label not supported: ${field || term}`);
  }
  const path = field.split('.');
  return (object) => (String(at(object, ...path) ?? '') === wanted) === (operator !== '!=');
}

function labelTerm(term: string): (object: KubeObject) => boolean {
  const [, key = '', operator, wanted = ''] = /^([\w./-]+)(?:(==|!=|=)([\w.-]*))?$/.exec(term) ?? [];
  if (key === '') throw new Refusal(400, 'BadRequest', `unable to parse requirement: ${term}`);
  return ({ metadata }) => {
    const value = metadata.labels?.[key];
    if (operator === undefined) return value !== undefined;
    return (value === wanted) === (operator !== '!=');
  };
}
