/**
 * Which event can have caused which. A link is never made because two things are there at once: a rule has to say that
 * the one can cause the other, the cause must have begun first and still gone on (or just ended) when the effect
 * began, and the two must share what the rule asks for (a pod, a driver, a task). Where several causes hold, all are
 * given, ranked, each with what would decide between them.
 */

/** Something that happened, on one time axis. */
export interface CauseNode {
  readonly id: string;
  /** What it is: a code of the catalogue, or one of the words of `causeRules`. */
  readonly code: string;
  /** Nanoseconds on an axis that is common to all nodes; null where no clock tells. */
  readonly startNs: bigint | null;
  /** null: it still goes on. */
  readonly endNs: bigint | null;
  /** What it is about: `pod:default/web`, `namespace:longhorn-system`, `driver:NAME`, `task:runc`. */
  readonly objects: ReadonlySet<string>;
}

/** One way in which something can cause something else. */
export interface CauseRule {
  readonly causes: readonly string[];
  readonly effects: readonly string[];
  /** Why the one can cause the other: the end of a sentence that begins with the effect. */
  readonly because: string;
  /** The kinds of object of which one must be shared; empty where time alone has to do. */
  readonly shares: readonly string[];
  /** The effect begins at most this long after the cause ended. */
  readonly withinMs: number;
  /** What would prove or refute it. */
  readonly decidedBy: string;
}

