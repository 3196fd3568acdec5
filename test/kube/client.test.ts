/** Reading and writing, against the API server of the laboratory. */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { type KubeObject, textAt } from '../../lab/kube-api/objects.ts';
import { type KubeServerOptions, kubeServer } from '../../lab/kube-api/server.ts';
import { Secret } from '../../src/kube/access.ts';
import { connectKube, type KubeClientOptions } from '../../src/kube/client.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { limits } from '../../src/model/limits.ts';
import { accessTo, clientOf } from './client-of.ts';

const pod = (name: string, over: object = {}) => {
  const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] };
  return { kind: 'Pod', metadata: { name }, spec, status: { phase: 'Running' }, ...over };
};

async function opened(options: KubeServerOptions = {}, clientOptions: KubeClientOptions = {}) {
  const api = await kubeServer(options);
  const client = clientOf(api, clientOptions);
  return {
    api,
    client,
    async [Symbol.asyncDispose]() {
      client.close();
      await api[Symbol.asyncDispose]();
    },
  };
}

function answer(response: ServerResponse, code: number, headers: Record<string, string> = {}): void {
  response.writeHead(code, headers).end(JSON.stringify({ kind: 'Status', message: 'as the test wants it', code }));
}

describe('writing', () => {
  test('create, get, patch and delete do what the API stores', async () => {
    await using it = await opened();
    const made = await it.client.create('/api/v1/namespaces/default/pods', pod('web'));
    assert.equal(textAt(made, 'metadata', 'name'), 'web');
    const path = '/api/v1/namespaces/default/pods/web';
    const marked = await it.client.patch(path, { metadata: { labels: { a: 'b' } } });
    assert.equal(textAt(marked, 'metadata', 'labels', 'a'), 'b');
    assert.equal(textAt(await it.client.get(path), 'spec', 'nodeName'), 'n1');
    await it.client.delete(path, { gracePeriodSeconds: 0 });
    await assert.rejects(it.client.get(path), { code: 'ERR_KUBE_NOT_FOUND', message: /pods "web" not found/ });
  });

  test('a pod that was made anew under the same name is not deleted by the uid of the old one', async () => {
    await using it = await opened();
    const { metadata } = it.api.add(pod('web'));
    const path = '/api/v1/namespaces/default/pods/web';
    const wrong = { preconditions: { uid: 'of-the-old-one' } };
    await assert.rejects(it.client.delete(path, wrong), { code: 'ERR_KUBE_CONFLICT', message: /UID in precondition/ });
    const old = { preconditions: { uid: metadata.uid, resourceVersion: '1' } };
    await assert.rejects(it.client.delete(path, old), { code: 'ERR_KUBE_CONFLICT' });
    assert.equal(textAt(await it.client.get(path), 'metadata', 'deletionTimestamp'), '');
    const right = { preconditions: { uid: metadata.uid, resourceVersion: metadata.resourceVersion } };
    await it.client.delete(path, right);
    assert.notEqual(textAt(await it.client.get(path), 'metadata', 'deletionTimestamp'), '');
    await it.client.delete(path, { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } });
    await assert.rejects(it.client.delete(path), { code: 'ERR_KUBE_NOT_FOUND' });
  });

  test('a patch with a resourceVersion is refused where somebody else was faster; apply makes what is not there', async () => {
    await using it = await opened();
    const { metadata } = it.api.add(pod('web'));
    const path = '/api/v1/namespaces/default/pods/web';
    await it.client.patch(path, { metadata: { labels: { a: 'first' } } });
    const late = { metadata: { resourceVersion: metadata.resourceVersion, labels: { a: 'second' } } };
    await assert.rejects(it.client.patch(path, late), { code: 'ERR_KUBE_CONFLICT', hint: /look again/ });
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { k: 'v' } };
    await it.client.patch('/api/v1/namespaces/default/configmaps/c', map, { type: 'apply', force: true });
    const { query } = it.api.asked.at(-1) ?? {};
    assert.deepEqual([query?.get('fieldManager'), query?.get('force')], ['sandwarden', 'true']);
    const stored = it.api.store.get(it.api.resource('configmaps'), 'default', 'c') as KubeObject;
    assert.deepEqual(stored.data, { k: 'v' });
  });

  test('what may not be done is named in the words of RBAC', async () => {
    await using it = await opened({ allows: ({ verb }) => verb === 'list' });
    const pods = '/api/v1/namespaces/kube-system/pods';
    const cases: [Promise<unknown>, string][] = [
      [it.client.delete(`${pods}/web`), 'delete pods in kube-system'],
      [it.client.create(`${pods}/web/eviction`, {}), 'create pods/eviction in kube-system'],
      [it.client.get('/api/v1/nodes/n1'), 'get nodes'],
      [it.client.patch('/apis/apps/v1/namespaces/a/statefulsets/db', {}), 'patch statefulsets.apps in a'],
    ];
    for (const [refused, permission] of cases) {
      await assert.rejects(refused, (error: { code: string; hint: string; message: string }) => {
        assert.equal(error.code, 'ERR_FORBIDDEN');
        assert.match(error.message, /forbids it: .*User "tester" cannot/);
        assert.ok(error.hint.includes(`may ${permission}:`), error.hint);
        return true;
      });
    }
  });
});

