import type { Entry } from '../../src/heal/entries.ts';
import { readJournal } from '../../src/heal/journal.ts';
import { openIntents } from '../../src/heal/leftovers.ts';
import { planUndo } from '../../src/heal/undo.ts';
import type { Plan } from '../../src/model/plan.ts';
import { ConfigWorld } from './config-world.ts';
import { heal, nodeOf, type Ran } from './sim-run.ts';

export type ConfigNode = ReturnType<typeof configNode>;

export const main = '/etc/containerd/config.toml';
export const dropIn = '/etc/containerd/conf.d/zz.toml';

/** A node whose runtime is to be turned on by a changed file and a new one. */
export function configNode(setUp: (world: ConfigWorld) => void = () => undefined) {
  const world = new ConfigWorld();
  world.put(main, 'off # secret', 0o600);
  world.wanted.set(main, 'on # secret').set(dropIn, 'on');
  setUp(world);
  const node = nodeOf(world);
  world.isWriteIntended = async (path) => {
    const entries = await node.disk.durableEntries();
    return openIntents(entries).some(
      ({ action: { guard } }) => 'files' in guard && guard.files.some((each) => each.path === path),
    );
  };
  return node;
}

export async function entriesOf({ disk }: ConfigNode): Promise<readonly Entry[]> {
  return (await readJournal(disk)).entries;
}

/** The first run that changed something. */
export async function runOf(node: ConfigNode): Promise<string> {
  const entries = await entriesOf(node);
  return entries.find((each) => each.kind === 'intent' && 'files' in each.action.guard)?.runId ?? '';
}

export async function undoPlan(node: ConfigNode, id?: string): Promise<{ runId: string; plan: Plan }> {
  const { world, machine } = node;
  const { state, kill } = machine.start(node.disk);
  kill();
  const ports = { changes: world.changes, backups: state.backups };
  return await planUndo(await entriesOf(node), (id ?? (await runOf(node))).slice(0, 8), ports, machine.bootId);
}

/** `heal --undo` of the first run. */
export async function undo(node: ConfigNode, id?: string): Promise<Ran & { plan: Plan }> {
  const { runId, plan } = await undoPlan(node, id);
  return { ...(await heal(node, { look: { ...node.world.look(), plan }, undoes: runId })), plan };
}
