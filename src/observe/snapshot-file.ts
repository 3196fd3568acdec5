import { safeParse } from 'valibot';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { type Snapshot, snapshotFormat } from '../model/snapshot.ts';
import { readText } from './read-file.ts';
import { snapshotSchema } from './snapshot-schema.ts';

/** A snapshot as a file: JSON in a stable order, bigints as decimal text, one newline at the end. */
export function encodeSnapshot(snapshot: Snapshot): string {
  const ordered = Object.fromEntries(
    Object.keys(snapshotSchema.entries).map((key) => [key, snapshot[key as keyof Snapshot]]),
  );
  const encode = (_key: string, value: unknown): unknown => {
    if (typeof value === 'bigint') return value.toString();
    if (value === ordered || typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return `${JSON.stringify(ordered, encode, 2)}\n`;
}

/** The snapshot in a file's text. Throws ERR_SNAPSHOT with the path of the field that is wrong. */
export function decodeSnapshot(text: string): Snapshot {
  const value = parseJson(text);
  const format = typeof value === 'object' && value !== null && 'format' in value ? value.format : undefined;
  if (typeof format !== 'string' || !format.startsWith('sandwarden.snapshot/')) {
    throw snapshotError('it is no snapshot of Sandwarden', 'Take one on the node: sandwarden snapshot > node.json');
  }
  if (format !== snapshotFormat) {
    throw snapshotError(
      `its format is ${safeText(format, 60)}, and this version reads ${snapshotFormat}`,
      'Read it with the version of Sandwarden that wrote it.',
    );
  }
  const result = safeParse(snapshotSchema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = (issue.path ?? []).map((each) => String(each.key)).join('.');
  throw snapshotError(`${safeText(path, 200) || 'the file'}: ${safeText(issue.message, 300)}`);
}

/** Reads a snapshot file, or standard input for `-`. Throws ERR_SNAPSHOT, ERR_FILE, ERR_FORBIDDEN. */
export async function readSnapshotFile(path: string): Promise<Snapshot> {
  const text = path === '-' ? await readStdin() : await readText(path, limits.snapshotBytes);
  if (text === undefined) {
    throw new SandwardenError('ERR_FILE', `there is no file '${safeText(path, 300)}'`, {
      hint: 'Name an existing file.',
    });
  }
  return decodeSnapshot(text);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    const why = text.trim() === '' ? 'it is empty' : `it is no whole JSON (${safeText(error.message, 200)})`;
    throw snapshotError(why, 'The file was cut or changed: take it again.', error);
  }
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer | string>) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > limits.snapshotBytes) throw snapshotError(`it is larger than ${limits.snapshotBytes} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function snapshotError(
  why: string,
  hint = 'The file was changed by hand or by another program: take it again.',
  cause?: unknown,
): SandwardenError {
  return new SandwardenError('ERR_SNAPSHOT', `the snapshot cannot be read: ${why}`, { hint, cause });
}
