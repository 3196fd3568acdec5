import type { Clock } from '../../model/clock.ts';
import { isSandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { known, type Observed } from '../../model/observed.ts';
import type { ConfigWriter, FileLine } from '../../model/runtime-config.ts';
import { Ended, type Ran, type Run } from '../child.ts';
import { systemClock } from '../clock.ts';
import { inParallel } from '../pool.ts';
import { readText } from '../read-file.ts';
import { linesOf } from '../units.ts';
import { observed } from '../unknown.ts';
import { stageOfUnit, userDataLine } from './cloud-init.ts';
import { lastWriters, type UnitRun, wallUs, writtenFiles } from './last-written.ts';
import { startsUnits } from './writer-starts.ts';
import { writesBelow } from './writes.ts';

/** A unit as `systemctl show` tells: what it is ordered after in force, and when it ran in this boot. */
export interface ShownUnit {
  readonly id: string;
  readonly after: readonly string[];
  readonly before: readonly string[];
  /** The words of its ExecStart lines. */
  readonly commands: readonly string[];
  readonly fragment: string;
  readonly startedUs?: bigint;
  readonly doneUs?: bigint;
  readonly mainStartedUs?: bigint;
  /** When what it does at its start began and was done, by the wall clock of then; absent before systemd 247. */
  readonly startedWallUs?: bigint;
  readonly doneWallUs?: bigint;
  /** A timer starts it: when it runs has nothing to do with the boot. */
  readonly isTimed: boolean;
}

const properties = [
  'Id,LoadState,After,Before,ExecStartPre,ExecStart,ExecStartPost,FragmentPath,InactiveExitTimestampMonotonic',
  'ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic,ExecMainStartTimestampMonotonic',
  'InactiveExitTimestamp,ActiveEnterTimestamp,InactiveEnterTimestamp,TriggeredBy',
].join(',');

/**
 * What an order can lead by way of. Mounts are not asked, as pods have thousands: an order by way of a mount is seen at
 * both of its ends, in the Before= of the one and in the After= of the other.
 */
const asked = ['service', 'target', 'socket', 'path', 'timer', 'automount', 'swap'].map((each) => `*.${each}` as const);

/** The runtime's unit and the files it was configured by, the first of them being the one it was started with. */
export interface Configured {
  readonly unit: string;
  readonly file: string;
  readonly files: readonly string[];
}

/**
 * The units that write the runtime's configuration, with their order towards the runtime's unit and how they ran at
 * this boot. Found by their name (nodeadm), by the text of what they run, for cloud-init by its user data, and by the
 * date of the files, where that was a moment at which one unit alone ran.
 * None where systemd does not know the runtime's unit; Unknown where it could not be asked.
 */
export async function observeWriters(
  { unit: runtimeUnit, file: configFile, files }: Configured,
  root: string,
  runner: Run,
  clock: Pick<Clock, 'wallNs' | 'uptimeNs'> = systemClock(),
): Promise<Observed<readonly ConfigWriter[]>> {
  const answer = await observed(() => showUnits(runner));
  if (!answer.known) return answer;
  const units = parseUnits(answer.value.stdout);
  const runtime = units.find((each) => each.id === runtimeUnit);
  if (runtime === undefined) return known([]);
  const before = orderedBefore(runtime, units);
  const services = units.filter((each) => each.id.endsWith('.service') && each.id !== runtimeUnit);
  const runs = services.filter(({ isTimed }) => !isTimed).filter(isDated);
  const now = { wallUs: clock.wallNs() / 1_000n, monotonicUs: clock.uptimeNs() / 1_000n };
  const last = lastWriters(await writtenFiles(files, root), runs, now);
  const found = await inParallel(services, limits.criReadsInFlight, async (unit): Promise<ConfigWriter[]> => {
    const lastWrote = last.get(unit.id);
    const byDate = lastWrote && { how: `it alone was at its start when ${lastWrote.path} was last written` };
    const reason = (await reasonOf(unit, configFile, root)) ?? byDate;
    if (reason === undefined) return [];
    return [
      {
        unit: unit.id,
        ...reason,
        ...(lastWrote === undefined ? {} : { lastWrote }),
        orderedBefore: before.has(unit.id),
        orderedAfter: orderedBefore(unit, units).has(runtimeUnit),
        ...(await startsUnits(unit, root)),
        runtimeUnit,
        ...(unit.startedUs === undefined ? {} : { startedUs: unit.startedUs }),
        ...(unit.doneUs === undefined ? {} : { doneUs: unit.doneUs }),
        ...(runtime.mainStartedUs === undefined ? {} : { runtimeStartedUs: runtime.mainStartedUs }),
      },
    ];
  });
  return known(found.flat().sort((a, b) => (a.unit < b.unit ? -1 : 1)));
}

async function showUnits(runner: Run): Promise<Ran> {
  // Without --all a pattern leaves out what is not active now, and a unit that writes at boot is over by then.
  const show = ['systemctl', 'show', '--all', '--no-pager', `--property=${properties}`] as const;
  // It asks each unit for itself: many hundreds on a node in trouble, which is when it is slow.
  const options = { timeoutMs: limits.systemdCallsTimeoutMs };
  try {
    return await runner([...show, '--timestamp=us+utc', ...asked], options);
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_COMMAND_FAILED') || !(error.cause instanceof Ended)) throw error;
    // Before systemd 247 there was no such option, and dates come without microseconds: they are not used then.
    if (!error.cause.stderr.includes('--timestamp')) throw error;
    return runner([...show, ...asked], options);
  }
}

function isDated(unit: ShownUnit): unit is ShownUnit & UnitRun {
  return unit.startedUs !== undefined && unit.startedWallUs !== undefined;
}

/** The blocks of `systemctl show`, one a unit; what is not loaded is left out. */
export function parseUnits(shown: string): ShownUnit[] {
  return blocksOf(shown).flatMap((pairs) => {
    const fields = new Map(pairs);
    const id = fields.get('Id');
    if (!id || (fields.has('LoadState') && fields.get('LoadState') !== 'loaded')) return [];
    const startedUs = us(fields.get('InactiveExitTimestampMonotonic'));
    const ends = [us(fields.get('ActiveEnterTimestampMonotonic')), us(fields.get('InactiveEnterTimestampMonotonic'))];
    // A oneshot without RemainAfterExit is never active: its end is when it was inactive again.
    const doneUs = ends.filter((each) => each !== undefined && each >= (startedUs ?? 0n)).at(0);
    const mainStartedUs = us(fields.get('ExecMainStartTimestampMonotonic'));
    const startedWallUs = wallUs(fields.get('InactiveExitTimestamp'));
    const doneWallUs = startedWallUs === undefined ? undefined : doneByWall(startedWallUs, fields);
    return [
      {
        id,
        after: namesIn(fields.get('After')),
        before: namesIn(fields.get('Before')),
        commands: pairs
          .filter(([key]) => /^ExecStart(Pre|Post)?$/.test(key))
          .flatMap(([, value]) => /argv\[\]=([\s\S]*?) ; ignore_errors/.exec(value)?.[1] ?? []),
        fragment: fields.get('FragmentPath') ?? '',
        ...(startedUs === undefined ? {} : { startedUs }),
        ...(doneUs === undefined ? {} : { doneUs }),
        ...(mainStartedUs === undefined ? {} : { mainStartedUs }),
        ...(startedWallUs === undefined ? {} : { startedWallUs }),
        ...(doneWallUs === undefined ? {} : { doneWallUs }),
        isTimed: namesIn(fields.get('TriggeredBy')).some((each) => each.endsWith('.timer')),
      },
    ];
  });
}

/** A service that ran for a short time did one thing; of one that runs on, or ran long, only the start is known. */
function doneByWall(startedWallUs: bigint, fields: ReadonlyMap<string, string>): bigint | undefined {
  const since = (key: string) => {
    const at = wallUs(fields.get(key));
    return at !== undefined && at >= startedWallUs ? at : undefined;
  };
  const [up, over] = [since('ActiveEnterTimestamp'), since('InactiveEnterTimestamp')];
  const isShort = over !== undefined && over - startedWallUs <= limits.shortRunUs;
  return isShort ? over : (up ?? over);
}

/** The properties of each unit. A command is printed with its own newlines, and with empty lines where it has them. */
function blocksOf(shown: string): [string, string][][] {
  const blocks: [string, string][][] = [[]];
  let command: { readonly key: string; readonly lines: string[] } | undefined;
  for (const line of shown.split('\n')) {
    const cut = line.indexOf('=');
    const begins = command === undefined && line.startsWith('{ path=', cut + 1);
    if (begins) command = { key: line.slice(0, cut), lines: [] };
    if (command) {
      command.lines.push(begins ? line.slice(cut + 1) : line);
      if (!commandEnd.test(line)) continue;
      blocks.at(-1)?.push([command.key, command.lines.join('\n')]);
      command = undefined;
    } else if (line === '') blocks.push([]);
    else blocks.at(-1)?.push([line.slice(0, cut), line.slice(cut + 1)]);
  }
  return blocks;
}

/** systemctl ends a command with its state: `; ignore_errors=no ; … ; status=0/0 }`; an ExecStartEx has flags. */
const commandEnd = / ; (?:ignore_errors|flags)=[^;]* ; .*\}$/;

