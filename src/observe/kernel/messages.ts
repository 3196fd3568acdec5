import type { KernelSign } from '../../model/kernel.ts';

/**
 * What a line of the kernel says, or undefined where it says nothing that matters here. The words are those of Linux
 * 4.18 to 6.18; each pattern names the function that prints it. A prefix (`rcu: `, `watchdog: `, `NMI watchdog: `,
 * `watchdog: CPU3: `, `[  T298] `) may stand before each of them, by version and configuration.
 * Linear in the length of the line; the line may be hostile (a task names itself).
 */
export function parseKernelMessage(text: string): KernelSign | undefined {
  // Almost no line has any of these words: one pass tells.
  if (!SUSPECT.test(text)) return undefined;
  const line = text.slice(0, 1_000);
  for (const read of readers) {
    const sign = read(line);
    if (sign) return sign;
  }
  return undefined;
}

/**
 * The task that a line of a dump names: `task:runc:[2:INIT] state:R …` (kernel/sched/core.c sched_show_task, 5.12 and
 * newer), `runc            R  running task …` (older), `CPU: 1 PID: 4711 Comm: runc:[2:INIT] Not tainted …`
 * (lib/dump_stack.c dump_stack_print_info; `CPU: 1 UID: 0 PID: …` from 6.12 on). Idle tasks count as none.
 */
export function taskOfDump(text: string): string | undefined {
  const line = text.slice(0, 300);
  const found =
    /(?:^|\s)task:(.{1,16}?) +state:[A-Z]/.exec(line)?.[1] ??
    /\bPID: \d{1,10} Comm: (.{1,16}?) (?:Not tainted|Tainted|Kdump)/.exec(line)?.[1] ??
    /^(.{1,16}?) +[RSDTtZXIP] +running task\b/.exec(line)?.[1];
  const name = found?.trim();
  return name === undefined || name === '' || name.startsWith('swapper/') ? undefined : name;
}

const SUSPECT =
  /stall|lockup|LOCKUP|blocked (?:in|for)|kthread starved|Killed process|Kernel panic|ndervoltage|nder-voltage|not responding/;

const readers: readonly ((line: string) => KernelSign | undefined)[] = [
  expedited,
  rcu,
  starved,
  softLockup,
  hardLockup,
  hungTask,
  oomKill,
  panic,
  power,
  nfs,
];

/**
 * kernel/rcu/tree_exp.h synchronize_rcu_expedited_wait (synchronize_sched_expedited_wait before 5.x):
 * `INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D P4122 } 21 jiffies s: 5133 root: 0x2/.`
 * The part after the brace is a continuation and can be missing.
 */
function expedited(line: string): KernelSign | undefined {
  const found =
    /INFO: \w{1,40} detected expedited stalls on CPUs\/tasks: \{([^}]{0,600})(?:\} (\d{1,12}) jiffies)?/.exec(line);
  if (!found) return undefined;
  const cpu = /(?:^| )(\d{1,5})-/.exec(found[1] ?? '')?.[1];
  const pid = / P(\d{1,10})/.exec(found[1] ?? '')?.[1];
  return { kind: 'rcu-expedited', ...number('cpu', cpu), ...number('pid', pid), ...number('jiffies', found[2]) };
}

/**
 * kernel/rcu/tree_stall.h print_other_cpu_stall, print_cpu_stall; kernel/rcu/tasks.h check_all_holdout_tasks,
 * check_all_holdout_tasks_trace: `INFO: rcu_sched self-detected stall on CPU`,
 * `INFO: rcu_preempt detected stalls on CPUs/tasks:`, `INFO: rcu_tasks detected stalls on tasks:`.
 */
function rcu(line: string): KernelSign | undefined {
  const found = /INFO: (\w{1,40}) (self-detected stall on CPU|detected stalls on (?:CPUs\/)?tasks)/.exec(line);
  if (!found) return undefined;
  return { kind: /^rcu_tasks/.test(found[1] ?? '') ? 'rcu-tasks' : 'rcu-stall' };
}

