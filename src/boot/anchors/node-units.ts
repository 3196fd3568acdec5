import { anchorName } from '../../systemd/anchor-names.ts';

/** Where systemd reads units from: for each boot, and until the next one. */
export const unitFolders = { always: '/etc/systemd/system', boot: '/run/systemd/system' } as const;
export type Lasting = keyof typeof unitFolders;

/** The first line of each unit of ours: a file without it is somebody else's. */
export const HEADER = "# Written by 'sandwarden anchor --node'; 'sandwarden anchor release' removes it.";

/** A service that holds a slice: made with it, ended with it, by systemd alone. */
export interface NodeUnit {
  readonly name: string;
  readonly slice: string;
  readonly path: string;
  readonly text: string;
  /** What makes systemd start it with its slice. */
  readonly link: { readonly path: string; readonly target: string };
}

/**
 * The unit that holds the slice of a QoS class. A service, not a scope: systemd starts it again should its process be
 * killed, and with the slice whenever kubelet makes that anew. `command`: the process and its arguments.
 */
export function nodeUnit(slice: string, command: readonly string[], lasting: Lasting): NodeUnit {
  const name = anchorName(slice, 'service');
  const folder = unitFolders[lasting];
  return {
    name,
    slice,
    path: `${folder}/${name}`,
    text: unitText(slice, command),
    link: { path: `${folder}/${slice}.wants/${name}`, target: `../${name}` },
  };
}

function unitText(slice: string, command: readonly string[]): string {
  return `${HEADER}
[Unit]
Description=sandwarden anchor: ${slice}
# As kubelet's slices and the scopes of containers: it stays until its slice goes.
DefaultDependencies=no
StartLimitIntervalSec=0

[Service]
Type=exec
# Ordered after the slice, and stopped with it (systemd.resource-control(5), implicit dependencies).
Slice=${slice}
# What asks for every controller, cpuset among them, in this slice and in all above it.
Delegate=yes
ExecStart=${command.join(' ')}
Restart=always
RestartSec=1
OOMScoreAdjust=-998
NoNewPrivileges=yes
CapabilityBoundingSet=
LockPersonality=yes
RestrictRealtime=yes

[Install]
WantedBy=${slice}
`;
}
