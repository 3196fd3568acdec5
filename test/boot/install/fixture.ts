import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type Applied, apply, type Machine } from '../../../src/boot/install/apply.ts';
import { type Prepared, type PrepareOptions, prepare } from '../../../src/boot/install/prepare.ts';
import type { Systemd } from '../../../src/boot/install/systemd.ts';
import { systemClock } from '../../../src/observe/clock.ts';
import { Rooted } from '../../../src/observe/installed/rooted.ts';
import { tempDir } from '../../helpers/temp.ts';
import { plant, type Tree } from './roots.ts';

export const options: PrepareOptions = {
  units: { clockFloor: true, bootHeal: true, syncWaitMs: 5_000, publish: true, limitMs: 60_000 },
  program: { running: { node: '/usr/bin/node', script: '/usr/bin/sandwarden.js' } },
};

/** A node below a folder of the test's own. */
export interface Node extends AsyncDisposable {
  readonly path: string;
  readonly machine: Machine;
  readonly files: Rooted;
  prepare(change?: Partial<PrepareOptions>): Promise<Prepared>;
  install(change?: Partial<PrepareOptions>): Promise<Applied>;
  /** Everything below `folder`: kind, mode and content of each path. */
  tree(folder?: string): Record<string, string>;
}

/** A node with these files; `systemd` where it is to be asked. */
export async function nodeWith(tree: Tree, systemd?: Systemd): Promise<Node> {
  const dir = await tempDir();
  plant(dir.path, tree);
  const files = new Rooted(dir.path);
  const machine: Machine = { files, clock: systemClock(), ...(systemd === undefined ? {} : { systemd }) };
  const prepared = (change: Partial<PrepareOptions> = {}) => prepare(files, { ...options, ...change });
  return {
    path: dir.path,
    machine,
    files,
    prepare: prepared,
    install: async (change) => apply(machine, await prepared(change)),
    tree: (folder = '/etc') => treeOf(join(dir.path, folder)),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** A systemd that agrees with everything and writes down what it was asked. */
export function quietSystemd(change: Partial<Systemd> = {}): { readonly systemd: Systemd; readonly asked: string[] } {
  const asked: string[] = [];
  const systemd: Systemd = {
    verify: async (paths) => {
      asked.push(`verify ${paths.length}`);
      return { problems: [], notes: [] };
    },
    reload: async () => void asked.push('reload'),
    start: async () => void asked.push('start'),
    stop: async () => void asked.push('stop'),
    resetFailed: async () => void asked.push('reset-failed'),
    show: async () => [],
    ...change,
  };
  return { systemd, asked };
}

function treeOf(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(folder, name);
    const stat = lstatSync(path);
    const mode = (stat.mode & 0o7777).toString(8);
    if (stat.isSymbolicLink()) found[name] = `-> ${readlinkSync(path)}`;
    else if (stat.isDirectory()) found[name] = `folder ${mode}`;
    else found[name] = `${mode} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
  }
  return found;
}
