/**
 * Errors a person can reach carry a stable code, say what to do (`hint`) and decide the exit code.
 * Anything else that is thrown is a bug of ours (exit 70).
 */

/** Exit codes are a contract; README.md and docs/exit-codes.md document them. */
export const ExitCode = {
  healthy: 0,
  warnings: 10,
  errorsFound: 20,
  healingIncomplete: 30,
  usage: 64,
  unobservable: 69,
  bug: 70,
  outputFailed: 74,
  forbidden: 77,
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** What can go wrong outside of us, each with the exit code it leads to when it ends a command. */
export const errorCodes = {
  ERR_USAGE: ExitCode.usage,
  ERR_SOCKET_MISSING: ExitCode.unobservable,
  ERR_SOCKET_FORBIDDEN: ExitCode.forbidden,
  ERR_SOCKET_REFUSED: ExitCode.unobservable,
  ERR_SOCKET_HUNG: ExitCode.unobservable,
  ERR_SOCKET_NOT_CRI: ExitCode.unobservable,
  ERR_RUNTIME_NOT_READY: ExitCode.unobservable,
  ERR_CRI_UNIMPLEMENTED: ExitCode.unobservable,
  ERR_CRI_NOT_FOUND: ExitCode.unobservable,
  ERR_CRI_FAILED: ExitCode.unobservable,
  ERR_KUBE_UNREACHABLE: ExitCode.unobservable,
  ERR_KUBE_FAILED: ExitCode.unobservable,
  ERR_KUBE_BUSY: ExitCode.unobservable,
  ERR_KUBE_NOT_FOUND: ExitCode.unobservable,
  ERR_KUBE_CONFLICT: ExitCode.healingIncomplete,
  ERR_FORBIDDEN: ExitCode.forbidden,
  ERR_CONFIG: ExitCode.usage,
  ERR_SNAPSHOT: ExitCode.usage,
  ERR_COMMAND_MISSING: ExitCode.unobservable,
  ERR_COMMAND_FAILED: ExitCode.unobservable,
  ERR_FILE: ExitCode.unobservable,
  ERR_SYSTEMD_UNREACHABLE: ExitCode.unobservable,
  ERR_SYSTEMD_FAILED: ExitCode.unobservable,
  ERR_JOURNAL_WRITE: ExitCode.healingIncomplete,
  ERR_JOURNAL_DAMAGED: ExitCode.healingIncomplete,
  ERR_LOCKED: ExitCode.healingIncomplete,
  ERR_BUDGET: ExitCode.healingIncomplete,
  ERR_PRECONDITION: ExitCode.healingIncomplete,
  ERR_NOT_SUPPORTED: ExitCode.unobservable,
  ERR_INTERRUPTED: ExitCode.interrupted,
} as const;
export type ErrorCode = keyof typeof errorCodes;

/** An error with a stable code and a hint. `message` says what is wrong, `hint` what to do about it. */
export class SandwardenError extends Error {
  override readonly name = 'SandwardenError';
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: { hint: string; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }

  /** The exit code of a command that this error ends. */
  get exitCode(): ExitCode {
    return errorCodes[this.code];
  }
}

/** Whether `error` is one of ours, optionally with one of `codes`. */
export function isSandwardenError(error: unknown, ...codes: ErrorCode[]): error is SandwardenError {
  return error instanceof SandwardenError && (codes.length === 0 || codes.includes(error.code));
}