describe('a server in trouble', () => {
  /** Answers the first requests with a fault. */
  const first = (count: number, fault: (response: ServerResponse) => void): KubeServerOptions => {
    let asked = 0;
    return {
      fault: (_asked, response) => {
        if (++asked > count) return false;
        fault(response);
        return true;
      },
    };
  };

  test('429 with Retry-After is waited for, also by a write; without it, or too late, it is said', async () => {
    const busy = (response: ServerResponse) => answer(response, 429, { 'retry-after': '0' });
    await using it = await opened(first(3, busy));
    await it.client.create('/api/v1/namespaces/default/pods', pod('web'));
    assert.equal(it.api.asked.length, 4);
    assert.equal(it.api.store.list(it.api.resource('pods')).length, 1);

    await using always = await opened(first(100, busy));
    await assert.rejects(always.client.get('/api/v1/nodes/n'), {
      code: 'ERR_KUBE_BUSY',
      hint: 'Try again later.',
    });
    assert.equal(always.api.asked.length, limits.kubeTries);

    await using late = await opened(first(1, (response) => answer(response, 429, { 'retry-after': '60' })));
    await assert.rejects(late.client.get('/api/v1/nodes/n'), { code: 'ERR_KUBE_BUSY', hint: /in 60 s/ });
    assert.equal(late.api.asked.length, 1);
  });

  test('500 with Retry-After: a read is repeated, a write is not, since it may have been done', async () => {
    const broken = (response: ServerResponse) => answer(response, 500, { 'retry-after': '0' });
    await using reads = await opened(first(1, broken));
    await assert.rejects(reads.client.get('/api/v1/nodes/n'), { code: 'ERR_KUBE_NOT_FOUND' });
    await using writes = await opened(first(1, broken));
    await assert.rejects(writes.client.create('/api/v1/namespaces/default/pods', pod('web')), {
      code: 'ERR_KUBE_FAILED',
      message: /status 500: as the test wants it/,
    });
    assert.equal(writes.api.asked.length, 1);
  });

  test('a 404 of something in between does not say that the object is gone', async () => {
    await using it = await opened(first(2, (response) => response.writeHead(404).end('not here')));
    await assert.rejects(it.client.get('/api/v1/nodes/n'), { code: 'ERR_KUBE_FAILED' });
    await assert.rejects(it.client.delete('/api/v1/nodes/n'), { code: 'ERR_KUBE_FAILED' });
  });

  test('half a JSON object, and a list that lost its pages twice', async () => {
    await using half = await opened(first(1, (response) => response.writeHead(200).end('{"kind":"Po')));
    await assert.rejects(half.client.get('/api/v1/nodes/n'), { code: 'ERR_KUBE_FAILED', message: /no JSON/ });
    await using gone = await opened(first(2, (response) => answer(response, 410)));
    const listing = gone.client.list('/api/v1/pods', { kind: 'PodList', itemsOf: () => [] });
    await assert.rejects(listing, { code: 'ERR_KUBE_FAILED', message: /status 410/ });
  });

  test('a write that hangs ends at its own deadline, a stream only has to begin', async () => {
    await using it = await opened(
      first(1, () => undefined),
      { timeoutMs: 50, writeTimeoutMs: 150 },
    );
    const started = performance.now();
    await assert.rejects(it.client.delete('/api/v1/nodes/n'), {
      code: 'ERR_KUBE_UNREACHABLE',
      message: /within 0.15 s/,
    });
    assert.ok(performance.now() - started >= 140);
  });
});

