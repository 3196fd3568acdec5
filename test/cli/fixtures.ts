import type { Rule } from '../../src/diagnose/rule.ts';
import type { Diagnosis, Finding } from '../../src/model/finding.ts';
import type { Action, Outcome, Plan } from '../../src/model/plan.ts';

const SECOND = 1_000_000_000n;
const lookNs = 1_795_290_000n * SECOND;
export const ghostId = '0c4f8d1e2b3a49586776859403b2a1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4';
export const otherId = '9b1d0f7c3e5a48269417f60d2b8c5e3a7f901b6d4c2e8a5f3071b9d6e4c2a8f0';

function ghost(pod: string, id = ghostId): Finding {
  return {
    code: 'SW102',
    severity: 'error',
    object: { kind: 'sandbox', name: `default/${pod}/0`, id },
    why: [
      `kubelet v1.34.9 takes the oldest sandbox of default/${pod} for the newest, because it is dated 1 h 46 min`,
      'in the future. It kills each new one and starts again.',
    ].join(' '),
    evidence: [
      {
        source: 'sandboxes',
        text: `${id} attempt 0 created 2026-11-21 19:46:10Z, NotReady; attempt 1 created 2026-11-21 18:00:21Z`,
      },
      {
        source: 'kubeletLog',
        text: `name "${pod}_default_11111111-2222-3333-4444-555555555555_1" is reserved for "${otherId}" (61 times)`,
      },
    ],
    remedy: {
      tier: 'safe',
      text: 'Remove exactly this sandbox; put the clock right.',
      command: `sandwarden heal --only SW102/default/${pod}/0`,
    },
    pods: [`default/${pod}`],
  };
}

/** The power cut with the clock two hours behind. */
export const sick: Diagnosis = {
  verdict:
    '2 of 14 pods cannot start: the clock was 2 h behind at boot, ' +
    'so kubelet 1.34 takes their old sandboxes for the newest.',
  state: 'errors',
  chain: [
    {
      at: { wallNs: lookNs },
      agoNs: null,
      lastedNs: null,
      text: 'the node lost its power',
      evidence: 'boot 6f1c ended without a shutdown record',
      code: 'SW201',
    },
    {
      at: null,
      agoNs: 842n * SECOND,
      lastedNs: 7_200n * SECOND,
      text: 'the clock came up behind the newest date on disk',
      evidence: 'newest sandbox 2026-11-21 19:46:10Z, clock at boot 2026-11-21 17:46:02Z',
    },
    {
      at: null,
      agoNs: 820n * SECOND,
      lastedNs: 820n * SECOND,
      text: 'kubelet kills each new sandbox and asks for a name that is taken',
      evidence: `61 errors "name is reserved" since 18:00:21Z`,
      code: 'SW102',
    },
  ],
  findings: [
    ghost('web'),
    ghost('be', otherId),
    {
      code: 'SW703',
      severity: 'warning',
      object: { kind: 'network', name: 'cni' },
      why: 'The runtime reports that its network is not ready.',
      evidence: [{ source: 'runtime', text: 'NetworkReady=false: cni plugin not initialized' }],
      remedy: { tier: 'none', text: 'Start the CNI plugin of the node.', noCommand: 'which plugin it is was not seen' },
      pods: [],
    },
    {
      code: 'SW108',
      severity: 'info',
      object: { kind: 'node', name: 'edge-7' },
      why: '3 NotReady sandboxes block nothing and stay.',
      evidence: [{ source: 'sandboxes', text: 'default/job/0: finished pod, its logs live here' }],
      remedy: { tier: 'none', text: 'Nothing to do.', noCommand: 'nothing is wrong' },
      pods: [],
    },
  ],
  gaps: [
    { source: 'pods', message: 'no Kubernetes API was asked', hint: '' },
    { source: 'boots', message: 'journalctl is not installed', hint: 'Install systemd, or give --kubelet-log FILE.' },
  ],
  notJudged: [],
};

