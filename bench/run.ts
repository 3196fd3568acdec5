/**
 * `make bench`: each figure against a reference of the same run, and against the limit the project sets itself.
 * `run.ts [--assert] [--repetitions N] [NAME…]`; with --assert a figure beyond its limit fails.
 */
import { parseArgs } from 'node:util';
import { benchBootUnit } from './boot-unit.ts';
import { benchCgroups } from './cgroups.ts';
import { benchCheck, benchMemory } from './check.ts';
import { benchFleet } from './fleet.ts';
import { benchHeal } from './heal.ts';
import { benchIncident } from './incident.ts';
import { type Figure, isOver, machineLine, table } from './report.ts';
import { benchStart } from './start.ts';
import { benchWatch } from './watch.ts';

const benches: Readonly<Record<string, (repetitions: number) => Promise<Figure[]>>> = {
  start: benchStart,
  check: benchCheck,
  memory: benchMemory,
  cgroups: benchCgroups,
  boot: benchBootUnit,
  heal: benchHeal,
  watch: benchWatch,
  incident: benchIncident,
  fleet: benchFleet,
};

const { values, positionals } = parseArgs({
  options: { assert: { type: 'boolean' }, repetitions: { type: 'string', default: '21' } },
  allowPositionals: true,
});
// It costs each start of an old Node 40 ms, and says nothing about the program.
delete process.env.NODE_EXTRA_CA_CERTS;
process.stdout.write(`${machineLine()}\n\n`);
const figures: Figure[] = [];
for (const [name, bench] of Object.entries(benches)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const found = await bench(Number(values.repetitions));
  for (const line of table(found)) process.stdout.write(`${line}\n`);
  figures.push(...found);
}
const over = figures.filter(isOver);
if (over.length > 0) process.stdout.write(`\n${over.length} of ${figures.length} beyond the limit\n`);
process.exitCode = values.assert && over.length > 0 ? 1 : 0;
