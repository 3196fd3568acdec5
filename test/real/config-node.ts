import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { layout } from '../../lab/daemon.ts';
import type { Flavour } from '../../lab/flavours.ts';
import { installed } from '../../lab/install.ts';
import { type RealNode, realNode } from '../../lab/real-node.ts';
import { run } from '../../lab/run.ts';
import { changesHere } from '../../src/cli/node-changes.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { Entry } from '../../src/heal/entries.ts';
import { execute } from '../../src/heal/execute.ts';
import { readJournal } from '../../src/heal/journal.ts';
import { gatherMaterial } from '../../src/heal/material.ts';
import type { NodeChanges } from '../../src/heal/node-changes.ts';
import { makePlan, type PlanOptions } from '../../src/heal/plan.ts';
import type { Look, World } from '../../src/heal/ports.ts';
import { journalStore, openStateDir } from '../../src/heal/state-dir.ts';
import { planUndo } from '../../src/heal/undo.ts';
import { known } from '../../src/model/observed.ts';
import type { Outcome, Plan } from '../../src/model/plan.ts';
import type { HandlerSettings } from '../../src/model/runtime-config.ts';
import { run as runProgram } from '../../src/observe/child.ts';
import { readDump } from '../../src/observe/config/containerd-dump.ts';
import { inForce } from '../../src/observe/cri.ts';

const options: PlanOptions = { allow: ['safe', 'disruptive'], only: [] };

/**
 * A real containerd whose files are changed by the product's own hands. systemd alone is played: there is none in the
 * laboratory. The node's folder is the root of the tree that is written in, since /tmp is not root's alone.
 */
export class ConfigNode implements AsyncDisposable {
  readonly node: RealNode;
  readonly #program: string;
  readonly restarts: string[] = [];

  constructor(node: RealNode, program: string) {
    this.node = node;
    this.#program = program;
  }

  /** Boots it with its file as `edit` makes it of the laboratory's own, and with more files beside it. */
  static async start(
    flavour: Flavour,
    edit: (base: string, home: string) => string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<ConfigNode> {
    const node = await realNode({ flavour, pods: [], rig: { keepsConfig: true } });
    try {
      const parts = await installed(flavour);
      const self = new ConfigNode(node, join(parts?.bin ?? '', 'containerd'));
      const base = await readFile(self.file, 'utf8');
      await self.write({ 'config.toml': edit(base, self.home), ...more });
      const fatal = await node.boot({ kubelet: 'namesake' });
      if (fatal !== undefined) throw new Error(fatal);
      return self;
    } catch (error) {
      await node.close();
      throw error;
    }
  }

  get home(): string {
    return this.node.rig.home;
  }

  get file(): string {
    return layout(this.home).config;
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    const { mkdir, writeFile } = await import('node:fs/promises');
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.home, name);
      await mkdir(join(path, '..'), { recursive: true });
      await writeFile(path, text);
    }
  }

  /** The configuration as it stands on the disk: names, modes, owners and contents. */
  async tree(): Promise<string> {
    const lines: string[] = [];
    for (const name of (await readdir(this.home)).filter((each) => /config\.toml$|conf\.d|^etc$/.test(each)).sort()) {
      for (const path of [name, ...(await under(this.home, name))]) {
        const { mode, uid, gid } = await stat(join(this.home, path));
        const text = path.endsWith('.toml') ? await readFile(join(this.home, path), 'utf8') : '';
        lines.push(`${path} ${mode.toString(8)} ${uid}:${gid}\n${text}`);
      }
    }
    return lines.join('\n');
  }

  /** What containerd itself makes of the files now, not by way of the product. */
  async dumped(): Promise<HandlerSettings | undefined> {
    const { stdout } = await run(this.#program, ['-c', this.file, 'config', 'dump']);
    return await readDump(stdout);
  }

  async live(): Promise<HandlerSettings | undefined> {
    return inForce(await this.node.cri.status());
  }

  async look(plan?: (look: Look) => Plan): Promise<Look> {
    const { node } = this;
    const snapshot = await node.snapshot({
      kubeletConfig: async () =>
        known({ files: [], drivers: [{ driver: 'systemd', from: 'file' }], onDisk: ['systemd'] }),
    });
    const material = await gatherMaterial(snapshot, this.changes());
    const look = { snapshot, diagnosis: diagnose(snapshot), plan: makePlan(snapshot, options, material) };
    return { ...look, plan: plan?.(look) ?? look.plan, listedUptimeNs: node.clock.uptimeNs() };
  }

  async heal(plan?: (look: Look) => Plan): Promise<Outcome> {
    return await this.#execute(await this.look(plan), plan);
  }

  async undo(): Promise<Outcome> {
    const entries = await this.entries();
    const run = entries.find((each) => each.kind === 'intent' && 'files' in each.action.guard)?.runId ?? '';
    const state = await this.#state();
    const ports = { changes: this.changes(), backups: state.backups };
    const { runId, plan } = await planUndo(entries, run, ports, state.bootId);
    return await this.#execute({ ...(await this.look()), plan }, undefined, runId);
  }

  async entries(): Promise<readonly Entry[]> {
    return (await readJournal(journalStore(join(this.home, 'state')))).entries;
  }

  changes(): NodeChanges {
    const { node } = this;
    const here = (path: string) => (path.startsWith(`${this.home}/`) ? path.slice(this.home.length) : path);
    const changes = changesHere({
      cri: node.cri,
      readIdentity: () => node.world(options).readIdentity(),
      root: this.home,
      program: this.#program,
      run: (argv, more) =>
        argv[0] === 'systemctl' ? Promise.resolve({ stdout: '', stderr: '' }) : runProgram(argv, more),
    });
    return {
      ...changes,
      fileNow: (path) => changes.fileNow(here(path)),
      replaceFile: (path, to, folders) => changes.replaceFile(here(path), to, folders),
      sweep: (path) => changes.sweep(here(path)),
      dumpConfig: (path) => changes.dumpConfig(here(path)),
      unitOf: async () => 'kubelet.service',
    };
  }

  close(): Promise<void> {
    return this.node.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #execute(look: Look, plan?: (look: Look) => Plan, undoes?: string): Promise<Outcome> {
    const { node } = this;
    const world: World = {
      ...node.world(options),
      changes: this.changes(),
      lookAgain: () => this.look(plan),
      restartUnit: async (unit) => {
        this.restarts.push(unit);
        if (unit === 'kubelet.service') {
          await node.killKubelet();
          return await node.startKubelet('namesake');
        }
        await node.rig.stop();
        const fatal = await node.startRuntime();
        if (fatal !== undefined) throw new Error(fatal);
      },
    };
    return await execute({
      look,
      plan: look.plan,
      world,
      state: await this.#state(),
      signal: new AbortController().signal,
      onProgress: () => {},
      kubeletDown: false,
      stillRight: () => undefined,
      order: 'by-date',
      ...(undoes === undefined ? {} : { undoes }),
    });
  }

  #state() {
    return openStateDir(join(this.home, 'state'));
  }
}

async function under(home: string, name: string): Promise<string[]> {
  if (!(await stat(join(home, name))).isDirectory()) return [];
  return (await readdir(join(home, name), { recursive: true })).map((each) => join(name, each)).sort();
}