function namesIn(words = ''): string[] {
  return words.split(' ').filter((each) => each !== '');
}

/** All that `unit` is ordered after, directly or by way of others. */
export function orderedBefore(unit: ShownUnit, units: readonly ShownUnit[]): ReadonlySet<string> {
  const after = new Map(units.map((each) => [each.id, [...each.after]]));
  for (const each of units) {
    for (const other of each.before) {
      const known = after.get(other);
      if (known) known.push(each.id);
      else after.set(other, [each.id]);
    }
  }
  const found = new Set<string>();
  const todo = [...(after.get(unit.id) ?? unit.after)];
  for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    todo.push(...(after.get(id) ?? []));
  }
  return found;
}

const administrators = /^\/(?:etc|run|usr\/local\/lib)\/systemd\/system\//;
const cloudInit = /^cloud-(?:init|config|final)(?:-\w+)?\.service$/;
const userData = ['/var/lib/cloud/instance/user-data.txt', '/var/lib/cloud/instance/cloud-config.txt'];

type Reason = Pick<ConfigWriter, 'how' | 'at'>;

async function reasonOf(unit: ShownUnit, configFile: string, root: string): Promise<Reason | undefined> {
  const folder = configFile.slice(0, configFile.lastIndexOf('/') + 1);
  const writes = (text: string) => writesBelow(folder, text);
  if (/^nodeadm-(?:config|run)\.service$/.test(unit.id))
    return { how: 'nodeadm writes the configuration of containerd' };
  if (cloudInit.test(unit.id)) {
    const stage = stageOfUnit(unit.id);
    for (const file of stage === undefined ? [] : userData) {
      const text = await textOf(file, root);
      const line = text === undefined || stage === undefined ? undefined : userDataLine(text, stage, writes);
      if (line !== undefined) return { how: 'the user data of cloud-init names it', at: { file, line } };
    }
    return undefined;
  }
  const own = unit.commands.some(writes);
  if (own) {
    const at = await lineIn(unit.fragment, (line) => /^Exec/.test(line) && writes(line), root);
    return { how: 'its command names it', ...(at ? { at } : {}) };
  }
  if (!administrators.test(unit.fragment)) return undefined;
  for (const path of unit.commands.join(' ').match(/\/[\w./@+-]+/g) ?? []) {
    const at = await lineIn(path, writes, root);
    if (at) return { how: 'a script that it runs names it', at };
  }
  return undefined;
}

/** The first line of a small text file that `writes`; a program is no text. */
async function lineIn(file: string, writes: (line: string) => boolean, root: string): Promise<FileLine | undefined> {
  const text = await textOf(file, root);
  const line = linesOf(text ?? '').find((each) => writes(each.text));
  return line && { file, line: line.line };
}

async function textOf(file: string, root: string): Promise<string | undefined> {
  if (file === '') return undefined;
  try {
    const text = await readText(`${root}${file}`, limits.unitFileBytes);
    return text?.startsWith('\x7fELF') ? undefined : text;
  } catch (error) {
    if (isSandwardenError(error, 'ERR_FILE', 'ERR_FORBIDDEN')) return undefined;
    throw error;
  }
}

function us(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[1-9]\d{0,17}$/.test(text) ? BigInt(text) : undefined;
}
