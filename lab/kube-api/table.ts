import { apiVersionOf, type KubeObject, type Resource } from './objects.ts';

/** Whether a request wants the table that `kubectl get` prints. */
export function wantsTable(accept: string | undefined): boolean {
  return /as=Table;(?:g=meta\.k8s\.io;v=v1|v=v1;g=meta\.k8s\.io)(?:[,;]|$)/.test(accept ?? '');
}

export interface TableOptions {
  /** The `includeObject` of the query. */
  readonly include: string | null;
  readonly nowMs: number;
  readonly metadata: object;
  /** In a watch only the first table has its columns described. */
  readonly withoutColumns?: boolean;
}

/** meta.k8s.io/v1 Table. Source: apiserver pkg/endpoints/handlers/response.go, pkg/registry/rest/table.go. */
export function tableOf(resource: Resource, objects: readonly KubeObject[], options: TableOptions): object {
  const { include, nowMs, metadata, withoutColumns } = options;
  const nameColumn = { name: 'Name', type: 'string', format: 'name', description: '', priority: 0 };
  const columns = resource.columns.map(({ name, type = 'string', priority = 0 }) => {
    return { name, type, format: '', description: '', priority };
  });
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: withoutColumns ? null : [nameColumn, ...columns],
    rows: objects.map((object) => ({
      cells: [object.metadata.name, ...resource.columns.map((column) => column.of(object, nowMs))],
      ...(include === 'None' ? { object: null } : { object: include === 'Object' ? object : partial(object) }),
    })),
  };
}

function partial({ metadata }: KubeObject): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

/** A list of a resource, `PodList` and so on. */
export function listOf(resource: Resource, items: readonly KubeObject[], metadata: object): object {
  return { kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource), metadata, items };
}
