import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectCri } from '../../src/cri/connect.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { run, until } from '../run.ts';
import { containerdConfig, guestPaths } from './guest.ts';
import { runKubelet } from './standin-kubelet.ts';

const containerdTimeoutMs = 240_000;

/**
 * k3s as far as sandboxes are concerned: writes containerd's configuration anew, starts containerd as its child (which
 * dies with it: PR_SET_PDEATHSIG), waits for CRI, imports the images that lie ready, says READY and becomes kubelet.
 * Source: k3s pkg/agent/containerd/containerd.go (Run), pkg/agent/config/config_linux.go.
 */
export async function k3s(): Promise<void> {
  const data = guestPaths.k3sData;
  const [agent, bin] = [join(data, 'agent'), join(data, 'data/current/bin')];
  const [root, state] = [join(agent, 'containerd'), '/run/k3s/containerd'];
  const config = join(agent, 'etc/containerd/config.toml');
  for (const folder of [root, state, join(agent, 'etc/containerd'), join(agent, 'images')]) {
    mkdirSync(folder, { recursive: true });
  }
  const { stdout: version } = await run(join(bin, 'containerd'), ['--version']);
  const dialect = / v?1\./.test(version) ? 2 : 3;
  writeFileSync(config, containerdConfig(dialect, join(agent, 'etc/cni/net.d')));
  writeFileSync(join(agent, 'etc/crictl.yaml'), `runtime-endpoint: unix://${guestPaths.k3sSocket}\n`);

  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const log = openSync(join(root, 'containerd.log'), 'a');
  const args = ['-c', config, '-a', guestPaths.k3sSocket, '--state', state, '--root', root];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', join(bin, 'containerd'), ...args], {
    stdio: ['ignore', log, log],
    env,
  });
  child.once('exit', (code, signal) => {
    process.stdout.write(`time="${new Date().toISOString()}" level=error msg="containerd exited: ${code ?? signal}"\n`);
    process.exit(1);
  });
  await once(child, 'spawn');
  await untilCriServes();
  for (const archive of readdirSync(join(agent, 'images'))) {
    const path = join(agent, 'images', archive);
    await run(join(bin, 'ctr'), ['-a', guestPaths.k3sSocket, '-n', 'k8s.io', 'images', 'import', path]);
  }
  // The message must come from this unit's cgroup: NotifyAccess=all.
  await run('systemd-notify', ['--ready', '--status=k3s is up']);
  await runKubelet(`unix://${guestPaths.k3sSocket}`);
}

async function untilCriServes(): Promise<void> {
  const cri = connectCri(`unix://${guestPaths.k3sSocket}`);
  await until('CRI of containerd', containerdTimeoutMs, async () => {
    try {
      return await cri.version();
    } catch (error) {
      if (!isSandwardenError(error)) throw error;
      return undefined;
    }
  });
  cri.close();
}
