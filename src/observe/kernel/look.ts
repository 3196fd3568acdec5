import type { KernelLog } from '../../model/kernel.ts';
import { limits } from '../../model/limits.ts';
import type { NodeFacts } from '../../model/node.ts';
import { known, type Observed } from '../../model/observed.ts';
import { type Run, run } from '../child.ts';
import { parseJournalLine } from '../log-line.ts';
import { observed, unknownFrom } from '../unknown.ts';
import { KernelLogReader } from './kernel-log.ts';
import { type KmsgDevice, openKmsg, parseKmsg } from './kmsg.ts';

export interface KernelSource {
  readonly node: NodeFacts;
  readonly run?: Run;
  /** Opens the ring; tests hand in their own. */
  readonly open?: () => KmsgDevice;
}

/**
 * The kernel's log of this boot: from its ring, which costs no process, else from the journal. Where the ring has gone
 * round already its beginning is missing, and `since` says from when on it is known.
 */
export async function observeKernel(source: KernelSource): Promise<Observed<KernelLog>> {
  try {
    return known(readRing(source, (source.open ?? openKmsg)()));
  } catch (error) {
    const ring = unknownFrom(error);
    const journal = await observed(() => readJournal(source));
    return journal.known ? journal : ring;
  }
}

function readRing({ node }: KernelSource, device: KmsgDevice): KernelLog {
  const reader = new KernelLogReader();
  const bootedNs = node.wallNs - node.uptimeNs;
  let [lost, expected] = [0, -1];
  try {
    for (let count = 0; count < limits.kmsgRecords; count++) {
      const read = device.read();
      if (read === 'empty') break;
      const record = read === 'overwritten' ? undefined : parseKmsg(read.toString('utf8'));
      if (!record) continue;
      if (expected !== -1 && record.sequence > expected) lost += record.sequence - expected;
      expected = record.sequence + 1;
      reader.add({
        text: record.text,
        wallNs: bootedNs + BigInt(record.monotonicUs) * 1_000n,
        monotonicUs: record.monotonicUs,
        bootId: node.bootId,
      });
    }
  } finally {
    device.close();
  }
  return reader.result('kmsg', lost);
}

async function readJournal({ node, run: runner = run }: KernelSource): Promise<KernelLog> {
  const reader = new KernelLogReader();
  let lines = 0;
  const fields = '--output-fields=MESSAGE';
  const bounds = ['-n', String(limits.journalLines)];
  await runner(['journalctl', '--no-pager', '--all', '-o', 'json', fields, '-k', '-b', ...bounds], {
    onLine(json) {
      const line = parseJournalLine(json);
      if (!line?.at) return;
      lines++;
      const { wallNs, monotonicUs = 0n } = line.at;
      reader.add({ text: line.text, wallNs, monotonicUs: Number(monotonicUs), bootId: node.bootId });
    },
  });
  return reader.result('journal', lines >= limits.journalLines ? 1 : 0);
}
