import { limits } from '../../model/limits.ts';
import type { Boot } from '../../model/node.ts';
import { valueOr } from '../../model/observed.ts';
import type { Rule } from '../rule.ts';
import { describeDate, describeDuration } from '../time.ts';

/** SW204: several boots in a row ended without a shutdown, each after a short life. */
export const sw204: Rule = {
  code: 'SW204',
  name: 'reboot-loop',
  title: 'The node loses its boots, one after the other',
  severity: 'warning',
  says: 'the last three boots all ended without a shutdown, within an hour',
  explanation: `One unclean end is a power cut. Three within an hour are a cause that comes again: a power supply
that breaks down under load, a watchdog, a kernel that panics, or something that runs at each boot.

Whatever runs at boot may be a part of such a loop, the boot hook too. From the third unclean boot within an hour on
it only reports what it would do, until a boot has lived for longer.`,
  evidence: 'each boot with its end and how long it lived',
  remedy: { tier: 'none', text: 'Find what the boots have in common; the hook only reports meanwhile.' },
  sources: ['systemd-journald: boot ids; src/boot/reboot-loop.ts'],
  needs: ['boots'],
  examine: ({ snapshot }) => {
    const boots = valueOr(snapshot.boots, []);
    const loop = boots.filter((each) => each.end !== 'running').slice(-limits.rebootLoopBoots);
    if (loop.length < limits.rebootLoopBoots || loop.some((each) => each.end !== 'unclean')) return [];
    if (lived(loop) > limitNs || distance(loop) > limitNs) return [];
    return [
      {
        code: 'SW204',
        severity: 'warning',
        object: { kind: 'node', name: 'boots' },
        why: `The last ${loop.length} boots all ended without a shutdown, within ${describeDuration(limitNs)}.`,
        evidence: loop.map((each) => ({
          source: 'boots' as const,
          text:
            `boot ${each.bootId.slice(0, 8)} lived ${describeDuration(each.lastNs - each.firstNs)}, ` +
            `until ${describeDate(each.lastNs)}`,
        })),
        remedy: {
          tier: 'none',
          text: 'look at the last lines of each for what they have in common',
          command: `journalctl -b ${loop.at(-1)?.bootId} -n 50`,
        },
        pods: [],
      },
    ];
  },
};

/** How long they lived together: right whatever the clock said. */
function lived(boots: readonly Boot[]): bigint {
  return boots.reduce((sum, each) => sum + (each.lastNs > each.firstNs ? each.lastNs - each.firstNs : 0n), 0n);
}

function distance(boots: readonly Boot[]): bigint {
  return (boots.at(-1)?.lastNs ?? 0n) - (boots[0]?.firstNs ?? 0n);
}

const limitNs = BigInt(limits.rebootLoopMs) * 1_000_000n;
