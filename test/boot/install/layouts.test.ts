// Goal: the layout is what the distribution's own files say, wherever they moved things; what is not served is told
// with what to do instead. Method: roots as the distributions write them.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { findLayout, type Layout } from '../../../src/boot/install/layouts.ts';
import { isSandwardenError } from '../../../src/model/errors.ts';
import { Rooted } from '../../../src/observe/installed/rooted.ts';
import { flagIn, splitWords } from '../../../src/observe/installed/unit-files.ts';
import { tempDir } from '../../helpers/temp.ts';
import * as roots from './roots.ts';

async function layoutOf(...trees: roots.Tree[]): Promise<Layout> {
  await using dir = await tempDir();
  roots.plant(dir.path, Object.assign({}, ...trees));
  return await findLayout(new Rooted(dir.path));
}

describe('a layout that is served', () => {
  const cases: [string, roots.Tree, Partial<Layout>][] = [
    [
      'kubeadm',
      roots.kubeadm,
      { boot: 'containerd', title: 'kubeadm with containerd', kubeletUnits: ['kubelet.service'] },
    ],
    ['EKS', roots.eks, { boot: 'containerd', title: 'EKS with containerd', runtimeUnit: 'containerd.service' }],
    ['k3s', roots.k3s, { boot: 'k3s', title: 'k3s server', dataDir: '/var/lib/rancher/k3s' }],
    ['k3s agent', roots.k3sAgent, { title: 'k3s agent', kubeletUnits: ['k3s-agent.service'] }],
    ['RKE2 agent', roots.rke2, { title: 'RKE2 agent', kubeletUnits: ['rke2-agent.service'] }],
    [
      'RKE2 server',
      roots.rke2Server,
      { title: 'RKE2 server', containerdRoot: '/var/lib/rancher/rke2/agent/containerd' },
    ],
  ];
  for (const [name, tree, expected] of cases) {
    test(name, async () => {
      const layout = await layoutOf(tree);
      assert.deepEqual({ ...layout, ...expected }, layout);
    });
  }
  test('RKE2 of which neither role is enabled yet serves both', async () => {
    const tree = Object.fromEntries(Object.entries(roots.rke2).filter(([path]) => !path.includes('.wants/')));
    assert.deepEqual((await layoutOf(tree)).kubeletUnits, ['rke2-agent.service', 'rke2-server.service']);
  });
  test('docker beside k3s does not confuse it', async () => {
    const docker = { '/usr/lib/systemd/system/containerd.service': '[Service]\nExecStart=/usr/bin/containerd\n' };
    assert.equal((await layoutOf(roots.k3s, docker)).title, 'k3s server');
  });
});

describe("containerd's root", () => {
  const root = async (...trees: roots.Tree[]) => (await layoutOf(roots.kubeadm, ...trees)).containerdRoot;
  test('is its own default', async () => assert.equal(await root(), '/var/lib/containerd'));
  test('moved in its configuration', async () => {
    assert.equal(
      await root({ '/etc/containerd/config.toml': "version = 2\nroot = '/data/ctd' # moved\n" }),
      '/data/ctd',
    );
  });
  test('a root in another table is none', async () => {
    assert.equal(await root({ '/etc/containerd/config.toml': '[x]\nroot = "/no"\n' }), '/var/lib/containerd');
  });
  test('moved in a file that is imported', async () => {
    const moved = {
      '/etc/containerd/config.toml': 'version = 3\nroot = "/one"\nimports = ["conf.d/*.toml", "/none/*"]\n',
      '/etc/containerd/conf.d/10-a.toml': 'root = "/two"\n',
      '/etc/containerd/conf.d/README': 'root = "/three"\n',
    };
    assert.equal(await root(moved), '/two');
  });
  test('a file that imports itself ends', async () => {
    assert.equal(await root({ '/etc/containerd/config.toml': 'imports = ["*.toml"]\nroot = "/one"\n' }), '/one');
  });
  test('another configuration in a drop-in, and its flag wins', async () => {
    const service = (flags: string) => `[Service]\nExecStart=\nExecStart=/usr/bin/containerd ${flags}\n`;
    const dropIn = (flags: string) => ({
      '/etc/systemd/system/containerd.service.d/a.conf': service(flags),
      '/srv/c.toml': 'root = "/srv/root"\n[grpc]\naddress = "/srv/c.sock"\n',
    });
    assert.equal(await root(dropIn('-c /srv/c.toml')), '/srv/root');
    assert.equal(await root(dropIn('--config=/srv/c.toml --root "/srv/with blank"')), '/srv/with blank');
    assert.equal((await layoutOf(roots.kubeadm, dropIn('-c /srv/c.toml'))).endpoint, '/srv/c.sock');
  });
  test('a configuration that is no TOML is told with its line', async () => {
    await assert.rejects(root({ '/etc/containerd/config.toml': 'a = 1\nroot = \n' }), (error) => {
      assert.ok(isSandwardenError(error, 'ERR_CONFIG'));
      assert.match(error.message, /config\.toml, line 2/);
      return true;
    });
  });
});

