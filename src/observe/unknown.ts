import { SandwardenError } from '../model/errors.ts';
import { known, type Observed, type Unknown, unknown } from '../model/observed.ts';

/** What a source answers where it failed with one of our errors. Anything else is a bug of ours and is thrown on. */
export function unknownFrom(error: unknown): Unknown {
  if (error instanceof SandwardenError) return unknown(error.code, error.message, error.hint);
  throw error;
}

/** The value of `read` or why it could not be read. */
export async function observed<T>(read: () => Promise<T>): Promise<Observed<T>> {
  try {
    return known(await read());
  } catch (error) {
    return unknownFrom(error);
  }
}
