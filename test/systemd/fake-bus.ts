import { SandwardenError } from '../../src/model/errors.ts';
import type { ScopeSpec, SystemdBus, UnitState } from '../../src/systemd/bus.ts';

/** systemd as far as anchors see it: units in slices, started, stopped with their slice, forgotten when transient. */
export class FakeBus implements SystemdBus {
  readonly via = 'dbus';
  release = 252;
  /** What was asked that changes something, in order. */
  readonly did: string[] = [];
  /** Thrown once by the call of this name. */
  readonly failures = new Map<string, SandwardenError>();
  /** Called before a scope starts: what happens meanwhile. */
  beforeScope: (() => void) | undefined;
  /** The unit files that a StartUnit would find. */
  files: () => ReadonlyMap<string, string> = () => new Map();
  closed = false;
  readonly #units = new Map<string, UnitState>();
  readonly #paths = new Map<string, string>();
  #nowUs = 1_000_000n;

  constructor(...slices: readonly string[]) {
    for (const slice of slices) this.addSlice(slice);
  }

  addSlice(path: string): void {
    const id = path.slice(path.lastIndexOf('/') + 1);
    this.#paths.set(id, path);
    this.#units.set(id, this.#state({ id, controlGroup: path, transient: true }));
  }

  /** As kubelet and systemd do with a pod's slice: what is in it goes first. */
  removeSlice(name: string): void {
    for (const [id, unit] of [...this.#units]) if (unit.slice === name) this.#units.delete(id);
    this.#units.delete(name);
  }

  /** A unit with any properties. */
  add(unit: Partial<UnitState> & { readonly id: string }): void {
    this.#units.set(unit.id, this.#state(unit));
  }

  async unit(name: string): Promise<UnitState | undefined> {
    return this.#units.get(name);
  }

  async unitNames(patterns: readonly string[]): Promise<string[]> {
    const stems = patterns.map((each) => each.replace(/\*$/, ''));
    return [...this.#units.keys()].filter((name) => stems.some((stem) => name.startsWith(stem)));
  }

  async startScope({ name, slice, description, command }: ScopeSpec): Promise<void> {
    this.#note(`scope ${name} in ${slice}: ${command.join(' ')}`, 'startScope');
    this.beforeScope?.();
    if (this.#units.has(name)) throw new SandwardenError('ERR_SYSTEMD_FAILED', `${name} already exists`, { hint: 'x' });
    // As systemd does: a slice that is not there is made, where its name says.
    if (!this.#units.has(slice)) this.addSlice(this.#paths.get(slice) ?? `/${slice}`);
    const controlGroup = `${this.#units.get(slice)?.controlGroup}/${name}`;
    this.#units.set(name, this.#state({ id: name, slice, description, delegate: true, transient: true, controlGroup }));
  }

  async startUnit(name: string): Promise<void> {
    this.#note(`start ${name}`, 'startUnit');
    const [path, text] = [...this.files()].find(([each]) => each.endsWith(`/${name}`)) ?? [];
    if (text === undefined) throw new SandwardenError('ERR_PRECONDITION', `no ${name}`, { hint: 'x' });
    const slice = /^Slice=(.*)$/m.exec(text)?.[1] ?? '';
    const delegate = /^Delegate=yes$/m.test(text);
    const controlGroup = `${this.#units.get(slice)?.controlGroup}/${name}`;
    this.#units.set(name, this.#state({ id: name, slice, delegate, controlGroup, fragmentPath: path ?? '' }));
  }

  async stopUnit(name: string): Promise<void> {
    this.#note(`stop ${name}`, 'stopUnit');
    this.#units.delete(name);
  }

  async setProperties(name: string): Promise<void> {
    this.#note(`set ${name}`, 'setProperties');
  }

  async reload(): Promise<void> {
    this.#note('reload', 'reload');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true;
  }

  #note(what: string, call: string): void {
    const failure = this.failures.get(call);
    this.failures.delete(call);
    if (failure !== undefined) throw failure;
    this.did.push(what);
  }

  #state(of: Partial<UnitState> & { readonly id: string }): UnitState {
    this.#nowUs += 1_000_000n;
    return {
      description: '',
      loadState: 'loaded',
      activeState: 'active',
      subState: 'running',
      transient: false,
      fragmentPath: '',
      after: [],
      before: [],
      activeSinceUs: this.#nowUs,
      inactiveSinceUs: 0n,
      controlGroup: '',
      slice: '',
      delegate: undefined,
      delegateControllers: [],
      allowedCpus: [],
      memoryBytes: undefined,
      ...of,
    };
  }
}
