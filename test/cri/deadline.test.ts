/**
 * Goal: a deadline is called a deadline, whichever side ends the call. Method: an HTTP/2 server that, like the
 * grpc-go of containerd 2.x, resets the stream with CANCEL just before the client's own timer; and one that does so
 * at once.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { constants, createServer, type ServerHttp2Session } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectCri } from '../../src/cri/connect.ts';
import { isSandwardenError } from '../../src/model/errors.ts';

const timeoutMs = 400;

for (const { resetAfterMs, code, calls } of [
  { resetAfterMs: timeoutMs - 20, code: 'ERR_SOCKET_HUNG', calls: 1 },
  { resetAfterMs: 0, code: 'ERR_CRI_FAILED', calls: 2 },
] as const) {
  test(`a read that is reset after ${resetAfterMs} of ${timeoutMs} ms is ${code}, asked ${calls} times`, async () => {
    await using server = await resettingServer(resetAfterMs);
    const cri = connectCri(server.socket, { readTimeoutMs: timeoutMs });
    try {
      await assert.rejects(cri.version(), (error) => isSandwardenError(error, code));
    } finally {
      cri.close();
    }
    assert.equal(server.calls(), calls);
  });
}

async function resettingServer(resetAfterMs: number) {
  const folder = await mkdtemp(join(tmpdir(), 'sandwarden-reset-'));
  const socket = join(folder, 's.sock');
  const sessions = new Set<ServerHttp2Session>();
  let calls = 0;
  const server = createServer();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream) => {
    calls += 1;
    stream.on('error', () => {});
    setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), resetAfterMs);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    socket,
    calls: () => calls,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
