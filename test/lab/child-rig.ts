/** A process that runs a rig with a sandbox in it until it is killed: the tests of what is left behind start it. */
import { realRig } from '../../lab/rig.ts';

const rig = await realRig('1.6');
const started = await rig.start();
if (!started.ok) throw new Error(started.fatal);
await rig.cri.runSandbox({ name: 'web', namespace: 'default', uid: 'u1', attempt: 0 });
process.stdout.write(`${rig.home}\n`);
// Only a signal ends it.
setInterval(() => {}, 60_000);