export const healthy: Diagnosis = {
  verdict: 'Healthy: 14 pods run; 3 NotReady sandboxes are normal leftovers.',
  state: 'healthy',
  chain: [],
  findings: [],
  gaps: [],
  notJudged: [],
};

/** A healthy node about which one source was silent. */
export const healthyWithGaps: Diagnosis = { ...healthy, gaps: sick.gaps };

/** 49 findings of one kind. */
export const many: Diagnosis = {
  ...sick,
  verdict: '49 pods cannot start.',
  findings: Array.from({ length: 49 }, (_, index) => ghost(`pod-${String(index).padStart(2, '0')}`)),
  gaps: [],
};

/** Names that try to drive the terminal, to turn the text around, and to break XML. */
export const hostile: Diagnosis = {
  verdict: 'pod \u001b[31mred\u001b[0m\u202Egnp.exe]]> <b>&"\' cannot start',
  state: 'errors',
  chain: [
    {
      at: null,
      agoNs: -5n * SECOND,
      lastedNs: 90n * SECOND,
      text: 'a\u0007bell\nand a line',
      evidence: '\u009b2J\u0000',
    },
  ],
  findings: [
    {
      ...ghost('web'),
      object: { kind: 'sandbox', name: `\u001b]0;owned\u0007/${'x'.repeat(253)}/0`, id: '\u2066x' },
      why: 'tab\there \ufffe \ud800 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字 e\u0301',
      remedy: { tier: 'safe', text: 'remove \u200b it', command: 'sandwarden heal --only "SW102/\u001b[2J"' },
      pods: ['\u202edefault/web', 'default/be'],
    },
  ],
  gaps: [{ source: 'runtimeLog', message: '\u001b[5mblink', hint: '<hint/>' }],
  notJudged: [],
};

export const unobservable: Diagnosis = {
  verdict: 'Nothing could be observed: nobody listens on unix:///run/containerd/containerd.sock.',
  state: 'unobservable',
  chain: [],
  findings: [],
  gaps: [
    {
      source: 'sandboxes',
      message: 'nobody listens on unix:///run/containerd/containerd.sock',
      hint: "Start the runtime: 'systemctl start containerd'.",
    },
  ],
  notJudged: ['SW102', 'SW701'].map((code) => ({
    ...{ code, source: code === 'SW102' ? 'sandboxes' : 'runtime' },
    message: 'nobody listens on unix:///run/containerd/containerd.sock',
  })),
};

const ofTwo = {
  endpoint: 'unix:///run/containerd/containerd.sock',
  from: 'known socket',
  others: ['unix:///run/crio/crio.sock'],
};

/** Nodes on which more than one runtime lives. */
export const healthyOfTwo: Diagnosis = { ...healthyWithGaps, lookedAt: ofTwo };
export const unobservableOfThree: Diagnosis = {
  ...unobservable,
  lookedAt: { ...ofTwo, others: ['unix:///run/k0s/containerd.sock', ...ofTwo.others] },
};

export const healthyBehindAnother: Diagnosis = {
  ...healthy,
  lookedAt: {
    endpoint: 'unix:///run/crio/crio.sock',
    from: 'known socket',
    others: [],
    passedOver: [
      {
        endpoint: 'unix:///run/containerd/containerd.sock',
        why:
          'what listens on unix:///run/containerd/containerd.sock does not serve CRI v1 ' +
          '(unknown service runtime.v1.RuntimeService)',
      },
    ],
  },
};

export const diagnoses = {
  ...{ sick, healthy, healthyWithGaps, many, hostile, unobservable },
  ...{ healthyOfTwo, healthyBehindAnother, unobservableOfThree },
};