/** kernel/rcu/tree_stall.h rcu_check_gp_kthread_starvation: `rcu_preempt kthread starved for 5252 jiffies! g…`. */
function starved(line: string): KernelSign | undefined {
  const found = /(\w{1,40}) kthread starved for (\d{1,12}) jiffies!/.exec(line);
  return found ? { kind: 'rcu-starved', ...text('task', found[1]), ...number('jiffies', found[2]) } : undefined;
}

/** kernel/watchdog.c watchdog_timer_fn: `BUG: soft lockup - CPU#2 stuck for 22s! [runc:[2:INIT]:4711]`. */
function softLockup(line: string): KernelSign | undefined {
  const found = /BUG: soft lockup - CPU#(\d{1,5}) stuck for (\d{1,9})s!(?: \[(.{1,32}):(\d{1,10})\])?/.exec(line);
  if (!found) return undefined;
  const [, cpu, seconds, task, pid] = found;
  return {
    kind: 'soft-lockup',
    ...text('task', task),
    ...number('pid', pid),
    ...number('cpu', cpu),
    ...number('seconds', seconds),
  };
}

/** kernel/watchdog.c watchdog_hardlockup_check (6.5 and newer), kernel/watchdog_hld.c watchdog_overflow_callback. */
function hardLockup(line: string): KernelSign | undefined {
  const found = /Watchdog detected hard LOCKUP on cpu (\d{1,5})/.exec(line);
  return found && !line.includes('Kernel panic') ? { kind: 'hard-lockup', ...number('cpu', found[1]) } : undefined;
}

/** kernel/hung_task.c check_hung_task: `INFO: task runc:[2:INIT]:4711 blocked for more than 122 seconds.` */
function hungTask(line: string): KernelSign | undefined {
  const found = /INFO: task (.{1,32}):(\d{1,10}) blocked(?: in I\/O wait)? for more than (\d{1,9}) seconds/.exec(line);
  if (!found) return undefined;
  return { kind: 'hung-task', ...text('task', found[1]), ...number('pid', found[2]), ...number('seconds', found[3]) };
}

/**
 * mm/oom_kill.c __oom_kill_process: `Out of memory: Killed process 4711 (runc:[2:INIT]) total-vm:…`,
 * `Memory cgroup out of memory: Killed process …`. Before 4.19 without a word before `Killed`.
 */
function oomKill(line: string): KernelSign | undefined {
  const found = /Killed process (\d{1,10}) \((.{1,16}?)\),? (?:UID |total-vm:)/.exec(line);
  return found ? { kind: 'oom-kill', ...text('task', found[2]), ...number('pid', found[1]) } : undefined;
}

/** kernel/panic.c panic. */
function panic(line: string): KernelSign | undefined {
  return line.includes('Kernel panic - not syncing') ? { kind: 'panic' } : undefined;
}

/** drivers/hwmon/raspberrypi-hwmon.c; drivers/firmware of older Raspberry Pi kernels: `Under-voltage detected!`. */
function power(line: string): KernelSign | undefined {
  return /Under-?voltage detected!/i.test(line) ? { kind: 'undervoltage' } : undefined;
}

/** net/sunrpc/clnt.c rpc_check_timeout: `nfs: server nas not responding, still trying` (or `timed out`). */
function nfs(line: string): KernelSign | undefined {
  return /\bnfs\w{0,4}: server .{1,255} not responding, (?:still trying|timed out)/.test(line)
    ? { kind: 'nfs-silent' }
    : undefined;
}

function number<K extends string>(key: K, digits: string | undefined): { readonly [key in K]?: number } {
  return digits === undefined ? {} : ({ [key]: Number(digits) } as { readonly [key in K]: number });
}

function text<K extends string>(key: K, value: string | undefined): { readonly [key in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [key in K]: string });
}
