import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

/** What a command in the guest gave. */
export interface RawResult {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** A command for the guest: a script for its /bin/sh, and what that reads. */
export interface Command {
  readonly script: string;
  readonly input?: Uint8Array;
  /** The guest kills it after this time. */
  readonly timeoutMs: number;
}

/** How much longer than the guest's own limit its answer is waited for. */
const answerSlackMs = 30_000;

/** The guest never sends more than this of one command. */
const largestAnswerBytes = 256 * 1024 * 1024;

/**
 * The host's end of the guest's agent (guest/agent.sh): a virtio serial port behind a unix socket, one command at a
 * time. The agent greets with `HELLO`, takes `<id> <seconds> <script bytes> <input bytes>\n<script><input>` and answers
 * `<id> <exit code> <stdout bytes> <stderr bytes>\n<stdout><stderr>`. No terminal is between: any byte goes through.
 */
export class Agent {
  readonly #server: Server;
  #socket: Socket | undefined;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #lastId = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #greeted = Promise.withResolvers<void>();
  #waiting: { readonly id: number; done(result: RawResult): void; failed(error: Error): void } | undefined;
  #header: { readonly code: number; readonly out: number; readonly err: number } | undefined;
  #ended: Error | undefined;

  private constructor(server: Server) {
    this.#server = server;
    // Whoever waits for the greeting handles its failure; nobody may be waiting.
    this.#greeted.promise.catch(() => {});
    server.on('connection', (socket) => this.#connected(socket));
  }

  /** Listens at `path`, which the emulator connects to. */
  static async listen(path: string): Promise<Agent> {
    const server = createServer();
    server.listen(path);
    await once(server, 'listening');
    return new Agent(server);
  }

  /** Resolves when the guest's agent is there; rejects when the machine goes off before. */
  greeted(): Promise<void> {
    return this.#greeted.promise;
  }

  /** Runs a command when those before it are done. Rejects when the machine goes off or the guest does not answer. */
  run(command: Command): Promise<RawResult> {
    const turn = this.#queue.then(() => this.#run(command));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Ends it: whatever is waited for is rejected with `reason`. */
  async close(reason: Error): Promise<void> {
    this.#end(reason);
    this.#socket?.destroy();
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  async #run({ script, input = new Uint8Array(), timeoutMs }: Command): Promise<RawResult> {
    await this.#greeted.promise;
    if (this.#ended) throw this.#ended;
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<RawResult>();
    this.#waiting = { id, done: answer.resolve, failed: answer.reject };
    const seconds = Math.max(1, Math.ceil(timeoutMs / 1_000));
    const text = Buffer.from(script);
    this.#socket?.write(`${id} ${seconds} ${text.length} ${input.length}\n`);
    this.#socket?.write(text);
    this.#socket?.write(input);
    const timer = setTimeout(
      () => this.#end(new Error(`the guest does not answer: ${firstLine(script)}`)),
      seconds * 1_000 + answerSlackMs,
    );
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  #connected(socket: Socket): void {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received.push(chunk);
      this.#receivedBytes += chunk.length;
      try {
        while (this.#step());
      } catch (error) {
        this.#end(error instanceof Error ? error : new Error(String(error)));
        socket.destroy();
      }
    });
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the machine went off')));
  }

  /** Takes one thing from what was received; false where it is not complete. */
  #step(): boolean {
    if (!this.#header) {
      const line = this.#takeLine();
      if (line === undefined) return false;
      if (line === 'HELLO') this.#greeted.resolve();
      else this.#header = this.#parse(line);
      return true;
    }
    const { code, out, err } = this.#header;
    if (this.#receivedBytes < out + err) return false;
    const body = this.#take(out + err);
    this.#header = undefined;
    this.#waiting?.done({ code, stdout: body.subarray(0, out), stderr: body.subarray(out) });
    return true;
  }

  #parse(line: string): { code: number; out: number; err: number } {
    const [id, code, out, err] = line.split(' ').map(Number);
    const numbers = [id, code, out, err].every((each) => Number.isSafeInteger(each));
    if (!numbers || code === undefined || out === undefined || err === undefined || id !== this.#waiting?.id) {
      throw new Error(`the guest's agent says '${line.slice(0, 100)}' out of turn`);
    }
    if (out + err > largestAnswerBytes) throw new Error(`a command in the guest gave ${out + err} bytes`);
    return { code, out, err };
  }

  #takeLine(): string | undefined {
    const all = this.#flat();
    const end = all.indexOf(10);
    return end < 0 ? undefined : this.#take(end + 1).toString('utf8', 0, end);
  }

  #take(bytes: number): Buffer {
    const all = this.#flat();
    this.#received = [all.subarray(bytes)];
    this.#receivedBytes = all.length - bytes;
    return all.subarray(0, bytes);
  }

  #flat(): Buffer {
    const all = this.#received.length === 1 ? this.#received[0] : undefined;
    if (all) return all;
    const joined = Buffer.concat(this.#received);
    this.#received = [joined];
    return joined;
  }

  #end(reason: Error): void {
    this.#ended ??= reason;
    this.#greeted.reject(reason);
    this.#waiting?.failed(reason);
  }
}

function firstLine(script: string): string {
  return script.trim().split('\n', 1)[0]?.slice(0, 200) ?? '';
}
