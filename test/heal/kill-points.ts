import type { JournalFile } from '../../src/heal/journal.ts';

/** Points at which this process may be killed, counted from 0: it kills itself with SIGKILL at number `point`. */
export function killPoints(point: number) {
  let seen = 0;
  const killPoint = () => {
    if (seen++ === point) process.kill(process.pid, 'SIGKILL');
  };
  const killable = (file: JournalFile): JournalFile => ({
    append: async (bytes) => {
      killPoint();
      const half = Math.floor(bytes.length / 2);
      await file.append(bytes.subarray(0, half));
      killPoint();
      await file.append(bytes.subarray(half));
      killPoint();
    },
    sync: async () => {
      await file.sync();
      killPoint();
    },
    truncate: async (length) => {
      killPoint();
      await file.truncate(length);
      killPoint();
    },
    close: () => file.close(),
  });
  return { killPoint, killable, seen: () => seen };
}
