import { resolve } from 'node:path';
import { build } from 'esbuild';
import type { Vm } from '../../lab/vm/vm.ts';

/**
 * Copies a sandbox's record under another id, with kubelet and containerd stopped: the guest's containerd gives up at
 * its next start, because two records have one name. See lab/records.ts.
 */
export async function duplicateRecord(vm: Vm, id: string): Promise<void> {
  await vm.put('/root/duplicate.mjs', await bundled());
  const other = id.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
  // The CRI plugin of 1.7 and those of 2.x; a name that is not there is no error.
  const disabled =
    'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]';
  await vm.out(
    `systemctl stop kubelet containerd
{ head -n 1 /etc/containerd/config.toml; printf '%s\\n' '${disabled}'; } >/root/without-cri.toml
containerd -c /root/without-cri.toml >/root/without-cri.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 1; done
node /root/duplicate.mjs /run/containerd/containerd.sock ${id} ${other}
code=$?
kill $! && wait $!
exit $code`,
    { timeoutMs: 300_000 },
  );
}

async function bundled(): Promise<Uint8Array> {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { copyContainerRecord } from './lab/records.ts';
const [socket, id, other] = process.argv.slice(2);
await copyContainerRecord(socket, id, other);`,
      resolveDir: resolve(import.meta.dirname, '..', '..'),
      loader: 'ts',
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
    logLevel: 'silent',
  });
  const [file] = outputFiles;
  if (!file) throw new Error('esbuild gave no bundle');
  return file.contents;
}
