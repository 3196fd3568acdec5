import { type KubeObject, Refusal } from './objects.ts';

/**
 * `object` after a patch of a media type. Merge patches (RFC 7396) are done in full, JSON patches (RFC 6902) with add,
 * replace, remove and test. Strategic merge is a merge patch here, and refused where lists would have to be merged;
 * apply is the same, without owners of fields.
 */
export function patched(object: KubeObject, type: string, patch: unknown): KubeObject {
  if (type === 'application/json-patch+json') return jsonPatched(object, patch);
  if (type === 'application/strategic-merge-patch+json' && hasList(patch)) {
    throw new Refusal(415, 'UnsupportedMediaType', 'this server does not merge lists strategically');
  }
  return merged(object, patch) as KubeObject;
}

function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

function jsonPatched(object: KubeObject, patch: unknown): KubeObject {
  const result = structuredClone(object);
  for (const { op, path, value } of patch as { op: string; path: string; value?: unknown }[]) {
    const keys = path
      .split('/')
      .slice(1)
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() ?? '';
    let holder: unknown = result;
    for (const key of keys)
      holder = isRecord(holder) || Array.isArray(holder) ? (holder as Record<string, unknown>)[key] : undefined;
    if (typeof holder !== 'object' || holder === null) throw new Refusal(422, 'Invalid', `no such path: ${path}`);
    const record = holder as Record<string, unknown>;
    if (op === 'test' && JSON.stringify(record[last]) !== JSON.stringify(value)) {
      throw new Refusal(422, 'Invalid', `testing path ${path} failed`);
    }
    if (op === 'remove' && Array.isArray(holder)) holder.splice(Number(last), 1);
    else if (op === 'remove') delete record[last];
    else if (op === 'add' && Array.isArray(holder))
      holder.splice(last === '-' ? holder.length : Number(last), 0, value);
    else if (op === 'add' || op === 'replace') record[last] = value;
  }
  return result;
}

function hasList(value: unknown): boolean {
  if (Array.isArray(value)) return true;
  return isRecord(value) && Object.values(value).some(hasList);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
