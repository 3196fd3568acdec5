import { randomBytes, randomUUID } from 'node:crypto';
import { apiVersionOf, type KubeObject, Refusal, type Resource, textAt } from './objects.ts';

/** A change of one object, as watches tell it. */
export interface Change {
  readonly version: number;
  readonly resource: Resource;
  readonly object: KubeObject;
  /** What was there before; absent where the object is new. */
  readonly before?: KubeObject;
  readonly deleted: boolean;
}

export interface StoreOptions {
  /** Changes that are remembered for watches; an older place is 410. */
  readonly remembered?: number;
  /** Now, in milliseconds since 1970. */
  readonly nowMs?: () => number;
}

export interface DeleteHow {
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly gracePeriodSeconds?: number;
}

/**
 * Objects with the rules of the API's registry: one growing version for all, conflicts, preconditions, finalizers and
 * graceful deletion. Sources: apiserver pkg/registry/generic/registry/store.go, pkg/registry/core/pod/strategy.go.
 */
export class Store {
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  /** The same in the order of their keys, until something changes. */
  readonly #sorted = new Map<string, readonly KubeObject[]>();
  readonly #changes: Change[] = [];
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #remembered: number;
  readonly nowMs: () => number;
  #version = 1_000;
  /** The newest version that is forgotten. */
  #forgotten = 1_000;

  constructor({ remembered = 10_000, nowMs = Date.now }: StoreOptions = {}) {
    this.#remembered = remembered;
    this.nowMs = nowMs;
  }

  get version(): number {
    return this.#version;
  }

