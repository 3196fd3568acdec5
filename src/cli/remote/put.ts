import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';

/** Where an image of ours (tools/image.ts) has `node`, `dist/` and `architecture`, the name of what it is for. */
export const imageFolder = '/sandwarden';

/** It is installed there; `elseHere`: where it is not, another one is taken. */
export interface NodeOrigin {
  readonly from: 'node';
  readonly path: string;
  readonly elseHere?: true;
}

/** Where the program comes from that runs on the node. */
export type Origin =
  | NodeOrigin
  /** This one, packed, by stdin. */
  | { readonly from: 'here'; readonly packed: Buffer }
  /** The debug pod's own image. */
  | { readonly from: 'image'; readonly image: string };

/**
 * What the scripts below end with where nothing was run. Sandwarden ends with none of them, chroot(1) with 125 to 127.
 */
const notRun = { noPlace: 121, notWhole: 122, notOurs: 123, otherArchitecture: 124 } as const;

const chroot = ['/usr/sbin/chroot', '/host'] as const;

/** What the debug pod runs for `argv`, with the node's own /usr, /bin and libraries in the places of the image's. */
export function podCommand(origin: Origin, argv: readonly string[], architecture: string): string[] {
  switch (origin.from) {
    case 'node':
      return [...chroot, origin.path, ...argv];
    case 'here':
      return [...chroot, '/bin/sh', '-c', receiver, 'sh', String(origin.packed.length), ...argv];
    case 'image':
      return ['/bin/sh', '-c', unpacker, 'sh', architecture, ...argv];
  }
}

/**
 * What both scripts begin with. The shell is what gets the signals: it hands SIGTERM on to the one process that it
 * waits for, and at its end removes the folder `$d` with all that is in it. Only `step` waits: a shell heeds a signal
 * while it waits, not while a program runs in front of it.
 */
const frame = `
told= p= d=
trap '[ -z "$d" ] || rm -rf "$d"' EXIT
trap 'told=1; [ -z "$p" ] || kill -TERM "$p" 2>/dev/null' TERM INT HUP
step() {
  [ -z "$told" ] || exit 130
  "$@" <&3 3<&- & p=$!
  [ -z "$told" ] || kill -TERM "$p" 2>/dev/null
  wait "$p"; code=$?
  while [ "$code" -gt 128 ] && kill -0 "$p" 2>/dev/null; do wait "$p"; code=$?; done
  p=
}
put() {
  step "$@"
  [ -z "$told" ] || exit 130
  [ "$code" = 0 ] || exit ${notRun.notWhole}
}`;

/** As `sh -c SCRIPT sh SIZE ARGS…` in the node's root: takes exactly SIZE bytes, so that nothing waits for an end. */
const receiver = `${frame}
d=$(mktemp -d /var/tmp/sandwarden.XXXXXXXX) || exit ${notRun.noPlace}
exec 3<&0
put head -c "$1" >"$d/packed"
put tar -xzf "$d/packed" -C "$d"
rm "$d/packed"
shift
exec 3</dev/null
step "$d/node" "$d/dist/sandwarden.js" "$@"
exit "$code"
`;

/**
 * As `sh -c SCRIPT sh ARCHITECTURE ARGS…` in the image: its folder is not to be seen from the node's root, so it is
 * copied there. The place is named without symbolic links, which would lead back into the image.
 */
const unpacker = `${frame}
exec 3</dev/null
[ -f ${imageFolder}/node ] && read -r is <${imageFolder}/architecture || exit ${notRun.notOurs}
[ "$is" = "$1" ] || exit ${notRun.otherArchitecture}
shift
place='cd /var/tmp && mktemp -d "$(pwd -P)/sandwarden.XXXXXXXX"'
at=$(${chroot.join(' ')} /bin/sh -c "$place") || exit ${notRun.noPlace}
d=/host$at
put cp -R ${imageFolder}/. "$d"
step ${chroot.join(' ')} "$at/node" "$at/dist/sandwarden.js" "$@"
exit "$code"
`;

/** Whether there was no such program on the node, and nothing has run: chroot(1) has ended with 127. */
export function isNotThere(origin: Origin, exitCode: number): origin is NodeOrigin {
  return origin.from === 'node' && origin.elseHere === true && exitCode === 127;
}

/**
 * Why a pod that ended with `exitCode` has not run the program; undefined where it has. `why` is the runtime's word.
 */
export function notRunError(
  exitCode: number,
  { origin, node, architecture, why }: { origin: Origin; node: string; architecture: string; why: string },
): SandwardenError | undefined {
  const failed = (message: string, hint: string) => new SandwardenError('ERR_PRECONDITION', message, { hint });
  if (origin.from !== 'node') {
    const room = 'Its /var/tmp must be writable, with 200 MB to spare. What the node said stands above.';
    const noPlace = `the program has no place on ${node}: /var/tmp takes no folder`;
    if (exitCode === notRun.noPlace) return failed(noPlace, room);
    if (exitCode === notRun.notWhole) return failed(`the program did not arrive whole on ${node}`, room);
  }
  if (origin.from === 'image') {
    const image = safeText(origin.image, 300);
    const make = 'make image makes one, docs/cluster.md tells how it comes to the nodes.';
    if (exitCode === notRun.notOurs) return failed(`${image} has no Sandwarden in it`, make);
    if (exitCode === notRun.otherArchitecture) {
      return failed(`${image} is not for ${architecture}, which ${node} is`, `Name one that is; ${make}`);
    }
  }
  return exitCode >= 125 && exitCode <= 127 ? cannotRun(origin, node, why) : undefined;
}

/** What is said where the node cannot run the program, or the pod's command at all. */
export function cannotRun(origin: Origin, node: string, why: string): SandwardenError {
  const said = why === '' || why === 'Error' ? '' : `: ${why}`;
  const [what, hint] =
    origin.from === 'node'
      ? [
          origin.path,
          `Copy this one there for the run: --node ${node} --copy COMMAND. Or say where it is: --program PATH.`,
        ]
      : [
          origin.from === 'here' ? 'the copied program' : `the program of ${safeText(origin.image, 300)}`,
          'The node needs sh, chroot and libstdc++, and a /var/tmp that is not mounted noexec.',
        ];
  return new SandwardenError('ERR_PRECONDITION', `${what} cannot be run on ${node}${said}`, { hint });
}
