/**
 * How long it takes to make and to remove many ghosts on each real containerd.
 *
 *     node lab/measure-ghosts.ts [count] [flavour…]      (as root)
 */
import { allFlavours, type Flavour } from './flavours.ts';
import { manyGhosts } from './ghosts.ts';
import { realRig } from './rig.ts';

const count = Number(process.argv[2] ?? 300);
const named = process.argv.slice(3);
const wanted: readonly Flavour[] = named.length > 0 ? allFlavours.filter((each) => named.includes(each)) : allFlavours;

for (const flavour of wanted) {
  for (const podNetwork of [false, true]) {
    const rig = await realRig(flavour, { writeTimeoutMs: 60_000 });
    try {
      await rig.start();
      const begin = performance.now();
      const ids = await manyGhosts(rig, count, { podNetwork });
      const made = performance.now();
      const listed = await rig.cri.listSandboxes();
      const seen = performance.now();
      for (const id of ids) await rig.cri.removeSandbox(id);
      const removed = performance.now();
      const network = podNetwork ? 'pod network' : 'host network';
      const ms = (from: number, to: number) => `${Math.round(to - from)} ms`;
      process.stdout.write(
        `${rig.name}, ${network}: ${count} ghosts made in ${ms(begin, made)}, ${listed.length} listed in ` +
          `${ms(made, seen)}, removed one by one in ${ms(seen, removed)}\n`,
      );
    } finally {
      await rig.close();
    }
  }
}