describe('streams', () => {
  test('a log that is followed comes as it is written, and ends with the signal', async () => {
    const log = Promise.withResolvers<void>();
    await using it = await opened(
      {
        logOf: async function* (_pod, query, signal) {
          assert.equal(query.get('follow'), 'true');
          yield 'first\n';
          await log.promise;
          yield 'second\n';
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        },
      },
      { timeoutMs: 500 },
    );
    it.api.add(pod('web'));
    const ending = new AbortController();
    const seen: string[] = [];
    for await (const chunk of it.client.stream('/api/v1/namespaces/default/pods/web/log?follow=true', ending.signal)) {
      seen.push(chunk.toString('utf8'));
      if (seen.length === 1) log.resolve();
      else ending.abort();
    }
    assert.deepEqual(seen, ['first\n', 'second\n']);
  });

  test('a token that is refused at the beginning of a stream is asked for again, once', async () => {
    const [shown, log] = [[] as (string | undefined)[], ['from the log\n']];
    const authenticates = ({ headers }: IncomingMessage) => {
      shown.push(headers.authorization);
      return headers.authorization === 'Bearer t2';
    };
    await using api = await kubeServer({
      authenticates,
      logOf: async function* () {
        yield* log;
      },
    });
    api.add(pod('web'));
    const path = '/api/v1/namespaces/default/pods/web/log';
    for (const [tokens, expected] of [
      [['t1', 't2'], 'from the log\n'],
      [['t1', 't3', 't2'], 'ERR_FORBIDDEN'],
    ] as const) {
      const left: string[] = [...tokens];
      const source = {
        current: () => Promise.resolve({ token: new Secret(left[0] ?? '') }),
        refused: () => left.shift() !== undefined,
      };
      const client = connectKube(accessTo(api.url, { source }));
      const read = async () => {
        let text = '';
        for await (const chunk of client.stream(path, new AbortController().signal)) text += chunk.toString('utf8');
        return text;
      };
      const got = await read().catch((error: unknown) => (isSandwardenError(error) ? error.code : String(error)));
      client.close();
      assert.equal(got, expected);
    }
    assert.deepEqual(shown, ['Bearer t1', 'Bearer t2', 'Bearer t1', 'Bearer t3']);
  });

  test('a stream that is refused, and one that is cut, say so', async () => {
    await using it = await opened({ allows: () => false });
    const read = async (path: string) => {
      for await (const _ of it.client.stream(path, new AbortController().signal));
    };
    await assert.rejects(read('/api/v1/namespaces/a/pods/web/log'), {
      code: 'ERR_FORBIDDEN',
      hint: /may get pods\/log in a:/,
    });
    await using cut = await opened({
      fault: (_asked, response) => {
        response.writeHead(200).write('x', () => response.socket?.destroy());
        return true;
      },
    });
    await assert.rejects(
      async () => {
        for await (const _ of cut.client.stream('/api/v1/namespaces/a/pods/web/log', new AbortController().signal));
      },
      { code: 'ERR_KUBE_UNREACHABLE', message: /cut the connection/ },
    );
  });
});
