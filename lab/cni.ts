import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CniCall, CniMode } from '../src/embedded/rig.ts';
import { hasCode } from './run.ts';

/**
 * The scripted CNI plugin of one rig: a shell script that records each call and obeys a mode file, and `loopback`,
 * which containerd 1.6 calls for every sandbox. `home` outlives power cuts.
 * Source of the protocol: containernetworking/cni, SPEC.md 1.0.0.
 */
export interface Cni {
  readonly bin: string;
  readonly conf: string;
  setMode(mode: { add?: CniMode; del?: CniMode }): Promise<void>;
  setConfigured(present: boolean): Promise<void>;
  release(): Promise<void>;
  calls(): Promise<CniCall[]>;
}

/** Writes the plugin below `home` and gives the way to steer it. Both modes begin as `ok`. */
export async function makeCni(home: string): Promise<Cni> {
  const [bin, conf, control] = [join(home, 'bin'), join(home, 'conf'), join(home, 'control')];
  for (const folder of [bin, conf, control]) await mkdir(folder, { recursive: true });
  await writeFile(join(bin, 'scripted'), pluginScript(control), { mode: 0o755 });
  await writeFile(join(bin, 'loopback'), loopbackScript, { mode: 0o755 });
  const conflist = join(conf, '10-scripted.conflist');
  let holds = 0;

  const cni: Cni = {
    bin,
    conf,
    async setMode({ add, del }) {
      // A hold waits for its own number: a release of an earlier one does not open it.
      if (add === 'hold' || del === 'hold') holds += 1;
      const word = (mode: CniMode) => (mode === 'hold' ? `hold ${holds}\n` : `${mode} 0\n`);
      if (add) await writeFile(join(control, 'ADD'), word(add));
      if (del) await writeFile(join(control, 'DEL'), word(del));
    },
    async setConfigured(present) {
      // In place: containerd's watcher ignores a file that is moved in (cni_conf_syncer.go).
      if (present) await writeFile(conflist, conflistText);
      else await rm(conflist, { force: true });
    },
    async release() {
      await writeFile(join(control, `release-${holds}`), '');
    },
    async calls() {
      const text = await readFile(join(control, 'calls'), 'utf8').catch((error: unknown) => {
        if (hasCode(error, 'ENOENT')) return '';
        throw error;
      });
      return text.split('\n').filter(Boolean).map(parseCall);
    },
  };
  await cni.setMode({ add: 'ok', del: 'ok' });
  await cni.setConfigured(true);
  return cni;
}

function parseCall(line: string): CniCall {
  const [command = '', sandboxId = '', netns = ''] = line.split(' ');
  if (command !== 'ADD' && command !== 'DEL' && command !== 'CHECK') throw new Error(`no CNI command: ${line}`);
  return { command, sandboxId, netns };
}

const conflistText = JSON.stringify({
  cniVersion: '0.4.0',
  name: 'sandwarden',
  plugins: [{ type: 'scripted' }],
});

const resultText =
  '{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","sandbox":"\'"$CNI_NETNS"\'"}],' +
  '"ips":[{"version":"4","interface":0,"address":"10.88.0.2/16"}],"dns":{}}';

/**
 * One `write` of less than a page with O_APPEND keeps the lines of parallel calls apart.
 * `exec` makes `hang` one process.
 */
function pluginScript(control: string): string {
  return `#!/bin/sh
if [ "$CNI_COMMAND" = VERSION ]; then
  echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}'
  exit 0
fi
cat >/dev/null
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS" >>${control}/calls
read -r mode number <${control}/$CNI_COMMAND
case "$mode" in
fail)
  echo '{"cniVersion":"0.4.0","code":999,"msg":"scripted failure"}'
  exit 1 ;;
hang)
  exec sleep 100000 ;;
hold)
  (while [ ! -e ${control}/release-$number ]; do sleep 0.05; done) &
  exec sleep 100000 >/dev/null ;;
esac
if [ "$CNI_COMMAND" = ADD ]; then
  echo '${resultText}'
fi
`;
}

const loopbackScript = `#!/bin/sh
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}' ;;
ADD) echo '{"cniVersion":"0.3.1","interfaces":[{"name":"lo","sandbox":"'"$CNI_NETNS"'"}],"ips":[],"dns":{}}' ;;
esac
cat >/dev/null
`;
