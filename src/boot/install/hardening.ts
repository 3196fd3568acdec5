/**
 * What the units may not do (systemd.exec(5)). `systemd-analyze security` gives each but one an exposure of at most 4;
 * docs/boot.md says why that one needs more. Never MemoryDenyWriteExecute=: Node compiles as it runs.
 */
export const hardened: readonly string[] = [
  'ProtectSystem=strict',
  'ReadWritePaths=-/var/lib/sandwarden -/run/sandwarden',
  'ProtectHome=yes',
  'PrivateDevices=yes',
  'ProtectHostname=yes',
  'ProtectClock=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'NoNewPrivileges=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallErrorNumber=EPERM',
  // To look at the processes and files of others; nothing is taken from them.
  'CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE',
];

/** The same for what may set the clock. */
export function withClock(lines: readonly string[]): string[] {
  return lines
    .filter((line) => line !== 'ProtectClock=yes')
    .map((line) => {
      if (line.startsWith('SystemCallFilter=')) return `${line} @clock`;
      return line.startsWith('CapabilityBoundingSet=') ? `${line} CAP_SYS_TIME` : line;
    });
}

/**
 * For the unit that each boot waits for: what costs nothing. A mount namespace and a dozen seccomp filters take systemd
 * far longer to set up than the script takes to run (seconds in an emulated machine).
 */
export const quick: readonly string[] = [
  '# Each boot waits for it: no namespace, no filter.',
  'NoNewPrivileges=yes',
  'CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_SYS_TIME',
  'UMask=0022',
];

/**
 * For the unit that runs containerd and its CNI plugins for a moment: a mount namespace of its own would keep the
 * removal of a sandbox's mounts from the host, and they need most capabilities and system calls.
 */
export const needsDaemons: readonly string[] = [
  '# It runs containerd and CNI plugins: they mount, unmount and change the network of this machine.',
  'KillMode=control-group',
  'RestrictRealtime=yes',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  'UMask=0022',
];
