/** `node lab/sweep.ts`: removes what dead rigs left behind (after a SIGKILL of a test run) and names it. */
import { sweep } from './leftovers.ts';

const swept = await sweep();
for (const folder of swept) process.stdout.write(`swept ${folder}\n`);
if (swept.length === 0) process.stdout.write('nothing was left behind\n');
