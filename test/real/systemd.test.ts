// Goal: a real systemd does what anchors count on: it takes the calls, ends an anchor with its slice, makes those of a
// node anew with theirs, and forgets what is released. Method: systemd as process 1 of namespaces of its own, slices
// made as kubelet makes them, the program itself. Controllers are not proved here: they need a host of cgroup v2.
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { manager, type RealSystemd, realSystemd, withoutSystemd } from '../helpers/real-systemd.ts';

const main = resolve(import.meta.dirname, '../../src/main.ts');
const uid = '11111111-2222-4333-8444-555555555555';
const burstable = 'kubepods-burstable.slice';
const pod = `kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`;
const podScope = `sandwarden-anchor-${uid}.scope`;
const classes = ['guaranteed', 'burstable', 'besteffort'] as const;
const slices = { guaranteed: 'kubepods.slice', burstable, besteffort: 'kubepods-besteffort.slice' } as const;
const podCgroup = `/kubepods.slice/${burstable}/${pod}`;

/** What kubelet writes behind systemd's back (opencontainers/cgroups fs2/create.go CreateCgroupPath). */
const handDown = `at=/sys/fs/cgroup
for name in . $1; do
  at=$at/$name
  for each in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$each >$at/cgroup.subtree_control || true; done
done`;

