import { plainQuotes } from './logfmt.ts';

/** A refused reservation as the runtime words it. `name` is the whole name with its underscores. */
export interface HeldWords {
  readonly kind: 'sandbox' | 'container';
  readonly name: string;
  readonly holderId: string;
}

const NAME = '"([^"\\\\]{1,1000})"';
const HELD = new RegExp(
  `failed to reserve (sandbox|container) name ${NAME}(?:; check if another CreateContainer request is in progress)?: ` +
    'name "\\2" is reserved for "([0-9A-Za-z._-]{1,128})"',
);
const MARK = 'failed to reserve ';

/**
 * "failed to reserve sandbox|container name …: name … is reserved for …" anywhere in `text`, in every form that was
 * seen: quotes plain, or escaped once, twice, three times by the logs and events it went through; with the middle part
 * of containerd 2.1.7, 2.2.2 and 2.3.0 and newer. Source: internal/cri/server/{sandbox_run,container_create}.go and
 * internal/registrar/registrar.go. Both names must be the same. Linear: each mark is looked at in a bounded window.
 */
export function findHeld(text: string): HeldWords | undefined {
  for (let at = text.indexOf(MARK), looks = 0; at !== -1 && looks < 16; at = text.indexOf(MARK, at + 1), looks++) {
    // Every level of escaping doubles the backslashes before a quote; none may stand inside a name.
    const plain = plainQuotes(text.slice(at, at + 2_600));
    const [, kind, name, holderId] = HELD.exec(plain) ?? [];
    if (name !== undefined && holderId !== undefined) {
      return { kind: kind === 'container' ? 'container' : 'sandbox', name, holderId };
    }
  }
  return undefined;
}
