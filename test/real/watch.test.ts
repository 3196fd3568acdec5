// Goal: on a real cgroup v2 tree the command names who takes a controller away and who puts it back, follows a slice
// that is made anew, and ends with the documented codes. Method: the program in a mount namespace of its own, where the
// kernel's unified tree is at /sys/fs/cgroup; a shell takes away and puts back what kubelet requires.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { sandwarden } from '../cli/spawn.ts';

const required = ['cpu', 'cpuset', 'memory', 'hugetlb', 'pids'];
const { controller, skip } = available();

/** A unified tree with a controller that kubelet requires and no kubelet, and the right to mount. */
function available(): { controller: string; skip: string | false } {
  const roots = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].filter((each) => existsSync(`${each}/cgroup.controllers`));
  const [root] = roots;
  if (root === undefined) return { controller: '', skip: 'there is no unified cgroup tree' };
  const words = readFileSync(`${root}/cgroup.controllers`, 'utf8').trim().split(' ');
  const found = required.find((each) => words.includes(each));
  if (found === undefined) return { controller: '', skip: 'the unified tree has none of the controllers' };
  if (existsSync(`${root}/kubepods.slice`)) return { controller: '', skip: 'a kubelet is here' };
  const may = spawnSync('unshare', ['-m', 'mount', '-t', 'cgroup2', 'none', '/mnt']).status === 0;
  return { controller: found, skip: may ? false : 'cgroup2 cannot be mounted' };
}

/** Mounts the tree, runs the program, and acts once it has said that it watches. */
const script = `
  set -eu
  control=cgroup.subtree_control slice=kubepods.slice/kubepods-besteffort.slice controller=$1
  shift
  mount --make-rprivate /
  awk '$2 ~ "^/sys/fs/cgroup/" {print $2}' /proc/mounts | while read -r each; do umount "$each"; done
  umount /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  out=$(mktemp)
  clean() {
    cd /sys/fs/cgroup
    rmdir $slice/kubepods-besteffort-pod1_2.slice $slice kubepods.slice 2>/dev/null || true
    [ -n "$held" ] || echo -$controller > $control || true
    rm -f "$out"
  }
  trap clean EXIT
  at=$PWD
  cd /sys/fs/cgroup
  held=$(grep -w -e $controller $control || true)
  mkdir -p $slice/kubepods-besteffort-pod1_2.slice
  for each in . kubepods.slice $slice; do echo +$controller > $each/$control; done
  (cd "$at" && exec "$@") > "$out" &
  program=$!
  until grep -q -e '"start"' -e 'Watching' "$out"; do kill -0 $program; sleep 0.05; done
  lines() { until [ "$(grep -c -e '"type":"\\(change\\|slice\\)"' -e '^[0-9].*Z ' "$out")" -ge $1 ]; do kill -0 $program; sleep 0.05; done; }
  sh -c "echo -$controller > $slice/$control; exec sleep 1" & taker=$!
  lines 1; wait $taker
  echo +$controller > $slice/$control
  lines 2
  rmdir $slice/kubepods-besteffort-pod1_2.slice $slice
  lines 3
  mkdir -p $slice
  lines 4
  echo +$controller > $slice/$control
  lines 5
  kill -INT $program
  code=0; wait $program || code=$?
  cat "$out"
  echo "by $taker and $$"
  exit $code
`;

function watch(...args: string[]) {
  const under = ['unshare', '-m', 'sh', '-c', script, 'sh', controller] as const;
  return sandwarden(['watch', 'controllers', ...args], { under });
}

describe('the watch on a real tree', { skip }, () => {
  test('as JSON: who took it, who put it back, the slice that was made anew, and 10', async () => {
    const { code, stdout, stderr } = await watch('-o', 'json');
    assert.equal(code, 10, stderr);
    const lines = stdout.trimEnd().split('\n');
    const [, taker, putter] = /^by (\d+) and (\d+)$/.exec(lines.pop() ?? '') ?? [];
    const said = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((each) => each.type !== 'note');
    const slice = '/kubepods.slice/kubepods-besteffort.slice';
    const brief = said.slice(1, -1).map(({ type, slice: of, path, went, writers }) => {
      const pids = ((writers ?? []) as { pid: number }[]).map((each) => each.pid);
      return [type, of ?? path, went, ...pids];
    });
    assert.deepEqual(brief, [
      ['change', slice, 'gone', Number(taker)],
      ['change', slice, 'back', Number(putter)],
      ['slice', slice, 'removed'],
      ['slice', slice, 'made'],
      ['change', slice, 'back', Number(putter)],
    ]);
    assert.deepEqual(said[1]?.pods, [{ uid: '1-2' }]);
    assert.equal(said.at(-1)?.reason, 'interrupted');
    assert.equal(said.at(-1)?.exitCode, 10);
  });
  test('as text: the same, one line each, and the summary', async () => {
    const { stdout } = await watch();
    assert.match(stdout, new RegExp(`${controller} gone from kubepods-besteffort.slice, by (?:sleep|sh) \\(pid`));
    assert.match(stdout, new RegExp(`${controller} left kubepods-besteffort.slice once in`));
    assert.match(stdout, /kubepods-besteffort\.slice was removed[\s\S]*kubepods-besteffort\.slice was made/);
  });
});
