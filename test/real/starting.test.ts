// Goal: what a containerd answers before it serves is what the embedded one claims and what the product tells apart.
// Method: a container's status record becomes a pipe, so that recovery waits in reading it for as long as the test
// looks, instead of a window of milliseconds that a poll may miss; then the record is written into the pipe, and
// recovery goes on with it. Beside that, a containerd without its CRI plugin.
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { labAvailable } from '../../lab/available.ts';
import { layout } from '../../lab/daemon.ts';
import { allFlavours, type Flavour } from '../../lab/flavours.ts';
import { type RealRig, realRig } from '../../lab/rig.ts';
import { hasCode, run, until } from '../../lab/run.ts';
import { connectCri } from '../../src/cri/connect.ts';
import type { CriRunner } from '../../src/cri/types.ts';
import { flavours } from '../../src/embedded/flavour.ts';
import { type ErrorCode, isSandwardenError } from '../../src/model/errors.ts';
import { pod, workload } from '../scenario/steps.ts';

const lab = await labAvailable();
const skip = lab.ok ? false : lab.why;

const calls: Readonly<Record<string, (cri: CriRunner) => Promise<unknown>>> = {
  Version: (cri) => cri.version(),
  Status: (cri) => cri.status(),
  ListPodSandbox: (cri) => cri.listSandboxes(),
  ListContainers: (cri) => cri.listContainers(),
  PodSandboxStatus: (cri) => cri.sandboxStatus('a'.repeat(64)),
  RunPodSandbox: (cri) => cri.runSandbox(pod(1)),
  StopPodSandbox: (cri) => cri.stopSandbox('a'.repeat(64)),
  RemovePodSandbox: (cri) => cri.removeSandbox('a'.repeat(64)),
};

describe('a real containerd that does not serve CRI yet, or never', { skip, concurrency: 1 }, () => {
  for (const flavour of allFlavours) {
    test(`containerd ${flavour}: while it recovers, each call is refused as the embedded one refuses it`, async () => {
      await using lifetime = await rigOf(flavour);
      const { rig } = lifetime;
      const record = await leaveContainer(rig);
      const held = await holdRead(record);
      const starting = rig.start();
      const { notReady, notReadyWords } = flavours[flavour];
      try {
        await until('recovery reads the record', 30_000, () => held.isRead());
        for (const [name, call] of Object.entries(calls)) {
          const { ours, code, words } = await refusal(rig, call);
          assert.deepEqual([ours, code, words], ['ERR_RUNTIME_NOT_READY', notReady, notReadyWords], name);
        }
      } finally {
        await held.release(starting);
      }
      assert.deepEqual(await starting, { ok: true }, 'the record was all that it waited for');
      assert.equal((await rig.cri.listContainers()).length, 1);
    });

    test(`containerd ${flavour}: without its CRI plugin it has no such service`, async () => {
      await using lifetime = await rigOf(flavour, { keepsConfig: true });
      const { rig } = lifetime;
      const file = layout(rig.home).config;
      const config = await readFile(file, 'utf8');
      await writeFile(
        file,
        config.replace('disabled_plugins = []', 'disabled_plugins = ["io.containerd.grpc.v1.cri"]'),
      );
      const starting = rig.start();
      try {
        const { ours, code, words } = await until('it listens', 30_000, async () => {
          const seen = await refusal(rig, (cri) => cri.version());
          return seen.code === undefined ? undefined : seen;
        });
        const service = 'unknown service runtime.v1.RuntimeService';
        assert.deepEqual([ours, code, words], ['ERR_SOCKET_NOT_CRI', 'Unimplemented', service]);
      } finally {
        await rig.killRuntime();
      }
      assert.equal((await starting).ok, false);
    });
  }
});

async function rigOf(flavour: Flavour, options = {}): Promise<AsyncDisposable & { readonly rig: RealRig }> {
  const rig = await realRig(flavour, options);
  return { rig, [Symbol.asyncDispose]: () => rig.close() };
}

/** Makes a container, stops the daemon, and gives the path of the container's record. */
async function leaveContainer(rig: RealRig): Promise<string> {
  assert.deepEqual(await rig.start(), { ok: true });
  const spec = pod(0);
  const container = await rig.cri.createContainer(workload(await rig.cri.runSandbox(spec), spec));
  await rig.stop();
  // containerd's containerstore.LoadStatus reads <root>/io.containerd.grpc.v1.cri/containers/<id>/status.
  const folder = join(layout(rig.home).root, 'io.containerd.grpc.v1.cri', 'containers', container);
  assert.ok((await readdir(folder)).includes('status'), `no record in ${folder}`);
  return join(folder, 'status');
}

/** What a call over the rig's socket is refused with: our code; the code and words of gRPC, where a server answered. */
async function refusal(rig: RealRig, call: (cri: CriRunner) => Promise<unknown>): Promise<Refusal> {
  const cri = connectCri(layout(rig.home).socket, { readTimeoutMs: 10_000, writeTimeoutMs: 10_000 });
  try {
    await call(cri);
  } catch (error) {
    assert.ok(isSandwardenError(error), String(error));
    const { code: ours, cause } = error;
    return cause instanceof ConnectError && cause.isWireError
      ? { ours, code: Code[cause.code], words: cause.rawMessage }
      : { ours };
  } finally {
    cri.close();
  }
  return { ours: 'none: it was answered' };
}

interface Refusal {
  readonly ours: ErrorCode | 'none: it was answered';
  readonly code?: string | undefined;
  readonly words?: string;
}

/** Makes a pipe of `file`: who reads it waits, and reads at `release` what the file held. */
async function holdRead(file: string) {
  const content = await readFile(file);
  await rm(file);
  await run('mkfifo', [file]);
  let reader: FileHandle | undefined;
  // fifo(7): a writer that does not wait is refused while nobody reads; once it is there, the reader waits for it.
  const take = async () => {
    if (!(await stat(file)).isFIFO()) return undefined;
    reader ??= await open(file, constants.O_WRONLY | constants.O_NONBLOCK).catch((error: unknown) => {
      if (hasCode(error, 'ENXIO')) return undefined;
      throw error;
    });
    return reader;
  };
  return {
    isRead: async () => ((await take()) === undefined ? undefined : true),
    /** Gives the content to all who read it until `end`. */
    release: async (end: Promise<unknown>) => {
      let isOver = false;
      const over = end.then(
        () => (isOver = true),
        () => (isOver = true),
      );
      while (!isOver) {
        await (await take())?.writeFile(content);
        await reader?.close();
        reader = undefined;
        await Promise.race([over, sleep(20)]);
      }
    },
  };
}