  /** All objects of a resource (in a namespace) in the order of their keys, as etcd gives them. */
  list(resource: Resource, namespace?: string): KubeObject[] {
    const key = keyOf(resource);
    const all = this.#sorted.get(key) ?? sortedOf(this.#objects.get(key));
    this.#sorted.set(key, all);
    return all.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace);
  }

  find(resource: Resource, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#objects.get(keyOf(resource))?.get(nameKey(namespace, name));
  }

  get(resource: Resource, namespace: string | undefined, name: string): KubeObject {
    const object = this.find(resource, namespace, name);
    if (object) return object;
    throw new Refusal(404, 'NotFound', `${fullName(resource)} "${name}" not found`, detailsOf(resource, name));
  }

  create(resource: Resource, namespace: string | undefined, given: object): KubeObject {
    const metadata = { ...((given as Partial<KubeObject>).metadata as Partial<KubeObject['metadata']>) };
    const suffix = randomBytes(3).toString('hex').slice(0, 5);
    const name = metadata.name ?? (metadata.generateName === undefined ? '' : `${metadata.generateName}${suffix}`);
    if (!/^[a-z0-9](?:[a-z0-9.:-]*[a-z0-9])?$/.test(name)) {
      throw new Refusal(422, 'Invalid', `${resource.kind} "${name}" is invalid: metadata.name: Invalid value`);
    }
    if (this.find(resource, namespace, name)) {
      const message = `${fullName(resource)} "${name}" already exists`;
      throw new Refusal(409, 'AlreadyExists', message, detailsOf(resource, name));
    }
    const object = {
      ...given,
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      metadata: {
        ...metadata,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        uid: metadata.uid ?? randomUUID(),
        creationTimestamp: metadata.creationTimestamp ?? this.#now(),
        resourceVersion: String(this.#version + 1),
      },
    };
    return this.#put(resource, object);
  }

  /** Replaces an object. A resourceVersion in `given` must be the newest (409). */
  update(resource: Resource, namespace: string | undefined, name: string, given: object): KubeObject {
    const before = this.get(resource, namespace, name);
    const { metadata: changed, ...rest } = given as Partial<KubeObject>;
    const { resourceVersion } = changed ?? {};
    if (resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion) {
      const why = 'the object has been modified; please apply your changes to the latest version and try again';
      const message = `Operation cannot be fulfilled on ${fullName(resource)} "${name}": ${why}`;
      throw new Refusal(409, 'Conflict', message, detailsOf(resource, name));
    }
    const { uid, creationTimestamp, deletionTimestamp } = before.metadata;
    const fixed = { name, uid, creationTimestamp, ...(deletionTimestamp ? { deletionTimestamp } : {}) };
    const metadata = { ...changed, ...fixed, resourceVersion: String(this.#version + 1) };
    const place = before.metadata.namespace === undefined ? {} : { namespace: before.metadata.namespace };
    const object = { ...rest, apiVersion: before.apiVersion, kind: before.kind, metadata: { ...metadata, ...place } };
    const isLast = deletionTimestamp !== undefined && object.metadata.finalizers?.length === 0;
    if (isLast && !isPodThatRuns(resource, before)) return this.#remove(resource, before);
    return this.#put(resource, object, before);
  }

  /** What is answered: the object, marked or gone, and which of both. */
  delete(resource: Resource, namespace: string | undefined, name: string, how: DeleteHow = {}) {
    const before = this.get(resource, namespace, name);
    this.#checkPreconditions(resource, before, how);
    const grace = how.gracePeriodSeconds ?? (resource.name === 'pods' ? 30 : 0);
    const waits = (before.metadata.finalizers ?? []).length > 0 || (grace > 0 && isPodThatRuns(resource, before));
    if (!waits) return { object: this.#remove(resource, before), gone: true };
    if (before.metadata.deletionTimestamp !== undefined) return { object: before, gone: false };
    const deletionTimestamp = new Date(this.nowMs() + grace * 1_000).toISOString().replace(/\.\d+/, '');
    const marks = { deletionTimestamp, deletionGracePeriodSeconds: grace, resourceVersion: String(this.#version + 1) };
    const object = { ...before, metadata: { ...before.metadata, ...marks } };
    return { object: this.#put(resource, object, before), gone: false };
  }

  /** The changes of a resource after `version`; undefined where they are forgotten. */
  since(resource: Resource, version: number): Change[] | undefined {
    if (version < this.#forgotten) return undefined;
    return this.#changes.filter((each) => each.version > version && keyOf(each.resource) === keyOf(resource));
  }

  /** Forgets all changes so far, as etcd does when it is compacted. */
  compact(): void {
    this.#changes.length = 0;
    this.#forgotten = this.#version;
  }

  /** Calls `listener` at each change; gives what stops that. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #put(resource: Resource, object: KubeObject, before?: KubeObject): KubeObject {
    const objects = this.#objects.get(keyOf(resource)) ?? new Map<string, KubeObject>();
    this.#objects.set(keyOf(resource), objects);
    objects.set(nameKey(object.metadata.namespace, object.metadata.name), object);
    this.#tell({ resource, object, deleted: false, ...(before === undefined ? {} : { before }) });
    return object;
  }

  #remove(resource: Resource, before: KubeObject): KubeObject {
    this.#objects.get(keyOf(resource))?.delete(nameKey(before.metadata.namespace, before.metadata.name));
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(this.#version + 1) } };
    this.#tell({ resource, object, before, deleted: true });
    return object;
  }

  #tell(change: Omit<Change, 'version'>): void {
    this.#version++;
    this.#sorted.delete(keyOf(change.resource));
    const numbered = { ...change, version: this.#version };
    this.#changes.push(numbered);
    if (this.#changes.length > this.#remembered) this.#forgotten = this.#changes.shift()?.version ?? this.#forgotten;
    for (const listener of this.#listeners) listener(numbered);
  }

  #checkPreconditions(resource: Resource, { metadata }: KubeObject, { preconditions }: DeleteHow): void {
    const { uid, resourceVersion } = preconditions ?? {};
    const refuse = (what: string, given: string, stored: string) => {
      const why = `Precondition failed: ${what} in precondition: ${given}, ${what} in object meta: ${stored}`;
      const message = `Operation cannot be fulfilled on ${fullName(resource)} "${metadata.name}": ${why}`;
      throw new Refusal(409, 'Conflict', message, detailsOf(resource, metadata.name));
    };
    if (uid !== undefined && uid !== metadata.uid) refuse('UID', uid, metadata.uid);
    if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
      refuse('ResourceVersion', resourceVersion, metadata.resourceVersion);
    }
  }

  #now(): string {
    return new Date(this.nowMs()).toISOString().replace(/\.\d+/, '');
  }
}

/** `pods`, `volumeattachments.storage.k8s.io`. */
export function fullName({ group, name }: Resource): string {
  return group === '' ? name : `${name}.${group}`;
}

function detailsOf({ group, name: kind }: Resource, name: string): object {
  return { name, ...(group === '' ? {} : { group }), kind };
}

function sortedOf(objects: ReadonlyMap<string, KubeObject> = new Map()): readonly KubeObject[] {
  return [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
}

function keyOf({ group, name }: Resource): string {
  return `${group}/${name}`;
}

function nameKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

/** A pod that is bound and has not ended is deleted by its kubelet, which confirms with a grace period of 0. */
function isPodThatRuns(resource: Resource, pod: KubeObject): boolean {
  if (resource.name !== 'pods' || textAt(pod, 'spec', 'nodeName') === '') return false;
  return !['Succeeded', 'Failed'].includes(textAt(pod, 'status', 'phase'));
}
