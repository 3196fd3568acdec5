import type { ExitCode } from '../../model/errors.ts';
import type { Io } from './io.ts';

/** One flag of a command, as plain data: parsing, help and completion are made from it. */
export interface OptionSpec {
  readonly name: string;
  readonly short?: string;
  /** The placeholder of its value (`FILE`); absent for a flag that takes none. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly multiple?: boolean;
  /** What completes its value where no `choices` do. */
  readonly completes?: 'file' | 'directory' | 'code';
  readonly says: string;
}

/** One command, as plain data; what it does is loaded only when it runs. */
export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** A paragraph or two for `--help`. */
  readonly about: string;
  /** The placeholder of its one argument, where it takes one. */
  readonly argument?: {
    readonly name: string;
    readonly completes?: 'code';
    readonly choices?: readonly string[];
    readonly optional?: boolean;
  };
  /** The placeholder of a second argument, which must follow this word as the first one. */
  readonly second?: { readonly after: string; readonly name: string; readonly optional?: boolean };
  readonly options: readonly OptionSpec[];
  readonly examples: readonly (readonly [command: string, says: string])[];
  /** Not listed in help and completion. */
  readonly hidden?: boolean;
  /** All arguments are handed on as they are. */
  readonly raw?: boolean;
  readonly load: () => Promise<{ readonly run: Run }>;
}

export type Run = (args: Args, io: Io) => Promise<ExitCode>;

/** What was typed, checked against the command's specification. */
export interface Args {
  readonly command: string;
  readonly argument: string | undefined;
  /** What follows the word after which a second argument stands. */
  readonly second?: string | undefined;
  readonly raw: readonly string[];
  /** Whether a flag without a value was given. */
  flag(name: string): boolean;
  /** The last value given for `name`. */
  value(name: string): string | undefined;
  values(name: string): readonly string[];
}
