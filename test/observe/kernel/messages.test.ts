import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { KernelSign } from '../../../src/model/kernel.ts';
import { parseKernelMessage, taskOfDump } from '../../../src/observe/kernel/messages.ts';

const init = 'runc:[2:INIT]';

/** Lines as kernels wrote them, by the version that did. */
const lines: readonly (readonly [from: string, line: string, sign: KernelSign | undefined])[] = [
  [
    '6.0 expedited',
    'rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 21 jiffies s: 5133 root: 0x2/.',
    { kind: 'rcu-expedited', cpu: 1, jiffies: 21 },
  ],
  [
    '4.18 RT expedited, tasks',
    'rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { P161097 P183189 } 63616 jiffies s: 1074129 root: 0x4/.',
    { kind: 'rcu-expedited', pid: 161_097, jiffies: 63_616 },
  ],
  [
    '6.1 expedited, two digits',
    '    rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {12-... } 22 jiffies s: 277 root: 0x1/.',
    { kind: 'rcu-expedited', cpu: 12, jiffies: 22 },
  ],
  ['continuation missing', 'INFO: rcu_sched detected expedited stalls on CPUs/tasks: {', { kind: 'rcu-expedited' }],
  ['5.2 self', 'rcu: INFO: rcu_sched self-detected stall on CPU', { kind: 'rcu-stall' }],
  ['5.4 others', 'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:', { kind: 'rcu-stall' }],
  [
    '4.x, one line',
    'INFO: rcu_sched detected stalls on CPUs/tasks: { 0} (detected by 1, t=2179 jiffies)',
    { kind: 'rcu-stall' },
  ],
  ['6.x tasks', 'INFO: rcu_tasks detected stalls on tasks:', { kind: 'rcu-tasks' }],
  ['6.x tasks trace', 'INFO: rcu_tasks_trace detected stalls on tasks:', { kind: 'rcu-tasks' }],
  [
    '5.10 starved',
    'rcu: rcu_preempt kthread starved for 20964 jiffies! g938281 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=0',
    { kind: 'rcu-starved', task: 'rcu_preempt', jiffies: 20_964 },
  ],
  [
    '5.15 soft lockup',
    `watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [${init}:4711]`,
    { kind: 'soft-lockup', task: init, pid: 4711, cpu: 2, seconds: 22 },
  ],
  [
    '4.9 soft lockup',
    'NMI watchdog: BUG: soft lockup - CPU#0 stuck for 23s! [kworker/0:1:29]',
    { kind: 'soft-lockup', task: 'kworker/0:1', pid: 29, cpu: 0, seconds: 23 },
  ],
  ['5.x hard', 'NMI watchdog: Watchdog detected hard LOCKUP on cpu 3', { kind: 'hard-lockup', cpu: 3 }],
  ['6.13 hard', 'watchdog: CPU3: Watchdog detected hard LOCKUP on cpu 1', { kind: 'hard-lockup', cpu: 1 }],
  [
    '6.1 hung task',
    `INFO: task ${init}:4711 blocked for more than 122 seconds.`,
    { kind: 'hung-task', task: init, pid: 4711, seconds: 122 },
  ],
  [
    '6.17 hung task in I/O',
    'INFO: task xfsaild/sda4:1428 blocked in I/O wait for more than 120 seconds.',
    { kind: 'hung-task', task: 'xfsaild/sda4', pid: 1428, seconds: 120 },
  ],
  [
    '5.x OOM in a cgroup',
    `Memory cgroup out of memory: Killed process 4711 (${init}) total-vm:1234kB, anon-rss:1kB, file-rss:0kB`,
    { kind: 'oom-kill', task: init, pid: 4711 },
  ],
  [
    '4.18 OOM',
    'Out of memory: Killed process 12 (my (odd) name) total-vm:1kB',
    { kind: 'oom-kill', task: 'my (odd) name', pid: 12 },
  ],
  ['panic', 'Kernel panic - not syncing: Watchdog detected hard LOCKUP on cpu 0', { kind: 'panic' }],
  ['Pi 5', 'hwmon hwmon3: Undervoltage detected!', { kind: 'undervoltage' }],
  ['Pi 3', 'Under-voltage detected! (0x00050005)', { kind: 'undervoltage' }],
  ['NFS', 'nfs: server nas.local not responding, still trying', { kind: 'nfs-silent' }],
  ['a part of a stall', 'rcu: blocking rcu_node structures (internal RCU debug):', undefined],
  [
    'the hint after a hung task',
    '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
    undefined,
  ],
  ['a device', 'usb 1-1: device not responding to setup address.', undefined],
  ['stall of another kind', 'xhci_hcd: Transfer error for slot 1 ep 2 on endpoint stall', undefined],
];

describe('parseKernelMessage', () => {
  for (const [from, line, sign] of lines) {
    test(from, () => assert.deepEqual(parseKernelMessage(line), sign));
  }

  test('any text: an answer or none, soon', () => {
    const word = fc.constantFrom(
      ...[
        'INFO: ',
        'rcu_preempt ',
        'detected expedited stalls on CPUs/tasks: { ',
        '} 9 jiffies',
        'BUG: soft lockup - CPU#',
      ],
      ...[
        '9',
        ' stuck for ',
        's! [',
        ':',
        ']',
        'task ',
        ' blocked for more than ',
        'Killed process ',
        '(',
        ') total-vm:',
      ],
      ...['kthread starved for ', 'nfs: server ', ' not responding, still trying', ' ', '\u202e', '\u001b[2J', '<b>'],
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 400 }),
      fc.array(word, { maxLength: 60 }).map((a) => a.join('')),
    );
    fc.assert(
      fc.property(text, (line) => {
        const sign = parseKernelMessage(line);
        assert.ok(sign === undefined || typeof sign.kind === 'string');
        assert.ok((sign?.task ?? '').length <= 40);
        taskOfDump(line);
      }),
      { numRuns: 500 },
    );
    const long = `INFO: ${'x'.repeat(2_000_000)} detected expedited stalls on CPUs/tasks: {`;
    assert.equal(parseKernelMessage(long), undefined);
  });
});

describe('taskOfDump', () => {
  for (const [line, task] of [
    [`task:${init}   state:R  running task     stack:0     pid:205   ppid:1      flags:0x00000202`, init],
    ['task:httpd           state:R running task     stack:    0 pid: 2798 ppid:  2460 flags:0x0000400a', 'httpd'],
    ['runc            R  running task        0 183189 183175 0x00084080', 'runc'],
    [`CPU: 1 PID: 4711 Comm: ${init} Not tainted 6.6.51+rpt-rpi-2712 #1`, init],
    [`CPU: 1 UID: 0 PID: 4711 Comm: ${init} Tainted: G             L     6.13.0 #1`, init],
    ['CPU: 63 PID: 559 Comm: khungtaskd Kdump: loaded Tainted: G', 'khungtaskd'],
    ['CPU: 3 PID: 0 Comm: swapper/3 Not tainted 6.0.0', undefined],
    ['task:swapper/1       state:R  running task     stack:    0 pid:    0', undefined],
    [' __switch_to+0xe4/0x168', undefined],
  ] as const) {
    test(line.slice(0, 50), () => assert.equal(taskOfDump(line), task));
  }
});