describe("k3s' data-dir", () => {
  const dataDir = async (...trees: roots.Tree[]) => (await layoutOf(roots.k3s, ...trees)).dataDir;
  const unit = (command: string) => ({ '/etc/systemd/system/k3s.service': roots.k3sUnit(command) });
  const config = (text: string) => ({ '/etc/rancher/k3s/config.yaml': text });
  test('by its flag, as install.sh writes it', async () => {
    assert.equal(await dataDir(unit("server '--data-dir' '/mnt/ssd/k3s'")), '/mnt/ssd/k3s');
    assert.equal(await dataDir(unit('server \\\n\t-d=/mnt/a')), '/mnt/a');
    assert.equal(await dataDir(unit('server -d /mnt/a'), config('data-dir: /mnt/b\n')), '/mnt/a');
  });
  test('by its configuration, the last drop-in winning', async () => {
    assert.equal(await dataDir(config('# moved\ndata-dir: "/mnt/b"\nwrite-kubeconfig-mode: "0644"\n')), '/mnt/b');
    const two = {
      '/etc/rancher/k3s/config.yaml.d/1.yaml': 'data-dir: /c',
      '/etc/rancher/k3s/config.yaml.d/2.yml': '#',
    };
    assert.equal(await dataDir(config('data-dir: /b'), two), '/c');
  });
  test('by its environment', async () => {
    assert.equal(await dataDir({ '/etc/systemd/system/k3s.service.env': 'K3S_DATA_DIR="/mnt/e"\n' }), '/mnt/e');
  });
  test('of another configuration file', async () => {
    assert.equal(await dataDir(unit('server --config /srv/k.yaml'), { '/srv/k.yaml': 'data-dir: /f' }), '/f');
  });
  test('a drop-in that starts it otherwise', async () => {
    const path = '/etc/systemd/system/k3s.service.d/10-x.conf';
    assert.equal(await dataDir({ [path]: '[Service]\nExecStart=\nExecStart=/usr/bin/k3s server -d /g\n' }), '/g');
  });
  test('a runtime of its own unit', async () => {
    const layout = await layoutOf(
      roots.k3s,
      config('container-runtime-endpoint: unix:///run/containerd/containerd.sock\n'),
      { '/usr/lib/systemd/system/containerd.service': '[Service]\nExecStart=/usr/bin/containerd\n' },
    );
    assert.equal(layout.boot, 'containerd');
    assert.deepEqual(layout.kubeletUnits, ['k3s.service']);
  });
  test('a configuration that is no YAML', async () => {
    await assert.rejects(dataDir(config('a: [\n')), (error) => isSandwardenError(error, 'ERR_CONFIG'));
  });
});

describe('what is not served', () => {
  const cases: [string, roots.Tree, RegExp, RegExp][] = [
    ['k0s', roots.k0s, /k0sworker\.service/, /fake-hwclock/],
    ['MicroK8s', roots.microk8s, /snapd/, /sandwarden heal/],
    ['CRI-O', roots.crio, /CRI-O/, /crio-wipe/],
    ['Talos', roots.talos, /Talos/, /machine\.time/],
    ['k3s under OpenRC', roots.openrc, /OpenRC, \/etc\/init\.d\/k3s/, /swclock/],
    ['a machine without Kubernetes', roots.base, /no layout/, /kubelet\.service, k3s\.service/],
    ['nothing at all', { '/etc/hostname': 'x' }, /not run by systemd/, /systemd units/],
    [
      'kubeadm on CRI-O beside containerd',
      {
        ...roots.kubeadm,
        ...roots.crio,
        '/var/lib/kubelet/kubeadm-flags.env':
          'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///var/run/crio/crio.sock"\n',
      },
      /CRI-O/,
      /internal_wipe/,
    ],
    [
      'Docker',
      {
        ...roots.kubeadm,
        '/var/lib/kubelet/kubeadm-flags.env':
          'KUBELET_KUBEADM_ARGS=--container-runtime-endpoint=unix:///run/cri-dockerd.sock\n',
      },
      /Docker/,
      /containerd/,
    ],
    ['two at once', { ...roots.kubeadm, ...roots.k3s }, /k3s\.service and kubelet\.service/, /disable/],
    [
      'kubelet without containerd.service',
      { ...roots.base, '/usr/lib/systemd/system/kubelet.service': '[Service]\nExecStart=/k\n' },
      /no containerd\.service/,
      /unit/,
    ],
  ];
  for (const [name, tree, message, hint] of cases) {
    test(name, async () => {
      await assert.rejects(layoutOf(tree), (error) => {
        assert.ok(isSandwardenError(error, 'ERR_NOT_SUPPORTED'), String(error));
        assert.match(error.message, message);
        assert.match(error.hint, hint);
        return true;
      });
    });
  }
  test('a masked unit does not count', async () => {
    await using dir = await tempDir();
    roots.plant(dir.path, roots.k3s);
    rmSync(dir.join('etc/systemd/system/k3s.service'));
    roots.plant(dir.path, { '/etc/systemd/system/k3s.service': '-> /dev/null' });
    await assert.rejects(findLayout(new Rooted(dir.path)), /no layout/);
  });
});

test('words of a command line', () => {
  assert.deepEqual(splitWords(`/bin/a  'b c' "d \\"e" f\\ g --h='i j'`), ['/bin/a', 'b c', 'd "e', 'f g', '--h=i j']);
  assert.equal(flagIn(['k3s', '-d', '/a', '--data-dir=/b'], '--data-dir', '-d'), '/b');
});

test('links of an image stay inside it', async () => {
  await using dir = await tempDir();
  roots.plant(dir.path, {
    '/real/f': 'inside',
    '/etc/abs': '-> /real',
    '/etc/up': '-> ../../../../real',
    '/a': '-> /b',
    '/b': '-> /a',
  });
  const files = new Rooted(dir.path);
  assert.equal(await files.read('/etc/abs/f'), 'inside');
  assert.equal(await files.read('/etc/up/f'), 'inside');
  await assert.rejects(files.read('/a'), /too many links/);
});
