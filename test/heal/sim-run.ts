import { type ExecuteRequest, execute } from '../../src/heal/execute.ts';
import type { ProgressEvent } from '../../src/heal/progress.ts';
import type { Outcome } from '../../src/model/plan.ts';
import { SimDisk, SimMachine } from './sim-state.ts';
import { SimWorld } from './sim-world.ts';

/** A simulated node with its disk and its processes. */
export function simNode(setUp: (world: SimWorld) => void = () => undefined) {
  const world = new SimWorld();
  setUp(world);
  return nodeOf(world);
}

/** The same around a world of another kind. */
export function nodeOf<W extends SimWorld>(world: W) {
  const disk = new SimDisk(world.clock);
  const machine = new SimMachine();
  world.isIntended = async (target) => {
    const entries = await disk.durableEntries();
    const intent = entries.findLast((each) => each.kind === 'intent' && each.action.target === target);
    return intent !== undefined && !entries.some((each) => each.kind === 'outcome' && each.of === intent.seq);
  };
  return { world, disk, machine };
}

export interface Ran {
  readonly outcome: Outcome;
  readonly events: ProgressEvent[];
  /** `object result`, in the plan's order. */
  readonly results: string[];
}

/** One run of `heal` by a process of its own, with the plan that the world asks for now. */
export async function heal(node: ReturnType<typeof simNode>, change: Partial<ExecuteRequest> = {}): Promise<Ran> {
  const { world, disk, machine } = node;
  const { state, kill } = machine.start(disk);
  const events: ProgressEvent[] = [];
  const look = change.look ?? world.look();
  const outcome = await execute({
    look,
    plan: look.plan,
    world,
    state,
    signal: new AbortController().signal,
    onProgress: (event) => events.push(event),
    kubeletDown: world.identity.kubeletRunning === false,
    stillRight: () => undefined,
    order: 'by-date',
    ...change,
  }).finally(kill);
  return { outcome, events, results: outcome.actions.map((each) => `${each.action.object} ${each.result}`) };
}
