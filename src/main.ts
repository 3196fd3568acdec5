import { onBrokenOutput } from './cli/frame/broken-output.ts';
import { topHelp } from './cli/frame/top-help.ts';
import { version } from './model/version.ts';

const [first, ...rest] = process.argv.slice(2);

// These two load nothing else: people and scripts ask for them often.
if (rest.length === 0 && first === '--version') {
  onBrokenOutput(process.stdout);
  process.stdout.write(`sandwarden ${version}\n`);
} else if (rest.length === 0 && (first === '--help' || first === '-h')) {
  onBrokenOutput(process.stdout);
  process.stdout.write(topHelp);
} else {
  const [{ run }, { processIo }] = await Promise.all([import('./cli/run.ts'), import('./cli/frame/process-io.ts')]);
  const exitCode = await run(process.argv.slice(2), processIo());
  // Output that was lost on the way is not made good by how the command ended.
  process.exitCode ??= exitCode;
}
