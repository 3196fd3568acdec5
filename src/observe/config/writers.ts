import { isSandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { known, type Observed } from '../../model/observed.ts';
import type { ConfigWriter, FileLine } from '../../model/runtime-config.ts';
import type { Run } from '../child.ts';
import { inParallel } from '../pool.ts';
import { readText } from '../read-file.ts';
import { linesOf } from '../units.ts';
import { observed } from '../unknown.ts';
import { startsUnits } from './writer-starts.ts';

/** A unit as `systemctl show` tells: what it is ordered after in force, and when it ran in this boot. */
export interface ShownUnit {
  readonly id: string;
  readonly after: readonly string[];
  /** The words of its ExecStart lines. */
  readonly commands: readonly string[];
  readonly fragment: string;
  readonly startedUs?: bigint;
  readonly doneUs?: bigint;
  readonly mainStartedUs?: bigint;
}

const properties = [
  'Id,LoadState,After,ExecStartPre,ExecStart,ExecStartPost,FragmentPath,InactiveExitTimestampMonotonic',
  'ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic,ExecMainStartTimestampMonotonic',
].join(',');

/**
 * The units that write the runtime's configuration, with their order towards the runtime's unit and how they ran at
 * this boot. Found by their name (nodeadm), by the text of what they run, and for cloud-init by its user data.
 * None where systemd does not know the runtime's unit; Unknown where it could not be asked.
 */
export async function observeWriters(
  runtimeUnit: string,
  configFile: string,
  root: string,
  runner: Run,
): Promise<Observed<readonly ConfigWriter[]>> {
  // Without --all a pattern leaves out what is not active now, and a unit that writes at boot is over by then.
  const argv = [
    'systemctl',
    'show',
    '--all',
    '--no-pager',
    `--property=${properties}`,
    '*.service',
    '*.target',
  ] as const;
  // It asks each unit for itself: many hundreds on a node in trouble, which is when it is slow.
  const answer = await observed(() => runner([...argv], { timeoutMs: limits.systemdCallsTimeoutMs }));
  if (!answer.known) return answer;
  const units = parseUnits(answer.value.stdout);
  const runtime = units.find((each) => each.id === runtimeUnit);
  if (runtime === undefined) return known([]);
  const before = orderedBefore(runtime, units);
  const services = units.filter((each) => each.id.endsWith('.service') && each.id !== runtimeUnit);
  const found = await inParallel(services, limits.criReadsInFlight, async (unit): Promise<ConfigWriter[]> => {
    const reason = await reasonOf(unit, configFile, root);
    if (reason === undefined) return [];
    return [
      {
        unit: unit.id,
        ...reason,
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

/** The blocks of `systemctl show`, one a unit; what is not loaded is left out. */
export function parseUnits(shown: string): ShownUnit[] {
  return shown.split(/\n\n+/).flatMap((block) => {
    const pairs = block.split('\n').map((line): [string, string] => {
      const cut = line.indexOf('=');
      return [line.slice(0, cut), line.slice(cut + 1)];
    });
    const fields = new Map(pairs);
    const id = fields.get('Id');
    if (!id || (fields.has('LoadState') && fields.get('LoadState') !== 'loaded')) return [];
    const startedUs = us(fields.get('InactiveExitTimestampMonotonic'));
    const ends = [us(fields.get('ActiveEnterTimestampMonotonic')), us(fields.get('InactiveEnterTimestampMonotonic'))];
    // A oneshot without RemainAfterExit is never active: its end is when it was inactive again.
    const doneUs = ends.filter((each) => each !== undefined && each >= (startedUs ?? 0n)).at(0);
    const mainStartedUs = us(fields.get('ExecMainStartTimestampMonotonic'));
    return [
      {
        id,
        after: (fields.get('After') ?? '').split(' ').filter((each) => each !== ''),
        commands: pairs
          .filter(([key]) => /^ExecStart(Pre|Post)?$/.test(key))
          .flatMap(([, value]) => /argv\[\]=([\s\S]*?) ; ignore_errors/.exec(value)?.[1] ?? []),
        fragment: fields.get('FragmentPath') ?? '',
        ...(startedUs === undefined ? {} : { startedUs }),
        ...(doneUs === undefined ? {} : { doneUs }),
        ...(mainStartedUs === undefined ? {} : { mainStartedUs }),
      },
    ];
  });
}

/** All that `unit` is ordered after, directly or by way of others. */
export function orderedBefore(unit: ShownUnit, units: readonly ShownUnit[]): ReadonlySet<string> {
  const byId = new Map(units.map((each) => [each.id, each]));
  const found = new Set<string>();
  const todo = [...unit.after];
  for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    todo.push(...(byId.get(id)?.after ?? []));
  }
  return found;
}

const tools = new RegExp(
  [
    'nodeadm\\s+(?:init|config|run)',
    'nvidia-ctk\\s+runtime\\s+configure',
    'nvidia-(?:container-)?toolkit',
    'kata-deploy',
    'containerd\\s+config\\s+(?:default|migrate)',
  ]
    .map((each) => `\\b${each}\\b`)
    .join('|'),
);
const administrators = /^\/(?:etc|run|usr\/local\/lib)\/systemd\/system\//;
const cloudInit = /^cloud-(?:init|config|final)(?:-\w+)?\.service$/;
const userData = ['/var/lib/cloud/instance/user-data.txt', '/var/lib/cloud/instance/cloud-config.txt'];

type Reason = Pick<ConfigWriter, 'how' | 'at'>;

async function reasonOf(unit: ShownUnit, configFile: string, root: string): Promise<Reason | undefined> {
  const folder = configFile.slice(0, configFile.lastIndexOf('/') + 1);
  const names = (text: string) => tools.test(text) || (folder !== '/' && text.includes(folder));
  if (/^nodeadm-(?:config|run)\.service$/.test(unit.id))
    return { how: 'nodeadm writes the configuration of containerd' };
  if (cloudInit.test(unit.id)) {
    // Which of cloud-init's stages runs it hangs on the module; user scripts are run by the last one.
    if (unit.id !== 'cloud-final.service') return undefined;
    for (const file of userData) {
      const at = await lineIn(file, names, root);
      if (at) return { how: 'the user data of cloud-init names it', at };
    }
    return undefined;
  }
  const own = unit.commands.some(names);
  if (own) {
    const at = await lineIn(unit.fragment, (line) => /^Exec/.test(line) && names(line), root);
    return { how: 'its command names it', ...(at ? { at } : {}) };
  }
  if (!administrators.test(unit.fragment)) return undefined;
  for (const path of unit.commands.join(' ').match(/\/[\w./@+-]+/g) ?? []) {
    const at = await lineIn(path, names, root);
    if (at) return { how: 'a script that it runs names it', at };
  }
  return undefined;
}

/** The first line of a small text file that `names` it; a program is no text. */
async function lineIn(file: string, names: (line: string) => boolean, root: string): Promise<FileLine | undefined> {
  if (file === '') return undefined;
  try {
    const text = await readText(`${root}${file}`, limits.unitFileBytes);
    if (text === undefined || text.startsWith('\x7fELF')) return undefined;
    const line = linesOf(text).find((each) => names(each.text));
    return line && { file, line: line.line };
  } catch (error) {
    if (isSandwardenError(error, 'ERR_FILE', 'ERR_FORBIDDEN')) return undefined;
    throw error;
  }
}

function us(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[1-9]\d{0,17}$/.test(text) ? BigInt(text) : undefined;
}
