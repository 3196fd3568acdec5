import { explainPod } from '../diagnose/explain-pod.ts';
import { buildFacts, type Facts } from '../diagnose/facts.ts';
import type { PodView } from '../diagnose/views.ts';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import { known, valueOr } from '../model/observed.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { observed } from '../observe/unknown.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { lookOnce, openEyes } from './look.ts';
import { findPod } from './pod-name.ts';
import { jsonText } from './render/json.ts';
import { podText } from './render/pod-text.ts';
import { styleOf } from './render/style.ts';

/** `sandwarden explain pod NAMESPACE/NAME|UID`. */
export async function explainPodCommand(args: Args, io: Io, typed: string): Promise<ExitCode> {
  const { facts, view } = await lookAtPod(args, io.env, typed);
  const explanation = explainPod(facts, view);
  const text =
    args.value('output') === 'json'
      ? jsonText({ format: 'sandwarden.explain-pod/1', ...explanation })
      : podText(explanation, styleOf(io, args.flag('no-color')));
  io.stdout.write(text);
  return ExitCode.healthy;
}

async function lookAtPod(args: Args, env: Io['env'], typed: string): Promise<{ facts: Facts; view: PodView }> {
  if (args.value('snapshot') !== undefined) {
    const { snapshot } = await lookOnce(args, env);
    return { facts: buildFacts(snapshot), view: viewOf(snapshot, buildFacts(snapshot), typed) };
  }
  await using eyes = await openEyes(args, env, { allCgroups: true });
  const snapshot = await eyes.look();
  const view = viewOf(snapshot, buildFacts(snapshot), typed);
  const cri = eyes.runtime?.cri;
  if (cri === undefined) return { facts: buildFacts(snapshot), view };
  // A check asks only for the sandboxes that a removal hangs on; here the newest must tell its network.
  const details = { ...snapshot.details };
  for (const { id } of view.sandboxes.filter((each) => each.ready && details[each.id] === undefined)) {
    const answer = await observed(() => cri.sandboxStatus(id));
    details[id] = answer.known ? known(answer.value.detail) : answer;
  }
  return { facts: buildFacts({ ...snapshot, details }), view };
}

/** The view of the pod that was typed; one with a READY sandbox before one that was. Throws ERR_USAGE, or why blind. */
function viewOf({ sandboxes, pods }: Snapshot, facts: Facts, typed: string): PodView {
  if (!sandboxes.known) {
    const { code, message, hint } = sandboxes;
    throw new SandwardenError(code === 'ERR_NOT_ASKED' ? 'ERR_NOT_SUPPORTED' : code, message, { hint });
  }
  const isReady = (view: PodView) => view.sandboxes.some((each) => each.ready);
  const views = [...facts.pods.values()].toSorted((a, b) => Number(isReady(b)) - Number(isReady(a)));
  const inApi = valueOr(pods, []).filter((each) => !facts.pods.has(each.uid));
  const found = findPod(typed, [...views, ...inApi]);
  const view = facts.pods.get(found.uid);
  if (view !== undefined) return view;
  const pod = inApi.find((each) => each.uid === found.uid);
  const { uid, namespace, name } = found;
  const wanted = { wants: 'yes', because: `the API says ${pod?.phase ?? 'nothing'}` } as const;
  return { uid, namespace, name, pod, sandboxes: [], containers: [], errors: [], wanted, fates: new Map() };
}