describe('with a real systemd', { skip: withoutSystemd }, () => {
  let systemd: RealSystemd;
  before(async () => {
    systemd = await realSystemd();
  });
  after(() => systemd[Symbol.asyncDispose]());

  /** As kubelet does, whatever the host's cgroup v2 offers: opencontainers/cgroups systemd/v2.go Apply, for a slice. */
  async function kubeletMakes(...names: readonly string[]): Promise<void> {
    for (const name of names) {
      const parent = name.slice(0, name.lastIndexOf('-')) || 'kubepods';
      const wants = name === 'kubepods.slice' ? '-.slice' : `${parent}.slice`;
      const accounting = ['Memory', 'CPU', 'IO', 'Tasks'].flatMap((each) => [`${each}Accounting`, 'b', 'true']);
      const own = ['Description', 's', `libcontainer container ${name}`, 'Wants', 'as', '1', wants];
      const properties = ['7', ...own, ...accounting, 'DefaultDependencies', 'b', 'false', '0'];
      const start = manager('StartTransientUnit', 'ssa(sv)a(sa(sv))', name, 'replace', ...properties);
      const { code, stderr } = await systemd.ended('busctl', ...start);
      // One that is there already is what it wants.
      assert.ok(code === 0 || /already loaded/.test(stderr), stderr);
      await active(name, true);
      const above = (await show(name, 'ControlGroup')).split('/').slice(1, -1);
      await systemd.run('sh', '-c', handDown, 'sh', above.join(' '));
    }
  }
  /** As kubelet does when a pod ends: pod_container_manager_linux.go Destroy. */
  async function kubeletEndsThePod(): Promise<void> {
    for (const pid of await processes(podCgroup)) await systemd.run('sh', '-c', `kill -9 ${pid} || true`);
    await systemd.run('busctl', ...manager('StopUnit', 'ss', pod, 'replace'));
    await active(pod, false);
  }
  const isActive = async (unit: string) => (await systemd.ended('systemctl', 'is-active', '--quiet', unit)).code === 0;
  const active = (unit: string, wanted: boolean) =>
    systemd.until(`${unit} is ${wanted ? '' : 'not '}active`, async () =>
      (await isActive(unit)) === wanted ? true : undefined,
    );
  async function processes(cgroup: string): Promise<string[]> {
    const files = `/sys/fs/cgroup${cgroup}`;
    const { stdout } = await systemd.ended('find', files, '-name', 'cgroup.procs', '-exec', 'cat', '{}', '+');
    return stdout.split('\n').filter((each) => each !== '');
  }
  const anchor = (...args: string[]) => systemd.run(process.execPath, main, 'anchor', ...args);
  const show = async (unit: string, property: string) =>
    (await systemd.run('systemctl', 'show', '--value', `--property=${property}`, unit)).trim();
  const listed = async (): Promise<Record<string, unknown>[]> => JSON.parse(await anchor('list', '-o', 'json')).anchors;

  test('a pod: held while its slice is there, through reloads and updates, and gone with it', async () => {
    await kubeletMakes('kubepods.slice', burstable, pod);
    assert.match(await anchor('--pod', uid), /^Held: kubepods-burstable-pod11111111/);
    assert.equal(await show(podScope, 'Delegate'), 'yes');
    assert.equal(await show(podScope, 'ControlGroup'), `${podCgroup}/${podScope}`);
    assert.match(await show(podScope, 'DelegateControllers'), /\bcpuset\b/);
    assert.match(await show(podScope, 'Requires'), new RegExp(pod.replaceAll('.', '\\.')));
    // The program that made it is gone; its process is not.
    const [pid, ...more] = await processes(podCgroup);
    assert.deepEqual(more, []);
    assert.match(await systemd.run('cat', `/proc/${pid}/comm`), /^sleep$/m);
    assert.match(await anchor('--pod', uid), /^Held before:/);
    await systemd.run('systemctl', 'daemon-reload');
    await systemd.run('systemctl', 'set-property', '--runtime', burstable, 'CPUWeight=2');
    await systemd.run('systemctl', 'daemon-reexec');
    assert.deepEqual(await processes(podCgroup), [pid]);
    const [only] = await listed();
    assert.deepEqual([only?.name, only?.kind, only?.lasts, only?.delegated], [podScope, 'pod', 'slice', true]);
    await kubeletEndsThePod();
    await active(podScope, false);
    assert.equal((await systemd.ended('test', '-d', `/sys/fs/cgroup${podCgroup}`)).code, 1);
  });

  test('a slice that is stopped takes its anchor along, where nobody killed its process before', async () => {
    await kubeletMakes(pod);
    await anchor('--slice', pod);
    const [pid] = await processes(podCgroup);
    await systemd.run('systemctl', 'stop', pod);
    await active(podScope, false);
    assert.equal((await systemd.ended('test', '-d', `/proc/${pid}`)).code, 1);
    const { code, stderr } = await systemd.ended(process.execPath, main, 'anchor', '--slice', pod);
    assert.equal(code, 30);
    assert.match(stderr, /there is no slice/);
    assert.equal(await isActive(pod), false);
  });

  test('released by its name', async () => {
    await kubeletMakes(pod);
    await anchor('--slice', pod);
    assert.equal(await anchor('release', uid), `Released: ${podScope}.\n`);
    assert.equal(await isActive(podScope), false);
    assert.deepEqual(await processes(podCgroup), []);
    assert.equal(await isActive(pod), true);
    await kubeletEndsThePod();
  });

  test('a node: made anew with each slice, its process started again, and nothing left when released', async () => {
    await kubeletMakes(slices.besteffort);
    await systemd.run('systemctl', 'stop', slices.besteffort);
    const said = await anchor('--node');
    assert.match(said, /^Held: kubepods\.slice;/m);
    assert.match(said, /^Waits: kubepods-besteffort\.slice;/m);
    await kubeletMakes(slices.besteffort);
    for (const each of classes) await active(`sandwarden-anchor-${each}.service`, true);
    assert.deepEqual(
      (await listed()).map(({ holds, lasts, state }) => [holds, lasts, state]),
      [
        ['besteffort', 'always', 'active'],
        ['burstable', 'always', 'active'],
        ['guaranteed', 'always', 'active'],
      ],
    );
    // A slice that kubelet makes anew, as after a reboot.
    await systemd.run('systemctl', 'stop', 'kubepods.slice');
    for (const each of classes) await active(`sandwarden-anchor-${each}.service`, false);
    await kubeletMakes('kubepods.slice', burstable, slices.besteffort);
    for (const each of classes) {
      const unit = `sandwarden-anchor-${each}.service`;
      await active(unit, true);
      assert.equal(await show(unit, 'Delegate'), 'yes');
      assert.equal(await show(unit, 'Slice'), slices[each]);
      assert.match(await show(unit, 'ControlGroup'), new RegExp(`/${slices[each]}/${unit}$`));
    }
    const unit = 'sandwarden-anchor-burstable.service';
    const pid = await show(unit, 'MainPID');
    await systemd.run('kill', '-9', pid);
    await systemd.until('its process is started again', async () => {
      const now = await show(unit, 'MainPID');
      return now !== pid && now !== '0' ? true : undefined;
    });
    assert.match(await anchor('--node'), /^Held before: kubepods\.slice;/m);
    await anchor('release', '--all');
    for (const each of classes) assert.equal(await isActive(`sandwarden-anchor-${each}.service`), false);
    assert.equal(await systemd.run('find', '/etc/systemd/system', '-mindepth', '1'), '');
    assert.equal(await isActive(burstable), true);
    assert.deepEqual(await listed(), []);
  });

  test('until the next boot: in /run alone', async () => {
    await anchor('--node', '--until-reboot');
    assert.equal(await systemd.run('find', '/etc/systemd/system', '-mindepth', '1'), '');
    assert.deepEqual(
      (await listed()).map((each) => each.lasts),
      ['boot', 'boot', 'boot'],
    );
    await anchor('release', '--all');
    assert.equal(await systemd.run('find', '/run/systemd/system', '-mindepth', '1'), '');
  });

  test('what it says of units, and what it takes for properties', async () => {
    await kubeletMakes('kubepods.slice', burstable);
    const module = resolve(import.meta.dirname, '../../src/systemd/dbus-systemd.ts');
    const script = `import { systemdOverDBus } from ${JSON.stringify(module)};
      await using bus = await systemdOverDBus();
      const mask = { signature: 'ay', value: Uint8Array.of(1) };
      await bus.setProperties('${burstable}', [['AllowedCPUs', mask]], false);
      await bus.reload();
      const failure = await bus.startUnit('nowhere.service').catch((error) => error.code);
      await bus.stopUnit('nowhere.service');
      const said = [bus.release, await bus.unit('${burstable}'), await bus.unit('nowhere.service'), failure];
      console.log(JSON.stringify(said, (_, each) => (typeof each === 'bigint' ? Number(each) : each)));`;
    const said = await systemd.run(process.execPath, '--input-type=module', '--eval', script);
    const [release, slice, nowhere, failure] = JSON.parse(said);
    assert.ok(release >= 244, String(release));
    const { activeState, allowedCpus, controlGroup, transient, activeSinceUs } = slice;
    assert.deepEqual(
      { activeState, allowedCpus, controlGroup, transient },
      { activeState: 'active', allowedCpus: [0], controlGroup: `/kubepods.slice/${burstable}`, transient: true },
    );
    assert.ok(activeSinceUs > 0);
    assert.deepEqual([nowhere, failure], [null, 'ERR_PRECONDITION']);
    await systemd.run('systemctl', 'set-property', '--runtime', burstable, 'AllowedCPUs=');
  });

  test("what --dry-run prints, and systemd's own program where there is no bus", async () => {
    await kubeletMakes(pod);
    const script = await anchor('--slice', pod, '--dry-run');
    await systemd.run('sh', '-c', script);
    await active(podScope, true);
    await anchor('release', '--all');
    // The last test: nothing brings the bus back.
    await systemd.run('systemctl', 'stop', 'dbus.socket', 'dbus.service');
    assert.match(await anchor('--slice', pod), /^Held:/);
    assert.equal(await show(podScope, 'Delegate'), 'yes');
    assert.equal(await show(podScope, 'ControlGroup'), `${podCgroup}/${podScope}`);
    assert.equal((await processes(podCgroup)).length, 1);
    assert.match(await anchor('release', '--all'), /^Released/);
    assert.deepEqual(await processes(podCgroup), []);
  });
});