/** A cause that holds. */
export interface HeldCause {
  readonly cause: CauseNode;
  readonly rule: CauseRule;
  /** What the two share: `pod default/web`; absent where the rule asks for nothing. */
  readonly shared?: string;
  /** How long after the cause's beginning the effect began, nanoseconds; null where one of the dates is not known. */
  readonly lagNs: bigint | null;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const ghostCodes = ['SW101', 'SW102', 'SW104', 'SW109'] as const;

/** All rules there are; findings of volumes (SW3xx) hang in by their codes. */
export const causeRules: readonly CauseRule[] = [
  {
    causes: ['SW201'],
    effects: ghostCodes,
    because: 'sandboxes of a boot that ends without a shutdown come back dead, with their names reserved',
    shares: ['end'],
    // The node may have been without power for weeks.
    withinMs: 10_000 * HOUR,
    decidedBy: 'their creation dates: they are of the boot before',
  },
  {
    causes: ['SW202'],
    effects: ['SW102'],
    because: 'a clock that is behind makes dead sandboxes the newest of their pods',
    shares: [],
    withinMs: 30 * MINUTE,
    decidedBy: 'their creation dates: they are after the boot by this clock',
  },
  {
    causes: [...ghostCodes, 'SW103', 'SW106', 'SW703'],
    effects: ['SW301', 'SW302'],
    because: 'the node plugin of the driver is one of the pods that cannot start',
    shares: ['pod', 'driver'],
    withinMs: 30 * MINUTE,
    decidedBy: 'remove the dead sandbox: the plugin starts and its socket appears, or it does not',
  },
  {
    causes: ['SW301', 'SW302', 'SW304'],
    effects: ['SW303', 'SW401'],
    because: 'the sidecars of the driver end at once without its socket, and are started again and again',
    shares: ['pod', 'driver', 'sidecars'],
    withinMs: 30 * MINUTE,
    decidedBy: 'their last words: `crictl logs` names the socket, or something else',
  },
  {
    causes: ['SW303'],
    effects: ['SW401'],
    because: 'they are the same pods',
    shares: ['pod'],
    withinMs: 30 * MINUTE,
    decidedBy: 'their last words',
  },
  {
    causes: ['SW501', 'SW601'],
    effects: ['SW401'],
    because: 'kubelet kills these pods and makes them anew',
    shares: ['pod'],
    withinMs: 10 * MINUTE,
    decidedBy: 'whether their containers end by themselves or are killed',
  },
  {
    causes: ['SW401'],
    effects: ['SW402'],
    because:
      'each start of a container makes and ends namespaces, for which the kernel asks for expedited grace periods',
    shares: ['task'],
    withinMs: 10 * MINUTE,
    decidedBy: 'end the crash loops: the stalls end with them, or they do not',
  },
  {
    causes: ['nfs-silent'],
    effects: ['SW402'],
    because: 'tasks that wait for an NFS server stand still for minutes',
    shares: ['hung'],
    withinMs: 10 * MINUTE,
    decidedBy: 'whether the hung tasks wait in rpc_ or nfs_ functions (their call traces)',
  },
  {
    causes: ['undervoltage'],
    effects: ['SW402'],
    because: 'a board with too little power throttles its processors',
    shares: [],
    withinMs: 10 * MINUTE,
    decidedBy: '`vcgencmd get_throttled`, and another power supply',
  },
  {
    causes: ['SW402'],
    effects: ['freeze'],
    because: 'processors that do not come around leave softirqs waiting, and the network stops answering',
    shares: [],
    withinMs: 2 * HOUR,
    decidedBy: 'whether the stalls came closer together before it',
  },
  {
    causes: ['freeze'],
    effects: ['SW201'],
    because: 'a node that does not answer is reset by hand or by its watchdog',
    shares: [],
    withinMs: 12 * HOUR,
    decidedBy: 'whether somebody reset it, or the power went',
  },
  {
    causes: ['panic'],
    effects: ['SW201'],
    because: 'a kernel that panics stands still or starts anew',
    shares: [],
    withinMs: HOUR,
    decidedBy: 'the record of the panic in pstore',
  },
  {
    causes: ['SW402'],
    effects: ['SW201'],
    because: 'a kernel that locks up writes nothing more',
    shares: [],
    withinMs: 10 * MINUTE,
    decidedBy: 'what the last lines before the end tell of',
  },
];

/** The causes of `effect` among `nodes`, the likeliest first: what shares an object, then what began last. */
export function causesOf(
  effect: CauseNode,
  nodes: readonly CauseNode[],
  rules: readonly CauseRule[] = causeRules,
): HeldCause[] {
  const held = nodes.flatMap((cause) => {
    if (cause.id === effect.id) return [];
    return rules.flatMap((rule) => hold(cause, effect, rule) ?? []);
  });
  return held.sort((a, b) => rank(a) - rank(b) || compare(a.lagNs, b.lagNs));
}

function hold(cause: CauseNode, effect: CauseNode, rule: CauseRule): HeldCause | undefined {
  if (!rule.causes.includes(cause.code) || !rule.effects.includes(effect.code)) return undefined;
  const shared = [...effect.objects].find((each) => {
    return cause.objects.has(each) && rule.shares.includes(each.slice(0, each.indexOf(':')));
  });
  if (rule.shares.length > 0 && shared === undefined) return undefined;
  const lagNs = cause.startNs === null || effect.startNs === null ? null : effect.startNs - cause.startNs;
  // Without dates nothing orders the two but what they share.
  if (lagNs === null && shared === undefined) return undefined;
  if (lagNs !== null && lagNs < -SLACK_NS) return undefined;
  const overdue = cause.endNs !== null && effect.startNs !== null ? effect.startNs - cause.endNs : 0n;
  if (overdue > BigInt(rule.withinMs) * 1_000_000n) return undefined;
  return { cause, rule, lagNs, ...(shared === undefined ? {} : { shared: shared.replace(':', ' ') }) };
}

// What is seen first is not always what was first: kubelet tells of a failure at its next sync.
const SLACK_NS = 120n * 1_000_000_000n;

function rank({ shared, lagNs }: HeldCause): number {
  return (shared === undefined ? 2 : 0) + (lagNs === null ? 1 : 0);
}

function compare(a: bigint | null, b: bigint | null): number {
  if (a === null || b === null) return 0;
  return a < b ? -1 : a > b ? 1 : 0;
}
