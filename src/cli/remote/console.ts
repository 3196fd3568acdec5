import { SandwardenError } from '../../model/errors.ts';
import { shellWord } from '../../model/shell-word.ts';
import { findHeld, type HeldWords } from '../../observe/name-held.ts';

/** What the console's commands are about. */
export interface ConsoleOf {
  readonly node: string;
  /** COMMAND and its options. */
  readonly argv: readonly string[];
  /** Where the node's runtime listens, where the API tells; else crictl's own configuration knows it. */
  readonly endpoint?: string | undefined;
}

/**
 * What is said where not even a debug pod starts: its own sandbox is refused. Then only the node's console is left,
 * and the exact commands for it are printed.
 */
export function refusedSandbox(message: string, of: ConsoleOf): SandwardenError {
  const held = findHeld(message);
  const why = held === undefined ? '' : ' because a sandbox of before holds its name';
  const says = `${of.node} refuses the sandbox even of the debug pod${why}: ${message}`;
  return new SandwardenError('ERR_PRECONDITION', says, { hint: consoleHint(of, held) });
}

/** The exact commands for a node's console. */
export function consoleHint({ node, argv, endpoint }: ConsoleOf, held?: HeldWords): string {
  const command = `sandwarden ${argv.map(shellWord).join(' ')}`;
  const crictl = `crictl${endpoint === undefined ? '' : ` --runtime-endpoint ${shellWord(endpoint)}`}`;
  return (
    `At the console of ${node} (IPMI, serial line, hypervisor), as root: \`${command}\`. ` +
    `Where Sandwarden is not installed there: \`${crictl} pods --state NotReady\` shows what is left of before, ` +
    `\`systemctl status containerd kubelet\` who is down.${removal(crictl, held)}`
  );
}

/**
 * How the one that holds the name is removed by hand, once it was looked at. Its id comes out of an event, which more
 * than kubelet may write: only what is a full id is printed as one, and nothing that crictl could take for an option.
 */
function removal(crictl: string, held: HeldWords | undefined): string {
  if (held === undefined || !/^[0-9a-f]{64}$/.test(held.holderId)) return '';
  const [inspect, stop, remove] = held.kind === 'sandbox' ? ['inspectp', 'stopp', 'rmp'] : ['inspect', 'stop', 'rm'];
  const { holderId } = held;
  const ready = held.kind === 'sandbox' ? 'SANDBOX_READY' : 'CONTAINER_RUNNING';
  return (
    ` \`${crictl} ${inspect} ${holderId}\` shows what holds the name; unless its state is ${ready}, ` +
    `\`${crictl} ${stop} ${holderId} && ${crictl} ${remove} ${holderId}\` removes it.`
  );
}
