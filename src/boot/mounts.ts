/**
 * How long a write may wait before it reaches the disk, nanoseconds, for the file system that `path` lies on.
 * From /proc/self/mountinfo (proc(5)): the `commit=` option, else what the file system does without it. Pure.
 */
export function commitIntervalNs(mountinfo: string, path: string): bigint {
  let best: Mount | undefined;
  for (const line of mountinfo.split('\n')) {
    const mount = mountOf(line);
    // A later line of the same length lies on top.
    if (mount && contains(mount.point, path) && mount.point.length >= (best?.point.length ?? 0)) best = mount;
  }
  const option = /(?:^|,)commit=(\d{1,4})(?:,|$)/.exec(best?.options ?? '')?.[1];
  const seconds = option === undefined ? (defaultSeconds.get(best?.type ?? '') ?? otherSeconds) : Number(option);
  // commit=0 stands for the default (ext4(5)).
  return BigInt(seconds === 0 ? 5 : Math.min(seconds, mostSeconds)) * 1_000_000_000n;
}

interface Mount {
  readonly point: string;
  readonly type: string;
  readonly options: string;
}

function mountOf(line: string): Mount | undefined {
  const [before = '', after] = line.split(' - ', 2);
  const point = before.split(' ')[4];
  if (point === undefined || after === undefined) return undefined;
  const [type = '', , options = ''] = after.split(' ');
  // Space, tab, newline and backslash are written as \ooo.
  const plain = point.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return { point: plain, type, options };
}

function contains(point: string, path: string): boolean {
  return point === '/' || path === point || path.startsWith(`${point}/`);
}

// ext4(5); xfs: xfssyncd_centisecs and dirty_expire_centisecs; btrfs(5): 30 s.
const defaultSeconds: ReadonlyMap<string, number> = new Map([
  ['ext4', 5],
  ['ext3', 5],
  ['btrfs', 30],
  ['xfs', 30],
]);
const otherSeconds = 30;
const mostSeconds = 120;
