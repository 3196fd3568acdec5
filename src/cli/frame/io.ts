/** What a command may do with the world of its caller; tests hand in their own. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdinIsTerminal: boolean;
  /** Asks a question at the terminal; true only for an explicit yes. Rejects when `signal` is aborted. */
  confirm(question: string, signal?: AbortSignal): Promise<boolean>;
  /** Calls `handler` at each Ctrl-C (SIGINT), SIGTERM and SIGHUP, in place of the end; gives what stops that. */
  onInterrupt(handler: () => void): () => void;
  /**
   * Puts the same program, with a flag of Node that counts only at its start, in the place of this process; returns
   * where it has the flag already, or cannot be replaced.
   */
  restartWith?(flag: string): void;
}

export interface Output {
  write(text: string): void;
  /** Calls `handler` once when nobody reads any more (`| head -1`): what goes on for ever can end then. */
  whenGone?(handler: () => void): void;
  readonly isTerminal: boolean;
  readonly columns: number | undefined;
  /** The rows of the terminal; absent where there is none, or where it does not say. */
  readonly rows?: number | undefined;
  /** Whether this stream takes colours by NO_COLOR, FORCE_COLOR, TERM and what it is connected to. */
  readonly takesColour: boolean;
}
