import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tempDir } from './temp.ts';

/** Why there is none here; false where it can be started. busctl, the judge of what goes over it, is systemd's. */
export const withoutBus: string | false =
  ['dbus-daemon', 'busctl'].find((each) => spawnSync(each, ['--version']).error !== undefined)?.concat(' is missing') ??
  false;

/** A bus of the test's own, with `policy` in its configuration; ended at the end of the scope. */
export async function dbusDaemon(policy = ''): Promise<AsyncDisposable & { readonly socket: string; kill(): void }> {
  const folder = await tempDir();
  const socket = folder.join('bus');
  await writeFile(
    folder.join('bus.conf'),
    `<busconfig>
       <type>system</type><listen>unix:path=${socket}</listen><auth>EXTERNAL</auth>
       <policy context="default">
         <allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
         <allow send_type="method_return"/><allow send_type="error"/><allow receive_type="method_call"/>
         <allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
         ${policy}
       </policy>
     </busconfig>`,
  );
  const daemon = spawn('dbus-daemon', [`--config-file=${folder.join('bus.conf')}`, '--nofork', '--print-address=1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(daemon, 'exit');
  const lines = createInterface({ input: daemon.stdout });
  await Promise.race([
    once(lines, 'line'),
    ended.then(() => {
      throw new Error('dbus-daemon ended at once');
    }),
  ]);
  return {
    socket,
    kill: () => void daemon.kill('SIGKILL'),
    [Symbol.asyncDispose]: async () => {
      daemon.kill('SIGKILL');
      await ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}
