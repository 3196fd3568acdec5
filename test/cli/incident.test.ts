// Goal: the incident as a person, a script and a browser meet it. Method: golden texts of a story, the page taken
// apart, the program spawned over real journal files.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { kubeServer } from '../../lab/kube-api/server.ts';
import { exitCodeOf, readSince } from '../../src/cli/incident.ts';
import { incidentHtml } from '../../src/cli/render/incident-html.ts';
import { incidentText } from '../../src/cli/render/incident-text.ts';
import { readIncident } from '../../src/diagnose/incident/incident.ts';
import type { Incident, Timeline } from '../../src/model/incident.ts';
import { isSafeText } from '../../src/model/safe-text.ts';
import { cannotMakeJournals, writeJournal } from '../helpers/journal-file.ts';
import { november, novemberEntries } from '../helpers/november.ts';
import { tempDir } from '../helpers/temp.ts';
import { bootOf, loopStory, moment, timelineOf } from '../helpers/timelines.ts';
import { assertGolden } from './golden.ts';
import { sandwarden } from './spawn.ts';

const nowNs = moment(2, 1).wallNs;
const evil = '\u001b[31m</title><script>alert(1)</script><img src=x onerror=alert(1)>"\' \u202egnp.exe';

function told(): Timeline {
  const boot = moment(2, 0.3);
  return {
    ...loopStory(),
    hostname: 'jarvis',
    crashes: [
      { file: '/sys/fs/pstore/dmesg-ramoops-0', wallNs: boot.wallNs, text: 'Kernel panic - not syncing: hung_task' },
    ],
    events: [
      { lastNs: boot.wallNs, count: 2, type: 'Warning', reason: 'Rebooted', message: 'Node jarvis has been rebooted' },
    ],
    healed: [{ wallNs: boot.wallNs, bootId: boot.bootId ?? '', text: 'removed 36 dead sandboxes; all recovered' }],
    gaps: [{ source: 'the journal', message: '7 lines are missing in between', hint: '`journalctl --verify`' }],
  };
}

/** The same, with every name and line of others trying to be more than text. */
function hostile(): Timeline {
  const story = told();
  const boots = story.boots.map((boot) => ({
    ...boot,
    ...(boot.ghosts ? { ghosts: { ...boot.ghosts, pods: [`ns/${evil}`, ...boot.ghosts.pods] } } : {}),
    drivers: boot.drivers.map((each) => ({ ...each, driver: `longhorn ${evil}`, text: evil })),
    kernel: {
      ...boot.kernel,
      tasks: [
        { task: 'runc', count: 2 },
        { task: evil, count: 1 },
      ],
    },
    freezes: boot.freezes.map((each) => ({ ...each, text: evil })),
  }));
  const crashes = [{ file: evil, wallNs: 0n, text: evil }];
  const events = [{ lastNs: 0n, count: 1, type: evil, reason: evil, message: evil }];
  return { ...story, events, hostname: evil, boots, crashes, gaps: [{ source: evil, message: evil, hint: evil }] };
}

describe('as text', () => {
  const styles = { '40': 40, '80': 80, '120': 120 };
  for (const [name, width] of Object.entries(styles)) {
    test(`${name} columns`, () => {
      const text = incidentText(readIncident(told()), told(), { colour: false, unicode: true, width });
      assertGolden(`incident.${name}.txt`, text);
      assert.deepEqual(
        text.split('\n').filter((line) => line.length > width),
        [],
      );
    });
  }
  test('in ASCII, in colours, quiet, and with nothing read', () => {
    assertGolden(
      'incident.ascii.txt',
      incidentText(readIncident(told()), told(), { colour: false, unicode: false, width: 80 }),
    );
    assertGolden(
      'incident.colour.txt',
      incidentText(readIncident(told()), told(), { colour: true, unicode: true, width: 80 }),
    );
    for (const boots of [[], [bootOf(0, { hours: 20, end: 'running' })]]) {
      const quiet = timelineOf(boots);
      const text = incidentText(readIncident(quiet), quiet, { colour: false, unicode: true, width: 80 });
      assertGolden(`incident-${boots.length === 0 ? 'nothing' : 'quiet'}.txt`, text);
    }
  });
  test('lines of others obey nobody', () => {
    const text = incidentText(readIncident(hostile()), hostile(), { colour: false, unicode: true, width: 80 });
    assert.ok(text.split('\n').every(isSafeText));
  });
});

