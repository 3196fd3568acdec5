import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { readIncident } from '../diagnose/incident/incident.ts';
import { history } from '../heal/history.ts';
import { readJournal } from '../heal/journal.ts';
import { defaultStateDir, journalStore } from '../heal/state-dir.ts';
import { ExitCode, isSandwardenError, SandwardenError } from '../model/errors.ts';
import type { HealedRun, Incident, NodeEvent, Timeline, TimelineGap } from '../model/incident.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { systemClock } from '../observe/clock.ts';
import { observeNodeEvents } from '../observe/kube/node-events.ts';
import { plainBootId } from '../observe/log-line.ts';
import { isErrno } from '../observe/read-file.ts';
import { endOfJournal, readTimeline, type TimelineSource } from '../observe/timeline/read.ts';
import type { Args } from './frame/command.ts';
import { dateNs, spanNs } from './frame/duration.ts';
import type { Io } from './frame/io.ts';
import { describeRun } from './render/history-text.ts';
import { incidentHtml } from './render/incident-html.ts';
import { incidentText } from './render/incident-text.ts';
import { jsonText } from './render/json.ts';
import { styleOf } from './render/style.ts';
import { formatDate } from './render/time.ts';

/** `sandwarden incident`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const journal = await journalOf(args.value('journal'));
  const here = journal === undefined;
  // Of a node that is dead the last days count, not these.
  const clockNs = systemClock().wallNs();
  const { endNs, gaps: wrong } = here ? { gaps: [] } : await endOfJournal({ journal }, clockNs);
  const nowNs = endNs ?? clockNs;
  const sinceNs = readSince(args.value('since'), nowNs);
  const source: TimelineSource = { sinceNs, ...(here ? { bootId: bootHere() } : { journal }) };
  const read = await readTimeline(source);
  if (journal !== undefined && endNs === undefined && read.lines === 0) throw noJournal(journal.path);
  const gaps: TimelineGap[] = [...wrong, ...read.gaps];
  const stateDir = args.value('state-dir');
  const healed = here || stateDir !== undefined ? await healedRuns(stateDir ?? defaultStateDir, sinceNs, gaps) : [];
  const events = await eventsOf(args, { env: io.env, here, sinceNs }, gaps);
  const timeline: Timeline = {
    ...read,
    gaps,
    healed,
    ...(events === undefined ? {} : { events }),
    ...(here ? { hostname: hostname() } : {}),
  };
  const incident = readIncident(timeline);
  const output = args.value('output') ?? 'text';
  if (output === 'json') io.stdout.write(jsonText({ format: 'sandwarden.incident/1', ...incident, timeline }));
  else if (output === 'html') io.stdout.write(incidentHtml(incident, timeline, nowNs));
  else io.stdout.write(incidentText(incident, timeline, styleOf(io, args.flag('no-color'))));
  return exitCodeOf(incident);
}

/** It is told whatever happened; only where nothing could be read there is nothing told. */
export function exitCodeOf({ state }: Pick<Incident, 'state'>): ExitCode {
  return state === 'nothing-read' ? ExitCode.unobservable : ExitCode.healthy;
}

function noJournal(path: string): SandwardenError {
  return new SandwardenError('ERR_FILE', `there is no journal in '${safeText(path, 300)}'`, {
    hint: nameOne,
  });
}

const nameOne = 'Name a journal file (…/system.journal) or the directory of a machine (/var/log/journal/ID).';

/**
 * What `--since` asks for, as a date by the wall clock: a duration before now, or a date. Throws ERR_USAGE for what is
 * neither, lies after now, or is further back than `limits.incidentLongestMs`.
 */
export function readSince(typed: string | undefined, nowNs: bigint): bigint {
  if (typed === undefined) return nowNs - BigInt(limits.incidentSinceMs) * 1_000_000n;
  const shown = safeText(typed, 60);
  const [, digits, unit] = /^(\d{1,6})(s|m|min|h|d|w)$/.exec(typed) ?? [];
  const sinceNs = unit === undefined ? dateNs(typed) : nowNs - spanNs(digits ?? '0', unit);
  if (sinceNs === undefined) {
    throw new SandwardenError('ERR_USAGE', `'${shown}' is no time for '--since'`, {
      hint: "Write a duration ('12h', '2d', '3w') or a date ('2025-11-13', '2025-11-13T06:00:00Z').",
    });
  }
  if (sinceNs > nowNs) {
    throw new SandwardenError('ERR_USAGE', `'--since ${shown}' is after the end of the journal`, {
      hint: `It ends at ${formatDate(nowNs)} by its own clock.`,
    });
  }
  if (sinceNs < nowNs - BigInt(limits.incidentLongestMs) * 1_000_000n) {
    const days = limits.incidentLongestMs / 86_400_000;
    throw new SandwardenError('ERR_USAGE', `'--since ${shown}' is more than ${days} days before its end`, {
      hint: `At most ${days} days are looked at.`,
    });
  }
  return sinceNs;
}

async function journalOf(path: string | undefined): Promise<TimelineSource['journal']> {
  if (path === undefined) return undefined;
  try {
    // An absolute path: journalctl is run in another directory, and takes no name for an option then.
    return { path: resolve(path), isDirectory: (await stat(path)).isDirectory() };
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new SandwardenError('ERR_FILE', `cannot read the journal '${safeText(path, 300)}': ${error.code}`, {
      hint: nameOne,
      cause: error,
    });
  }
}

function bootHere(): string {
  return plainBootId(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')) ?? '';
}

interface EventsWanted {
  readonly env: Io['env'];
  readonly here: boolean;
  readonly sinceNs: bigint;
}

/**
 * What the cluster says of the node, where a kubeconfig is named: kubelet's own credentials may not read events. Of
 * another machine's journal nothing tells what its node is called: this machine's name is not it.
 */
async function eventsOf(
  args: Args,
  { env, here, sinceNs }: EventsWanted,
  gaps: TimelineGap[],
): Promise<NodeEvent[] | undefined> {
  const [flag, nodeName] = [args.value('kubeconfig'), args.value('node-name')];
  if (flag === undefined && !env.KUBECONFIG) return undefined;
  if (!here && nodeName === undefined) {
    const message = 'which node the journal is of is not told';
    if (flag !== undefined) gaps.push({ source: 'events of the cluster', message, hint: 'Name it: --node-name NAME.' });
    return undefined;
  }
  const named = { ...(flag === undefined ? {} : { flag }), ...(nodeName === undefined ? {} : { nodeName }) };
  const events = await observeNodeEvents({ env, hostname: hostname(), ...named });
  if (events.known) return events.value.filter((each) => each.lastNs >= sinceNs);
  gaps.push({ source: 'events of the cluster', message: events.message, hint: events.hint });
  return undefined;
}

/** What Sandwarden did here in this time, by its own journal. */
async function healedRuns(stateDir: string, sinceNs: bigint, gaps: TimelineGap[]): Promise<HealedRun[]> {
  try {
    const { entries } = await readJournal(journalStore(stateDir));
    return history(entries)
      .filter((each) => each.startedAt.wallNs >= sinceNs)
      .map((each) => ({
        wallNs: each.startedAt.wallNs,
        bootId: plainBootId(each.startedAt.bootId) ?? each.startedAt.bootId,
        text: describeRun(each),
      }));
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    gaps.push({ source: 'our own journal', message: error.message, hint: error.hint });
    return [];
  }
}
