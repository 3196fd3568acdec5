import { limits } from '../model/limits.ts';
import type { Ask } from './asker.ts';
import { KubeFault, KubeStatus } from './errors.ts';

export interface ListOptions<T> {
  /** The kind that the server must answer with, e.g. `PodList`. */
  readonly kind: string;
  /** What is kept of a page; the page itself is let go. */
  readonly itemsOf: (page: unknown) => readonly T[];
  readonly query?: Readonly<Record<string, string>>;
  /** The media types that are taken, `application/json` where absent; with `kind: 'Table'` the table of kubectl get. */
  readonly accept?: string;
  /** Objects on a page, `limits.kubePageItems` where absent. */
  readonly pageItems?: number;
  readonly signal?: AbortSignal;
}

/** A whole list, and the version of the cluster's state that it shows: where a watch goes on from. */
export interface Listed<T> {
  readonly items: T[];
  readonly resourceVersion: string | undefined;
}

/** All pages; from the first again, once, where they expired between two requests (410). */
export async function listWhole<T>(path: string, options: ListOptions<T>, ask: Ask): Promise<Listed<T>> {
  try {
    return await pages(path, options, ask);
  } catch (error) {
    if (!(error instanceof KubeStatus) || error.status !== 410) throw error;
    return await pages(path, options, ask);
  }
}

async function pages<T>(path: string, options: ListOptions<T>, ask: Ask): Promise<Listed<T>> {
  const { kind, itemsOf, query = {}, accept, pageItems = limits.kubePageItems } = options;
  const items: T[] = [];
  let next: string | undefined;
  for (let page = 0; page < limits.kubeListPages; page++) {
    const asked = { ...query, limit: String(pageItems), ...(next === undefined ? {} : { continue: next }) };
    const target = `${path}?${new URLSearchParams(asked)}`;
    const answer = await ask({ method: 'GET', target, ...(accept === undefined ? {} : { accept }) });
    if (!isListOf(kind, answer)) throw new KubeFault('not-a-list');
    for (const item of itemsOf(answer)) items.push(item);
    next = metadataOf(answer, 'continue');
    if (next === undefined) return { items, resourceVersion: metadataOf(answer, 'resourceVersion') };
  }
  throw new KubeFault('too-many-pages');
}

function isListOf(kind: string, answer: unknown): answer is object {
  if (typeof answer !== 'object' || answer === null || !('kind' in answer) || answer.kind !== kind) return false;
  // An answer without items is no empty list: nothing may be concluded from it.
  if (kind === 'Table') return 'rows' in answer && Array.isArray(answer.rows);
  return 'items' in answer && Array.isArray(answer.items);
}

/** A text in the metadata of a list or of an object; undefined where it is absent or empty. */
export function metadataOf(answer: object, key: 'continue' | 'resourceVersion'): string | undefined {
  const metadata = 'metadata' in answer ? answer.metadata : undefined;
  if (typeof metadata !== 'object' || metadata === null) return undefined;
  const value = (metadata as Readonly<Record<string, unknown>>)[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