function removal(pod: string, sandboxId: string): Action {
  return {
    kind: 'remove-sandbox',
    target: sandboxId,
    object: `default/${pod}/0`,
    code: 'SW102',
    tier: 'safe',
    reason: 'It is dated after now, so kubelet takes it for the newest.',
    precondition: `it is still NotReady, nothing of it runs, and default/${pod} still has a higher attempt`,
    expects: `kubelet keeps the sandbox of default/${pod} within 90 s`,
    guard: { kind: 'remove-sandbox', sandboxId, podUid: 'u', attempt: 0, createdAtNs: lookNs },
  };
}

export const plan: Plan = {
  actions: [removal('web', ghostId), removal('be', otherId)],
  refusals: [
    { object: 'default/job/0', target: 'j', code: 'SW108', reason: 'finished pod, its logs live here' },
    {
      object: 'containerd.service',
      target: 'containerd.service',
      code: 'SW103',
      reason: 'a restart interrupts every pod that is starting',
      lift: '--allow=disruptive',
    },
    ...['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((each) => ({
      object: `default/${each}/0`,
      target: each,
      code: 'SW108',
      reason: 'it blocks nothing',
    })),
  ],
  pods: ['default/web', 'default/be'],
};

export const emptyPlan: Plan = { actions: [], refusals: [], pods: [] };

const [first, second] = plan.actions as [Action, Action];
export const healed: Outcome = {
  actions: [
    { action: first, result: 'done', why: '', tookMs: 112 },
    { action: second, result: 'already', why: 'it was gone already', tookMs: 3 },
  ],
  recovery: { state: 'recovered', tookMs: 9_240, recovered: ['default/web', 'default/be'], waiting: [] },
};

export const halfHealed: Outcome = {
  actions: [
    { action: first, result: 'done', why: '', tookMs: 112 },
    { action: second, result: 'skipped', why: 'the run had stopped', tookMs: 0 },
  ],
  stopped: {
    code: 'ERR_PRECONDITION',
    message: 'sandbox default/be/0 has become READY',
    hint: "Look again: 'sandwarden check'.",
  },
  recovery: {
    state: 'partly',
    tookMs: 120_000,
    recovered: ['default/web'],
    waiting: [{ pod: 'default/be', why: 'its newest sandbox is NotReady' }],
  },
};

/** A pod of CSI was made anew, and none had to come back that a sandbox held up. */
export const greenAgain: Outcome = {
  actions: [{ action: first, result: 'done', why: '', tookMs: 41 }],
  recovery: {
    state: 'recovered',
    tookMs: 28_000,
    recovered: [],
    waiting: [],
    stages: [
      { name: 'sockets', state: 'green', green: 1, of: 1, afterMs: 400, red: [] },
      { name: 'sidecars', state: 'green', green: 3, of: 3, afterMs: 27_600, red: [] },
    ],
  },
};

/** Two rules, as the catalogue defines them. */
export const rules: readonly Rule[] = [
  {
    code: 'SW102',
    name: 'ghost-from-the-future',
    title: 'A sandbox is dated in the future',
    severity: 'error',
    says: 'By creation time an old sandbox sorts after a newer one, so kubelet up to 1.34 loops.',
    explanation:
      'kubelet **sorts** sandboxes by `createdAt`.\n\n- one thing\n- another thing that is long enough to be broken ' +
      'over two lines somewhere\n\n    a block of code',
    evidence: 'Both dates and attempts.',
    remedy: { tier: 'safe', text: 'Remove exactly those.' },
    sources: ['pkg/kubelet/kuberuntime/helpers.go podSandboxByCreated'],
    needs: ['sandboxes'],
    examine: () => [],
  },
  {
    code: 'SW701',
    name: 'runtime-down',
    title: 'The runtime does not answer | "at all" & <now>',
    severity: 'error',
    says: 'The CRI socket is missing or refuses.',
    explanation: 'Nothing starts without it.',
    evidence: 'The errno.',
    remedy: { tier: 'none', text: 'By cause.' },
    sources: ['reproductions'],
    needs: ['runtime'],
    examine: () => [],
  },
];
