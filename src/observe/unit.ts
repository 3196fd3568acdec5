import { SandwardenError } from '../model/errors.ts';
import type { NodeFacts, UnitFacts } from '../model/node.ts';
import type { Observed } from '../model/observed.ts';
import { type Run, run } from './child.ts';
import { observed } from './unknown.ts';

const PROPERTIES = '--property=Id,LoadState,ActiveState,SubState,StateChangeTimestampMonotonic';

/**
 * The unit the runtime runs in: of `units` the first that is active, else the first that is loaded.
 * `node` turns systemd's count since boot into a date; without it `since` is left out.
 */
export function observeUnit(
  units: readonly string[],
  node: NodeFacts | undefined,
  runner: Run = run,
): Promise<Observed<UnitFacts>> {
  return observed(async () => {
    const { stdout } = await runner(['systemctl', 'show', '--no-pager', PROPERTIES, ...units]);
    const unit = parseUnit(stdout, node);
    if (unit) return unit;
    throw new SandwardenError('ERR_NOT_SUPPORTED', `systemd has none of the units ${units.join(', ')}`, {
      hint: 'The runtime is started in another way; its unit is not looked at.',
    });
  });
}

/** The blocks of `systemctl show`, one a unit, parted by empty lines. */
export function parseUnit(shown: string, node: NodeFacts | undefined): UnitFacts | undefined {
  const blocks = shown.split(/\n(?=Id=)/).map((block) => {
    return new Map(
      block.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  });
  const loaded = blocks.filter((block) => block.get('LoadState') === 'loaded' && block.get('Id'));
  const chosen = loaded.find((block) => block.get('ActiveState') === 'active') ?? loaded[0];
  if (!chosen) return undefined;
  const monotonic = chosen.get('StateChangeTimestampMonotonic') ?? '';
  const monotonicUs = /^[1-9]\d{0,17}$/.test(monotonic) ? BigInt(monotonic) : undefined;
  return {
    name: chosen.get('Id') ?? '',
    activeState: chosen.get('ActiveState') ?? '',
    subState: chosen.get('SubState') ?? '',
    ...(monotonicUs === undefined || !node
      ? {}
      : {
          since: { wallNs: node.wallNs - node.uptimeNs + monotonicUs * 1_000n, bootId: node.bootId, monotonicUs },
        }),
  };
}