describe('as a page', () => {
  test('nothing is loaded or run, and the policy would not let it', () => {
    const html = incidentHtml(readIncident(told()), told(), nowNs);
    const css = /<style>([\s\S]*?)<\/style>/.exec(html)?.[1] ?? '';
    const hash = createHash('sha256').update(css).digest('base64');
    assert.match(html, new RegExp(`content="default-src 'none'; style-src 'sha256-${hash.replace(/[+/]/g, '\\$&')}';`));
    assert.doesNotMatch(html, /<script|<link|<img|<iframe|<object|\son\w+=|\sstyle=|@import|url\(|https?:\/\//i);
    assert.match(html, /<h1 class="loop">A loop that feeds itself/);
    assert.match(html, /<svg class="ring"[^>]*role="img"/);
    assert.equal(html.match(/<svg class="rates"/g)?.length, 2);
    assertGolden('incident.html', html.replace(/Read by Sandwarden \S+/, 'Read by Sandwarden X'));
  });
  test('what others wrote is text: in elements, in attributes, in the picture', () => {
    const html = incidentHtml(readIncident(hostile()), hostile(), nowNs);
    assert.doesNotMatch(html, /<script|<img|onerror=alert\(1\)>/);
    assert.ok(html.split('\n').every(isSafeText));
    assert.match(html, /&#60;script&#62;alert\(1\)/);
    const tags = new Set([...html.matchAll(/<([a-z0-9]+)/gi)].map((each) => each[1]));
    const clean = new Set(
      [...incidentHtml(readIncident(told()), told(), nowNs).matchAll(/<([a-z0-9]+)/gi)].map((each) => each[1]),
    );
    assert.deepEqual(tags, clean);
  });
  test('a quiet node has no picture, and a page', () => {
    const quiet = timelineOf([bootOf(0, { hours: 20, end: 'running' })]);
    const html = incidentHtml(readIncident(quiet), quiet, nowNs);
    assert.match(html, /<h1 class="quiet">Quiet: 1 boot, 20 h of running;/);
    assert.doesNotMatch(html, /<svg/);
  });
});

test('what the kernel said besides stalls stands with its boot, as text and on the page', () => {
  const quiet = bootOf(0, { hours: 20, end: 'running' });
  const said = 'Out of memory: Killed process 4711 (<b>) total-vm:1kB';
  const troubles = [
    { kind: 'oom-kill' as const, text: said, count: 12, first: moment(0, 2), last: moment(0, 3) },
    { kind: 'undervoltage' as const, text: 'hwmon: Undervoltage!', count: 1, first: moment(0, 4), last: moment(0, 4) },
  ];
  const timeline = timelineOf([{ ...quiet, kernel: { ...quiet.kernel, troubles } }]);
  const text = incidentText(readIncident(timeline), timeline, { colour: false, unicode: true, width: 200 });
  assert.ok(text.includes(`\n  12 OOM kills, 2025-11-12 04:00:00Z to 2025-11-12 05:00:00Z: ${said}\n`), text);
  assert.ok(text.includes('\n  1 undervoltage warning, 2025-11-12 06:00:00Z: hwmon: Undervoltage!\n'), text);
  const html = incidentHtml(readIncident(timeline), timeline, nowNs);
  assert.match(html, /<li>Boot 11111111: 12 OOM kills, .* Killed process 4711 \(&#60;b&#62;\)/);
});

test('the exit code: 0 whatever happened, 69 where nothing could be read', () => {
  assert.equal(exitCodeOf(readIncident(told())), 0);
  assert.equal(exitCodeOf(readIncident(timelineOf([]))), 69);
});

describe('--since', () => {
  const at = 1_800_000_000n * 1_000_000_000n;
  test('durations and dates', () => {
    assert.equal(readSince('2d', at), at - 172_800n * 1_000_000_000n);
    assert.equal(readSince('90min', at), at - 5_400n * 1_000_000_000n);
    assert.equal(readSince('2027-01-10', at), BigInt(Date.parse('2027-01-10')) * 1_000_000n);
    assert.equal(readSince('2027-01-10T06:00:00-07:00', at), BigInt(Date.parse('2027-01-10T13:00:00Z')) * 1_000_000n);
    assert.equal(readSince(undefined, at), at - 3n * 86_400n * 1_000_000_000n);
  });
  for (const garbage of [
    '',
    'yesterday',
    '2d; rm -rf /',
    '-1',
    '1e9d',
    '2027-13-45',
    '2099-01-01',
    '91d',
    '0000-01-01',
    '\u001b[2J',
  ]) {
    test(`'${JSON.stringify(garbage)}' is refused with what to write`, () => {
      assert.throws(() => readSince(garbage, at), { code: 'ERR_USAGE' });
    });
  }
});

describe('the program', { skip: cannotMakeJournals ?? false }, () => {
  test('over a journal of another machine: text, JSON, HTML, and its own end as now', async () => {
    await using dir = await tempDir();
    const path = dir.join('node.journal');
    await writeJournal(path, novemberEntries(60_000_000));
    const text = await sandwarden(['incident', '--journal', path]);
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^A loop that feeds itself \(1 closed round, 2 resets\)/);
    const since = ['--since', '30min'];
    const json = await sandwarden(['incident', '--journal', path, '-o', 'json', ...since]);
    const { format, state, timeline } = JSON.parse(json.stdout);
    assert.deepEqual([format, state, timeline.boots.length], ['sandwarden.incident/1', 'trouble', 1]);
    assertGolden('json/incident.json', json.stdout.replaceAll(dir.path, '/tmp'));
    const html = await sandwarden(['incident', '--journal', path, '-o', 'html', ...since]);
    assert.match(html.stdout, /^<!doctype html>/);
    const late = await sandwarden(['incident', '--journal', path, '--since', '2025-11-16']);
    assert.equal(late.code, 64);
    assert.match(late.stderr, /is after the end of the journal\n.*2025-11-15 03:0/);
  });
  test('the story of November: the verdict, its figures and the closed round, as JSON and on the page', async () => {
    await using dir = await tempDir();
    const path = dir.join('node.journal');
    await writeJournal(path, novemberEntries());
    const json = await sandwarden(['incident', '--journal', path, '-o', 'json']);
    const { verdict, rounds, chain, loop } = JSON.parse(json.stdout) as Incident;
    const figures = [
      ...[
        /^A loop that feeds itself \(1 closed round, 2 resets\): 2 boots ended without a shutdown/,
        /36, then 36 dead/,
      ],
      ...[/driver driver\.longhorn\.io was not there/, /8 pods crash-looped \(24 containers a minute\)/],
      ...[/the kernel stalled 1,200 times/, /the API froze for 3 h/, /37 h 36 min later/],
    ];
    for (const each of figures) assert.match(verdict, each);
    const links = loop.map((index) => chain[index] ?? assert.fail(`no link ${index}`));
    assert.equal(rounds, 1);
    // The freeze has no code.
    const codes = ['SW101', 'SW301', 'SW401', 'SW402', undefined, 'SW201', 'SW101'];
    assert.deepEqual(
      links.map(({ code }) => code),
      codes,
    );
    assert.match(links.find(({ code }) => code === 'SW402')?.text ?? '', /1,191 expedited RCU stalls/);

    const { stdout: html } = await sandwarden(['incident', '--journal', path, '-o', 'html']);
    const plain = (from: RegExp) => (from.exec(html)?.[1] ?? '').replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');
    assert.equal(plain(/<h1 class="loop">([\s\S]*?)<\/h1>/).trim(), verdict);
    const ring = plain(/(<svg class="ring"[\s\S]*?<\/svg>)/);
    // The last link of the round is the first one again.
    for (const { text } of links.slice(0, -1)) assert.ok(ring.includes(text), text);
    const rows = [...html.matchAll(/<tr[\s\S]*?<\/tr>/g)].map(([row]) =>
      row.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' '),
    );
    const tells = [/ 0 0 \d+ 0 no /, / 36 8 \d+ 1191 3 h /, / 36 8 \d+ 9 no /];
    for (const [index, bootId] of november.bootIds.entries()) {
      assert.match(rows.find((row) => row.includes(bootId.slice(0, 8))) ?? '', tells[index] ?? /nothing/);
    }
  });
  test("the cluster's events are those of the node that is named, never this machine's for another's journal", async () => {
    await using dir = await tempDir();
    await using api = await kubeServer();
    const path = dir.join('node.journal');
    const wallUs = november.resetUs;
    const fields = { _TRANSPORT: 'kernel', SYSLOG_IDENTIFIER: 'kernel', MESSAGE: 'Linux version 6.6' };
    await writeJournal(path, [{ wallUs, monotonicUs: 1, bootId: 'a'.repeat(32), fields }]);
    const config = {
      'current-context': 'here',
      contexts: [{ name: 'here', context: { cluster: 'c' } }],
      clusters: [{ name: 'c', cluster: { server: api.url } }],
    };
    writeFileSync(dir.join('config'), JSON.stringify(config));
    const lastTimestamp = new Date(wallUs / 1_000 + 60_000).toISOString();
    api.add({
      ...{ apiVersion: 'v1', kind: 'Event', metadata: { name: 'x', namespace: 'default' }, lastTimestamp },
      ...{ involvedObject: { kind: 'Node', name: 'jarvis' }, type: 'Warning', reason: 'Rebooted', message: 'it was' },
    });
    const tell = async (env: Readonly<Record<string, string>>, ...args: string[]) => {
      const { stdout } = await sandwarden(['incident', '--journal', path, '-o', 'json', ...args], { env });
      return JSON.parse(stdout).timeline;
    };
    const inEnv = { KUBECONFIG: dir.join('config') };
    assert.deepEqual([(await tell(inEnv)).events, api.asked.length], [undefined, 0]);
    const { gaps } = await tell({}, '--kubeconfig', dir.join('config'));
    assert.deepEqual([gaps[0]?.hint, api.asked.length], ['Name it: --node-name NAME.', 0]);
    const { events } = await tell(inEnv, '--node-name', 'jarvis');
    assert.deepEqual(
      events.map((each: { reason: string }) => each.reason),
      ['Rebooted'],
    );
  });
  test('no journal, a broken one, garbage: what is wrong, what to do, and the exit code', async () => {
    await using dir = await tempDir();
    await using folder = await tempDir();
    writeFileSync(dir.join('x.journal'), 'nothing of the kind');
    const cases = [
      [['--journal', '/nonexistent'], 69, /cannot read the journal '\/nonexistent': ENOENT/],
      [['--journal', folder.path], 69, /there is no journal in .*\n.*\/var\/log\/journal/s],
      [['--journal', dir.join('x.journal')], 69, /cannot read the journal .*\n.*journalctl --verify/s],
      [['--since', 'yesterday'], 64, /is no time for '--since'/],
      [['--since', '2025-02-30'], 64, /'2025-02-30' is no time for '--since'/],
      [['--output', 'pdf'], 64, /It takes: text, json, html/],
    ] as const;
    for (const [args, code, says] of cases) {
      const ended = await sandwarden(['incident', ...args]);
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stderr, says);
      assert.equal(ended.stdout, '');
    }
  });
});
