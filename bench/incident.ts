/** `incident` over a million lines of a journal against `journalctl -o json | wc -l` of the same file. */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cannotMakeJournals, type JournalEntry, writeJournal } from '../test/helpers/journal-file.ts';
import { november, novemberEntries } from '../test/helpers/november.ts';
import { type Case, measure, peakMemory } from './measure.ts';
import { type Figure, show } from './report.ts';

const root = join(import.meta.dirname, '..');
const LINES = 1_000_000;

/** Each case is run at most three times: one takes half a minute. Nothing where no journal can be made. */
export async function benchIncident(repetitions: number): Promise<Figure[]> {
  if (cannotMakeJournals !== undefined) {
    process.stdout.write(`incident: ${cannotMakeJournals}\n`);
    return [];
  }
  const path = await millionLines();
  const args = [join(root, 'dist/sandwarden.js'), 'incident', '--journal', path, '--since', '2w', '-o', 'json'];
  const incident: Case = { name: 'incident', args };
  const reference: Case = { name: 'journalctl | wc', args: ['-e', pipeline, path] };
  const [mine, bare] = await measure([incident, reference], Math.min(repetitions, 3));
  if (!mine || !bare) throw new Error('a case was lost');
  const from = `${show(mine.wallMs)} ms against ${show(bare.wallMs)} ms of journalctl -o json | wc -l`;
  const cpu = `${show(mine.cpuMs)} ms against ${show(bare.cpuMs)} ms`;
  const peak = (await peakMemory(incident)) / 1e6;
  return [
    { name: 'incident, 1,000,000 lines: wall', value: mine.wallMs / bare.wallMs, unit: '×', limit: 1.5, from },
    { name: 'incident, 1,000,000 lines: CPU', value: mine.cpuMs / bare.cpuMs, unit: '×', limit: 1.5, from: cpu },
    { name: 'incident, 1,000,000 lines: memory', value: peak, unit: 'MB', limit: 200, from: 'peak resident' },
  ];
}

const pipeline = `
  const { spawn } = require('node:child_process');
  const args = ['--directory', process.argv[1], '-o', 'json'];
  const journalctl = spawn('journalctl', args, { stdio: ['ignore', 'pipe', 2] });
  spawn('wc', ['-l'], { stdio: [journalctl.stdout, 'ignore', 2] }).on('exit', (code) => process.exit(code));
`;

/** A directory of journal files, made once and kept: it takes two minutes and 700 MB. */
async function millionLines(): Promise<string> {
  const folder = join(root, '.cache/bench/million-1');
  if (existsSync(folder)) return folder;
  const draft = `${folder}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  // The program begins a new file each 64 MB, beside the first one.
  await writeJournal(join(draft, 'million.journal'), padded(novemberEntries()));
  renameSync(draft, folder);
  return folder;
}

/** The story of November among what else a node says, with the fields that journald gives each line. */
function* padded(story: Iterable<JournalEntry>): Generator<JournalEntry> {
  const between = (november.endUs - november.firstBootUs) / LINES;
  let [count, last] = [0, november.firstBootUs];
  for (const entry of story) {
    for (; entry.wallUs - last > between && count < LINES; last += between, count++) {
      const monotonicUs = Math.max(Math.round(entry.monotonicUs - (entry.wallUs - last)), 1);
      yield { ...entry, wallUs: Math.round(last), monotonicUs, fields: noise(count) };
    }
    last = Math.max(last, entry.wallUs);
    yield { ...entry, fields: { ...common(count), ...entry.fields } };
  }
}

const others = ['cilium', 'coredns', 'node-exporter', 'sshd', 'dhcpcd'] as const;

function noise(n: number): Record<string, string> {
  const kind = n % 10;
  const who =
    kind < 5
      ? {
          _SYSTEMD_UNIT: 'k3s.service',
          SYSLOG_IDENTIFIER: 'k3s',
          _PID: '812',
          _COMM: 'k3s-server',
          MESSAGE: kubelet(n),
        }
      : kind < 7
        ? { _SYSTEMD_UNIT: 'containerd.service', SYSLOG_IDENTIFIER: 'containerd', _PID: '640', MESSAGE: containerd(n) }
        : kind === 7
          ? { _TRANSPORT: 'kernel', MESSAGE: `cni0: port ${n % 40}(veth${n.toString(16)}) entered forwarding state` }
          : { _SYSTEMD_UNIT: `${others[n % 5]}.service`, _PID: '990', MESSAGE: `request ${n} took ${n % 90} ms` };
  return { ...common(n), ...who };
}

function kubelet(n: number): string {
  return (
    `I1113 13:03:10.100000     812 kubelet.go:2489] "SyncLoop (probe)" probe="readiness" status="ready" ` +
    `pod="default/app-${n % 60}-0" containerID="containerd://${n.toString(16).padEnd(64, '0')}"`
  );
}

function containerd(n: number): string {
  const id = n.toString(16).padEnd(64, 'c');
  return `time="2025-11-13T13:03:10.100000000Z" level=info msg="ImageUpdate event name:\\"sha256:${id}\\" labels:{}"`;
}

function common(n: number): Record<string, string> {
  return {
    ...{
      PRIORITY: '6',
      SYSLOG_FACILITY: '3',
      _UID: '0',
      _GID: '0',
      _CAP_EFFECTIVE: '1ffffffffff',
      _HOSTNAME: 'jarvis',
    },
    ...{
      _MACHINE_ID: 'd'.repeat(32),
      _SYSTEMD_SLICE: 'system.slice',
      _RUNTIME_SCOPE: 'system',
      _STREAM_ID: 'e'.repeat(32),
    },
    ...{
      _SYSTEMD_CGROUP: '/system.slice/k3s.service',
      _SYSTEMD_INVOCATION_ID: 'f'.repeat(32),
      _SELINUX_CONTEXT: 'unconfined',
    },
    ...{
      _EXE: '/usr/local/bin/k3s',
      _CMDLINE: '/usr/local/bin/k3s server',
      _SOURCE_REALTIME_TIMESTAMP: `${1.7e15 + n}`,
    },
  };
}
