import { readFileSync } from 'node:fs';
import { connectCri } from '../../src/cri/connect.ts';
import type { CriRunner } from '../../src/cri/types.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { hasCode } from '../run.ts';
import { guestPaths } from './guest.ts';

/**
 * The commands and options of cri-tools' crictl that scenarios and users' hooks use: `pods`, `ps`, `stopp`, `rmp`,
 * `version`; `-r`, `--timeout`, `--state`, `-q`, `-a`, `-f`, `-o json`. As there, no id at all prints help and is no
 * error, the default time-out is 2 s, and a READY sandbox is removed only with `--force` (cmd/crictl/sandbox.go).
 * Gives the exit code.
 */
export async function crictl(args: readonly string[]): Promise<number> {
  const { command, words, options } = parse(args);
  const endpoint = options.get('-r') ?? process.env.CONTAINER_RUNTIME_ENDPOINT ?? configured();
  const timeoutMs = Number.parseFloat(options.get('-t') ?? '2') * 1_000;
  const cri = connectCri(endpoint, { readTimeoutMs: timeoutMs, writeTimeoutMs: timeoutMs });
  try {
    return await execute(cri, command, words, options);
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    process.stderr.write(`FATA[0000] ${error.message}\n`);
    return 1;
  } finally {
    cri.close();
  }
}

const aliases: Readonly<Record<string, string>> = {
  '--runtime-endpoint': '-r',
  '--timeout': '-t',
  '--state': '-s',
  '--quiet': '-q',
  '--all': '-a',
  '--force': '-f',
  '--output': '-o',
};
const withValue = ['-r', '-t', '-s', '-o'];

function parse(args: readonly string[]) {
  const words: string[] = [];
  const options = new Map<string, string>();
  for (let index = 0; index < args.length; index++) {
    const [name = '', value] = splitOnce(args[index] ?? '');
    const short = aliases[name] ?? name;
    if (!name.startsWith('-')) words.push(args[index] ?? '');
    else if (value !== undefined) options.set(short, value);
    else options.set(short, withValue.includes(short) ? (args[++index] ?? '') : '');
  }
  const [command = 'help', ...rest] = words;
  return { command, words: rest, options };
}

function splitOnce(text: string): [string, string | undefined] {
  const at = text.startsWith('-') ? text.indexOf('=') : -1;
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

async function execute(
  cri: CriRunner,
  command: string,
  ids: readonly string[],
  options: ReadonlyMap<string, string>,
): Promise<number> {
  if (command === 'version') {
    print(JSON.stringify(await cri.version(), null, 2));
  } else if (command === 'pods') {
    const state = options.get('-s')?.toLowerCase();
    const all = await cri.listSandboxes();
    show(
      all.filter((each) => state === undefined || each.state === state),
      options,
    );
  } else if (command === 'ps') {
    const all = await cri.listContainers();
    show(
      all.filter((each) => options.has('-a') || each.state === 'running'),
      options,
    );
  } else if (command === 'stopp' || command === 'rmp') {
    if (ids.length === 0) print(`NAME:\n   crictl ${command}`);
    for (const id of ids) await end(cri, command, id, options.has('-f'));
  } else {
    print('NAME:\n   crictl - client for CRI');
    return command === 'help' ? 0 : 1;
  }
  return 0;
}

async function end(cri: CriRunner, command: 'stopp' | 'rmp', id: string, force: boolean): Promise<void> {
  if (command === 'rmp') {
    const { sandbox } = await cri.sandboxStatus(id);
    if (sandbox.state === 'ready' && !force) throw new Error(`sandbox ${id} is running, please stop it first`);
    if (sandbox.state === 'ready') await cri.stopSandbox(id);
    await cri.removeSandbox(id);
    print(`Removed sandbox ${id}`);
  } else {
    await cri.stopSandbox(id);
    print(`Stopped sandbox ${id}`);
  }
}

/** `-q`: ids; else JSON, in the nouns of src/model (dates as texts of nanoseconds). */
function show(items: readonly { readonly id: string }[], options: ReadonlyMap<string, string>): void {
  if (options.has('-q')) for (const { id } of items) print(id);
  else print(JSON.stringify({ items }, (_, value) => (typeof value === 'bigint' ? String(value) : value), 2));
}

function configured(): string {
  try {
    const match = /^runtime-endpoint:\s*["']?([^"'\s]+)/m.exec(readFileSync('/etc/crictl.yaml', 'utf8'));
    if (match?.[1] !== undefined) return match[1];
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  return `unix://${guestPaths.containerdSocket}`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
