import type { Telling } from './events.ts';

/**
 * What differs between the containerd versions, as data. The versions are Debian's (bookworm, trixie, sid), the ones
 * that the scenarios also run against. Sources: the file and function behind each field.
 */
export interface Flavour {
  readonly name: '1.6' | '1.7' | '2.1';
  /** What Version says. */
  readonly version: string;
  /** Version of Go that built it (Status, verbose: `golang`). */
  readonly golang: string;
  /** A record of the sandbox store comes before the container's (2.x sandbox_run.go, SandboxStore.Create). */
  readonly sandboxStore: boolean;
  /** When CNI DEL is called, and whether its error counts (sandbox_stop.go stopPodSandbox, sandbox_run.go). */
  readonly del: 'always' | 'if-result' | 'always-ignored-without-result';
  /** StopPodSandbox of an id that is not there (sandbox_stop.go): success, or NotFound in old versions. */
  readonly stopUnknown: 'success' | 'not-found';
  /** StopContainer of an id that is not there (container_stop.go). */
  readonly stopContainerUnknown: 'success' | 'not-found';
  /** gRPC code of a name that is reserved (2.x: the registrar's error has a class). Seen on real ones. */
  readonly nameReserved: 'Unknown' | 'FailedPrecondition';
  /** A half-created sandbox's date until the next start: Go's zero time, or its record's. Seen on real ones. */
  readonly halfCreatedDate: 'zero' | 'record';
  /** gRPC code of `server is not initialized yet` (instrumented_service.go checkInitialized). Seen on real ones. */
  readonly notReady: 'Unknown' | 'Unavailable';
  /** What it says before it has recovered: 2.x adds the class of the error. Seen on real ones. */
  readonly notReadyWords: string;
  /** RuntimeConfig: the words of Unimplemented, or undefined where it is implemented. */
  readonly noRuntimeConfig: string | undefined;
  /** GetContainerEvents: the words of Unimplemented, or undefined where it is implemented. */
  readonly noEvents: string | undefined;
  /** Who gets an event where several listen. Seen on real ones. */
  readonly telling: Telling;
  /** 2.1.7+ hints at a request in progress (container_create.go). */
  readonly containerNameHint: string;
  /** CreateContainer looks for the sandbox's task itself (1.x container_create.go), or asks the sandbox service. */
  readonly createNeedsTask: boolean;
  /** Status has ContainerdHasNoDeprecationWarnings (1.7+, status.go). */
  readonly deprecationCondition: boolean;
}

const v16: Flavour = {
  name: '1.6',
  version: '1.6.20~ds1',
  golang: 'go1.19.8',
  sandboxStore: false,
  del: 'always',
  stopUnknown: 'not-found',
  stopContainerUnknown: 'not-found',
  nameReserved: 'Unknown',
  halfCreatedDate: 'zero',
  notReady: 'Unknown',
  notReadyWords: 'server is not initialized yet',
  noRuntimeConfig: 'unknown method RuntimeConfig for service runtime.v1.RuntimeService',
  noEvents: 'unknown method GetContainerEvents for service runtime.v1.RuntimeService',
  telling: 'to-one',
  containerNameHint: '',
  createNeedsTask: true,
  deprecationCondition: false,
};

const v17: Flavour = {
  ...v16,
  name: '1.7',
  version: '1.7.24~ds1',
  golang: 'go1.24.4',
  del: 'if-result',
  stopUnknown: 'success',
  stopContainerUnknown: 'success',
  halfCreatedDate: 'record',
  noRuntimeConfig: 'method RuntimeConfig not implemented',
  noEvents: undefined,
  deprecationCondition: true,
};

const v21: Flavour = {
  ...v17,
  name: '2.1',
  version: '2.1.9',
  golang: 'go1.26.4',
  sandboxStore: true,
  del: 'always-ignored-without-result',
  nameReserved: 'FailedPrecondition',
  notReady: 'Unavailable',
  notReadyWords: 'server is not initialized yet: unavailable',
  noRuntimeConfig: undefined,
  telling: 'to-all',
  containerNameHint: '; check if another CreateContainer request is in progress',
  createNeedsTask: false,
};

export const flavours: Readonly<Record<Flavour['name'], Flavour>> = { '1.6': v16, '1.7': v17, '2.1': v21 };
