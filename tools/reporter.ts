/**
 * The reporter inside each test process: one JSON line per event that tools/test.ts counts.
 * Errors are put into words here, where their classes and stacks still are.
 */
import { inspect } from 'node:util';

/** A line of the reporter. `started` without an `ended` names the test that hangs. */
export type TestEvent =
  | { readonly kind: 'started'; readonly name: string; readonly nesting: number }
  | {
      readonly kind: 'ended';
      readonly name: string;
      readonly nesting: number;
      readonly tookMs: number;
      readonly suite: boolean;
      readonly passed: boolean;
      /** Why it was skipped; empty where no reason was given. */
      readonly skipped?: string;
      /** For a failure of its own; a parent of failed tests has none. */
      readonly error?: string;
    }
  | { readonly kind: 'summary' };

interface NodeTestEvent {
  readonly type: string;
  readonly data: {
    readonly name?: string;
    readonly nesting?: number;
    readonly skip?: string | boolean;
    readonly todo?: string | boolean;
    readonly details?: {
      readonly type?: string;
      readonly duration_ms?: number;
      readonly error?: Error & { readonly failureType?: string };
    };
  };
}

export default async function* reporter(source: AsyncIterable<NodeTestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    const translated = translate(event);
    if (translated !== undefined) yield `${JSON.stringify(translated)}\n`;
  }
}

function translate({ type, data }: NodeTestEvent): TestEvent | undefined {
  const { name = '', nesting = 0, details } = data;
  if (type === 'test:summary') return { kind: 'summary' };
  if (type === 'test:dequeue') return { kind: 'started', name, nesting };
  if (type !== 'test:pass' && type !== 'test:fail') return undefined;
  const skipped = reasonOf(data.skip) ?? reasonOf(data.todo);
  const ofItsOwn = type === 'test:fail' && details?.error?.failureType !== 'subtestsFailed';
  return {
    kind: 'ended',
    name,
    nesting,
    tookMs: details?.duration_ms ?? 0,
    suite: details?.type === 'suite',
    passed: type === 'test:pass',
    ...(skipped === undefined ? {} : { skipped }),
    ...(ofItsOwn ? { error: inspect(details?.error?.cause ?? details?.error, { depth: 8 }) } : {}),
  };
}

function reasonOf(mark: string | boolean | undefined): string | undefined {
  if (mark === undefined || mark === false) return undefined;
  return mark === true ? '' : mark;
}
