import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { isErrno, readText } from '../observe/read-file.ts';
import { families } from './witnesses.ts';

/** What this boot left for `boot-report` and for the next step: a tmpfs, so it is of this boot alone. */
export const runDir = '/run/sandwarden';

/** The files in `runDir` that units have as their condition (early.sh makes the first three). */
export const flags = {
  booted: 'booted',
  /** The last boot did not end in order. */
  unclean: 'unclean',
  /** A file of the last boot is dated after now; holds its pattern. */
  clockBehind: 'clock-behind',
  /** Something is left for the step after kubelet's start. */
  afterKubelet: 'after-kubelet',
} as const;

const big = v.pipe(
  v.string(),
  v.regex(/^-?\d{1,20}$/),
  v.transform((text) => BigInt(text)),
);
const witness = v.object({ family: v.picklist(families), from: v.string(), dateNs: big, slackNs: big });

const clockRecord = v.object({
  atUptimeNs: big,
  /** The clock as it was found. */
  wallNs: big,
  neverSet: v.boolean(),
  result: v.picklist(['moved', 'kept', 'synchronized', 'forbidden', 'failed']),
  toNs: v.exactOptional(big),
  why: v.string(),
  /** All that was read, thinned to the newest of each family and what was distrusted. */
  witnesses: v.array(witness),
  distrusted: v.array(v.object({ witness, why: v.string() })),
});

const healRecord = v.object({
  step: v.picklist(['before-kubelet', 'after-kubelet']),
  startedUptimeNs: big,
  endedUptimeNs: big,
  runtimeReadyUptimeNs: v.exactOptional(big),
  reportOnly: v.boolean(),
  /** The exact floor from CRI's creation dates. */
  clock: v.exactOptional(clockRecord),
  removed: v.array(v.string()),
  /** What would be removed, where only a report was allowed, and what could not be. */
  left: v.array(v.object({ object: v.string(), why: v.string() })),
  /** Nothing is left for the step after kubelet's start. */
  settled: v.boolean(),
  why: v.string(),
});

const schema = v.object({
  format: v.literal('sandwarden.boot/1'),
  clock: v.exactOptional(clockRecord),
  heal: v.array(healRecord),
});

export type ClockRecord = v.InferOutput<typeof clockRecord>;
export type HealRecord = v.InferOutput<typeof healRecord>;
export type BootRecord = v.InferOutput<typeof schema>;

const empty: BootRecord = { format: 'sandwarden.boot/1', heal: [] };

/** What ran at this boot; empty where nothing did or the file was cut off. Throws ERR_FILE, ERR_FORBIDDEN. */
export async function readBootRecord(directory = runDir): Promise<BootRecord> {
  const text = await readText(join(directory, 'boot.json'), limits.snapshotBytes);
  if (text === undefined) return empty;
  try {
    const parsed = v.safeParse(schema, JSON.parse(text));
    return parsed.success ? parsed.output : empty;
  } catch (error) {
    if (error instanceof SyntaxError) return empty;
    throw error;
  }
}

/** Replaces the record as a whole. Throws ERR_FILE where `directory` cannot be written. */
export async function writeBootRecord(record: BootRecord, directory = runDir): Promise<void> {
  const text = `${JSON.stringify(record, (_, value) => (typeof value === 'bigint' ? value.toString() : value), 1)}\n`;
  await translated(directory, async () => {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const draft = join(directory, `boot.${randomBytes(6).toString('hex')}`);
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    await using file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
    await file.writeFile(text);
    await rename(draft, join(directory, 'boot.json'));
  });
}

/** Makes or takes away a flag. Throws ERR_FILE. */
export async function setFlag(name: string, isSet: boolean, directory = runDir): Promise<void> {
  const path = join(directory, name);
  await translated(directory, async () => {
    if (!isSet) return await unlink(path).catch(ifAbsent);
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const { O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
    await using _file = await open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o644);
  });
}

/** The text of a flag, or undefined where it is not set. */
export function readFlag(name: string, directory = runDir): Promise<string | undefined> {
  return readText(join(directory, name), limits.configBytes);
}

function ifAbsent(error: unknown): void {
  if (!isErrno(error) || error.code !== 'ENOENT') throw error;
}

async function translated(directory: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new SandwardenError('ERR_FILE', `cannot write in ${directory}: ${error.message}`, {
      hint: 'Run it as root; /run must be a tmpfs that can be written.',
      cause: error,
    });
  }
}
