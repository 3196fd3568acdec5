import { spawn } from 'node:child_process';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { LineSplitter } from './lines.ts';

export interface RunOptions {
  /** Gets each line of the output that is not empty, as it comes; without it the output is collected. */
  readonly onLine?: (line: string) => void;
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
  /** The environment, in place of one with a PATH of the system, the C locale and UTC. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Ends the program. */
  readonly signal?: AbortSignal;
}

/** Runs a program and gives its output; the port that tests replace. */
export type Run = (argv: readonly [string, ...string[]], options?: RunOptions) => Promise<Ran>;

export interface Ran {
  /** The output where no `onLine` was given, else empty. */
  readonly stdout: string;
  readonly stderr: string;
}

/** The cause of ERR_COMMAND_FAILED where the program did not end by itself: what it would have said is not known. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

/**
 * The cause of ERR_COMMAND_FAILED and of ERR_FORBIDDEN where the program ended by itself, with an error. The message
 * has the first line of what it said: which one counts is for the reader who knows the program.
 */
export class Ended extends Error {
  override readonly name = 'Ended';
  /** What it said, with what went beyond the limit left out of the middle. */
  readonly stderr: string;

  constructor(how: string, stderr: string) {
    super(how);
    this.stderr = stderr;
  }
}

/**
 * Runs a program without a shell, with a deadline and a limit of its output, in the C locale and UTC.
 * Throws ERR_COMMAND_MISSING where it is not installed, ERR_FORBIDDEN where it may not be run, and ERR_COMMAND_FAILED
 * where it ends with an error, hangs, or says too much (it is killed then).
 */
export const run: Run = (argv, options = {}) => {
  const [program, ...args] = argv;
  const { timeoutMs = limits.childTimeoutMs, maxBytes = limits.childOutputBytes } = options;
  return new Promise((resolve, reject) => {
    const collected: Buffer[] = [];
    // As it was said, with its empty lines: they part what `systemctl show` says of several units.
    const collect = { push: (chunk: Buffer) => collected.push(chunk), end: () => undefined };
    const output = options.onLine ? new LineSplitter(limits.journalRecordBytes, options.onLine) : collect;
    const said = new Said();
    let [bytes, killedFor] = [0, ''];
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: '/',
      env: options.env ?? plainEnvironment,
    });
    const kill = (why: string) => {
      killedFor ||= why;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => kill(`no end after ${timeoutMs / 1_000} s`), timeoutMs);
    const interrupt = () => kill('interrupted');
    options.signal?.addEventListener('abort', interrupt, { once: true });
    if (options.signal?.aborted) interrupt();
    const settled = () => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', interrupt);
    };
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) kill(`more than ${maxBytes} bytes of output`);
      else if (killedFor === '') output.push(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text));
    child.on('error', (error: NodeJS.ErrnoException) => {
      settled();
      reject(startError(program, error));
    });
    child.on('close', (code, signal) => {
      settled();
      if (code === 0 && killedFor === '') {
        output.end();
        resolve({ stdout: Buffer.concat(collected).toString('utf8'), stderr: said.text() });
      } else reject(endError(argv, new Ended(`exit ${code ?? signal}`, said.text()), killedFor));
    });
  });
};

const plainEnvironment = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
  SYSTEMD_PAGER: '',
  SYSTEMD_COLORS: '0',
};

function startError(program: string, error: NodeJS.ErrnoException): SandwardenError {
  if (error.code === 'ENOENT') {
    return new SandwardenError('ERR_COMMAND_MISSING', `${program} is not installed here`, {
      hint: `Run it on the node itself, where ${program} is.`,
      cause: error,
    });
  }
  const code = error.code === 'EACCES' || error.code === 'EPERM' ? 'ERR_FORBIDDEN' : 'ERR_COMMAND_FAILED';
  return new SandwardenError(code, `cannot run ${program}: ${error.message}`, {
    hint: 'Run it as root.',
    cause: error,
  });
}

/** What a program says of its work: the beginning and the end of it, whole lines where it says too much. */
class Said {
  #head = '';
  #tail = '';
  #isWhole = true;

  push(text: string): void {
    const room = limits.childErrorChars / 2;
    const more = text.slice(0, Math.max(0, room - this.#head.length));
    this.#head += more;
    this.#tail += text.slice(more.length);
    if (this.#tail.length <= room) return;
    this.#tail = this.#tail.slice(-room);
    this.#isWhole = false;
  }

  text(): string {
    if (this.#isWhole) return this.#head + this.#tail;
    const [head, tail] = [this.#head.lastIndexOf('\n') + 1, this.#tail.indexOf('\n') + 1];
    return this.#head.slice(0, head || undefined) + this.#tail.slice(tail);
  }
}

function endError(argv: readonly string[], ended: Ended, killedFor: string): SandwardenError {
  const why = killedFor || ended.stderr.trim().split('\n')[0] || ended.message;
  const forbidden = /permission|not authorized|access denied/i.test(why);
  const message = `${safeText(argv.slice(0, 3).join(' '), 200)} failed: ${safeText(why, 500)}`;
  return new SandwardenError(forbidden ? 'ERR_FORBIDDEN' : 'ERR_COMMAND_FAILED', message, {
    hint: forbidden
      ? 'Run it as root (sudo sandwarden …).'
      : `Run ${safeText(argv.join(' '), 300)} by hand and see what it says.`,
    cause: killedFor === '' ? ended : new Killed(killedFor),
  });
}
