import { Code, ConnectError } from '@connectrpc/connect';

/** A CRI call fails: the code and words go over the wire as they are. A plain fmt.Errorf of containerd is Unknown. */
export function fault(words: string, code: keyof typeof Code = 'Unknown'): ConnectError {
  return new ConnectError(words, Code[code]);
}

/** The words of an error without gRPC's decoration. */
export function wordsOf(error: unknown): string {
  if (error instanceof ConnectError) return error.rawMessage;
  return error instanceof Error ? error.message : String(error);
}

/** `error` with `prefix: ` before it and its code kept, as Go's `%w` and containerd's errgrpc do. */
export function wrap(prefix: string, error: unknown): ConnectError {
  const code = error instanceof ConnectError ? error.code : Code.Unknown;
  return new ConnectError(`${prefix}: ${wordsOf(error)}`, code);
}

/** What a call or a task of a process ends with when the process is killed. */
export class Died extends Error {
  override readonly name = 'Died';

  constructor(who: string) {
    super(`${who} died`);
  }
}
