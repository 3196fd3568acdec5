/**
 * The laboratory by hand (root):
 *
 *     node lab/vm/run.ts images [NAME…]              make what is missing
 *     node lab/vm/run.ts console [IMAGE]             boot a copy and log in on its serial console (Ctrl-A X ends it)
 *     node lab/vm/run.ts exec [IMAGE] -- COMMAND…    boot a copy, run a command, print what it gave
 *     node lab/vm/run.ts sweep                       remove what dead runs left
 */
import { join } from 'node:path';
import { Agent } from './agent.ts';
import { type ImageName, imageNames } from './image.ts';
import { agentSocket, overlay, powerOn } from './machine.ts';
import { platform } from './platform.ts';
import { whyNoLaboratory } from './toolbox.ts';
import { withVm } from './vm.ts';
import { makeWorkdir, removeWorkdir, sweepWorkdirs } from './workdir.ts';

const say = (line: string) => void process.stderr.write(`vm: ${line}\n`);

const [what = 'help', ...rest] = process.argv.slice(2);
const why = await whyNoLaboratory();
if (what === 'sweep') {
  for (const folder of await sweepWorkdirs()) say(`swept ${folder}`);
} else if (why !== undefined && what !== 'help') {
  say(why);
  process.exitCode = 77;
} else if (what === 'images') {
  for (const name of rest.length > 0 ? rest.map(imageName) : imageNames) await images(name);
} else if (what === 'console') {
  await console(imageName(rest[0] ?? 'containerd-1.7'));
} else if (what === 'exec') {
  const split = rest.indexOf('--');
  await exec(imageName(split === 1 ? rest[0] : 'containerd-1.7'), rest.slice(split + 1));
} else {
  say(`images [NAME…] | console [IMAGE] | exec [IMAGE] -- COMMAND… | sweep; images: ${imageNames.join(', ')}`);
  process.exitCode = what === 'help' ? 0 : 64;
}

async function images(name: ImageName): Promise<void> {
  const started = performance.now();
  const { image, accelerator, emulator } = await platform(name, say);
  const took = ((performance.now() - started) / 1_000).toFixed(1);
  process.stdout.write(`${name}: ${image.disk.path} (QEMU ${emulator.version}, ${accelerator}, ${took} s)\n`);
}

async function console(name: ImageName): Promise<void> {
  const { image, accelerator, emulator } = await platform(name, say);
  const dir = await makeWorkdir();
  const disk = join(dir, 'disk.qcow2');
  await overlay(emulator, image.disk, disk);
  const agent = await Agent.listen(agentSocket(dir));
  const { kernel, initrd } = image;
  const machine = await powerOn({
    ...{ emulator, accelerator, kernel, initrd, dir, memoryMb: 1024, clock: new Date() },
    disk: { path: disk, format: 'qcow2' },
    console: 'stdio',
    kernelArgs: ['systemd.show_status=yes'],
  });
  await machine.gone;
  await agent.close(new Error('the machine is off'));
  await removeWorkdir(dir);
}

async function exec(name: ImageName, command: readonly string[]): Promise<void> {
  await withVm({ image: name, say }, async (vm) => {
    const { shellMs, accelerator } = await vm.boot();
    say(`a shell after ${shellMs} ms (${accelerator})`);
    const { code, stdout, stderr } = await vm.run(command.length === 1 ? (command[0] ?? '') : command);
    process.stdout.write(stdout);
    process.stderr.write(stderr);
    process.exitCode = code;
  });
}

function imageName(text: string | undefined): ImageName {
  const name = imageNames.find((each) => each === text);
  if (name === undefined) throw new Error(`'${text}' is no image; there are ${imageNames.join(' and ')}`);
  return name;
}
