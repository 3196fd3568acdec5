import { SandwardenError } from '../../model/errors.ts';
import { shellWord } from '../../model/shell-word.ts';
import { findHeld } from '../../observe/name-held.ts';

/**
 * What is said where not even a debug pod starts: its own sandbox is refused. Then only the node's console is left,
 * and the exact commands for it are printed.
 */
export function refusedSandbox(node: string, message: string, argv: readonly string[]): SandwardenError {
  const held = findHeld(message);
  const why = held === undefined ? '' : ' because a sandbox of before holds its name';
  return new SandwardenError(
    'ERR_PRECONDITION',
    `${node} refuses the sandbox even of the debug pod${why}: ${message}`,
    {
      hint: consoleHint(node, argv),
    },
  );
}

/** The exact commands for a node's console. */
export function consoleHint(node: string, argv: readonly string[]): string {
  const command = `sandwarden ${argv.map(shellWord).join(' ')}`;
  return (
    `At the console of ${node} (IPMI, serial line, hypervisor), as root: \`${command}\`. ` +
    'Where Sandwarden is not installed there: `crictl pods --state NotReady` shows what is left of before, ' +
    '`systemctl status containerd kubelet` who is down.'
  );
}
