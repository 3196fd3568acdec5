/** Watches: what is seen, and that nothing is lost or told twice whatever happens to the connection. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { textAt } from '../../lab/kube-api/objects.ts';
import { type KubeServer, type KubeServerOptions, kubeServer } from '../../lab/kube-api/server.ts';
import type { KubeChange, WatchOptions } from '../../src/kube/watch.ts';
import { clientOf } from './client-of.ts';

interface Seen {
  readonly name: string;
  readonly phase: string;
}

const itemsOf = (page: unknown): Seen[] =>
  (page as { items: unknown[] }).items.map((each) => {
    return { name: textAt(each, 'metadata', 'name'), phase: textAt(each, 'status', 'phase') };
  });

/** A watch of pods under way. */
class Watching implements AsyncDisposable {
  readonly changes: KubeChange<Seen>[] = [];
  /** What is there, by all that was told. */
  readonly state = new Map<string, string>();
  readonly waitedMs: number[] = [];
  readonly #ending = new AbortController();
  readonly #done: Promise<void>;
  #woken: () => void = () => undefined;

  constructor(api: KubeServer, options: Partial<WatchOptions<Seen>> = {}) {
    this.#done = this.#run(api, options);
    this.#done.catch(() => this.#woken());
  }

  async #run(api: KubeServer, options: Partial<WatchOptions<Seen>>): Promise<void> {
    const client = clientOf(api, { timeoutMs: 2_000 });
    const { signal } = this.#ending;
    const sleep = async (ms: number) => void this.waitedMs.push(ms);
    try {
      const watch = client.watch('/api/v1/pods', {
        kind: 'PodList',
        itemsOf,
        signal,
        sleep,
        random: () => 0.5,
        ...options,
      });
      for await (const change of watch) this.#take(change);
    } finally {
      client.close();
    }
  }

  #take(change: KubeChange<Seen>): void {
    this.changes.push(change);
    if (change.type === 'listed') {
      this.state.clear();
      for (const { name, phase } of change.items) this.state.set(name, phase);
    } else if (change.type === 'deleted') this.state.delete(change.item.name);
    else if (change.type !== 'interrupted') this.state.set(change.item.name, change.item.phase);
    this.#woken();
  }

  /** Waits until `what` holds, 10 s at most. */
  async until(what: () => boolean): Promise<void> {
    const late = AbortSignal.timeout(10_000);
    while (!what()) {
      late.throwIfAborted();
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#woken = resolve;
        }),
        this.#done,
        new Promise((resolve) => setTimeout(resolve, 20)),
      ]);
    }
  }

  types(): string[] {
    return this.changes.map(({ type }) => type);
  }

  async [Symbol.asyncDispose]() {
    this.#ending.abort();
    await this.#done;
  }

  /** How it ended by itself. */
  ended(): Promise<void> {
    return this.#done;
  }
}

const pod = (name: string, phase = 'Running', node = 'n1') => {
  return { kind: 'Pod', metadata: { name }, spec: { nodeName: node, containers: [] }, status: { phase } };
};
const setPhase = (api: KubeServer, name: string, phase: string) =>
  api.store.update(api.resource('pods'), 'default', name, pod(name, phase));
const lists = (api: KubeServer) => api.asked.filter(({ verb }) => verb === 'list').length;

describe('a watch', () => {
  test('tells what is there, and each change by its kind', async () => {
    await using api = await kubeServer();
    api.add(pod('a'));
    await using watch = new Watching(api);
    await watch.until(() => api.watches.count === 1);
    api.add(pod('b'));
    setPhase(api, 'a', 'Failed');
    api.store.delete(api.resource('pods'), 'default', 'a', {});
    await watch.until(() => watch.changes.length === 4);
    assert.deepEqual(watch.types(), ['listed', 'added', 'modified', 'deleted']);
    assert.deepEqual([...watch.state], [['b', 'Running']]);
    assert.equal(api.asked.length, 2);
    const { query } = api.asked[1] ?? {};
    assert.equal(query?.get('allowWatchBookmarks'), 'true');
    assert.equal(query?.get('timeoutSeconds'), '450');
  });

  test('what leaves the selector counts as deleted', async () => {
    await using api = await kubeServer();
    api.add(pod('a'));
    await using watch = new Watching(api, { query: { fieldSelector: 'status.phase=Running' } });
    await watch.until(() => api.watches.count === 1);
    setPhase(api, 'a', 'Failed');
    await watch.until(() => watch.changes.length === 2);
    assert.equal(watch.types()[1], 'deleted');
  });

  test('a cut connection is resumed where it was, also in the middle of an event', async () => {
    await using api = await kubeServer();
    await using watch = new Watching(api);
    for (const half of [false, true, false]) {
      await watch.until(() => api.watches.count === 1);
      const name = `p-${watch.changes.length}`;
      api.add(pod(name));
      await watch.until(() => watch.state.has(name));
      api.watches.cut({ half });
      await watch.until(() => api.watches.count === 0);
      api.add(pod(`${name}-meanwhile`));
      await watch.until(() => watch.state.has(`${name}-meanwhile`));
    }
    assert.equal(lists(api), 1);
    assert.equal(watch.state.size, 6);
    const why = watch.changes.flatMap((change) => (change.type === 'interrupted' ? [change.why.code] : []));
    assert.deepEqual(why, ['ERR_KUBE_UNREACHABLE', 'ERR_KUBE_UNREACHABLE', 'ERR_KUBE_UNREACHABLE']);
  });

  test('bookmarks keep the place: what is forgotten before them does not matter', async () => {
    await using api = await kubeServer();
    await using watch = new Watching(api, { query: { fieldSelector: 'spec.nodeName=n1' } });
    await watch.until(() => api.watches.count === 1);
    for (let index = 0; index < 5; index++) api.add(pod(`far-${index}`, 'Running', 'n2'));
    api.watches.bookmark();
    const marked = String(api.store.version);
    api.store.compact();
    api.watches.end();
    await watch.until(() => api.asked.length === 3 && api.watches.count === 1);
    assert.equal(api.asked.at(-1)?.query.get('resourceVersion'), marked);
    api.add(pod('near'));
    await watch.until(() => watch.state.has('near'));
    assert.equal(lists(api), 1);
  });

  test('410 brings the list again, and what vanished meanwhile is gone', async () => {
    await using api = await kubeServer();
    api.add(pod('a', 'Failed'));
    await using watch = new Watching(api);
    await watch.until(() => api.watches.count === 1);
    api.store.subscribe(() => undefined);
    api.watches.cut();
    api.store.delete(api.resource('pods'), 'default', 'a');
    api.add(pod('b'));
    api.store.compact();
    await watch.until(() => watch.state.has('b') && lists(api) === 2);
    assert.deepEqual([...watch.state.keys()], ['b']);
  });

  test('429, 500, half an object and nobody there: it waits longer each time, says so, and goes on', async () => {
    let asked = 0;
    const options: KubeServerOptions = {
      fault: ({ verb }, response) => {
        if (verb !== 'watch' || ++asked > 5) return false;
        if (asked === 1) response.writeHead(429, { 'retry-after': '7' }).end();
        else if (asked === 2) response.writeHead(500).end();
        else if (asked === 3) response.writeHead(200).end('{"type":"ADDED"}\n');
        else if (asked === 4) response.writeHead(200).end('no event\n');
        else response.destroy();
        return true;
      },
    };
    await using api = await kubeServer(options);
    await using watch = new Watching(api);
    await watch.until(() => api.watches.count === 1);
    api.add(pod('a'));
    await watch.until(() => watch.state.has('a'));
    assert.deepEqual(watch.waitedMs, [7_000, 1_600, 3_200, 6_400, 12_800]);
    const why = watch.changes.flatMap((change) => (change.type === 'interrupted' ? [change.why.code] : []));
    assert.deepEqual(why, ['ERR_KUBE_BUSY', ...Array(3).fill('ERR_KUBE_FAILED'), 'ERR_KUBE_UNREACHABLE']);
    assert.equal(lists(api), 1);
  });

  test('a server that ends each watch at once is not asked in a loop', async () => {
    await using api = await kubeServer({
      fault: ({ verb }, response) => {
        if (verb === 'watch') response.writeHead(200).end();
        return verb === 'watch';
      },
    });
    await using watch = new Watching(api);
    await watch.until(() => watch.waitedMs.length >= 6);
    assert.deepEqual(watch.waitedMs.slice(0, 6), [1_600, 3_200, 6_400, 12_800, 25_600, 30_000]);
  });

  test('a server that tells something at once and ends, or forgets, again and again is asked less and less', async () => {
    const bookmark = { type: 'BOOKMARK', object: { metadata: { resourceVersion: '7' } } };
    const gone = { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } };
    for (const [events, waited] of [
      [[bookmark], [1_600, 3_200, 6_400, 12_800, 25_600]],
      // Once it is listed again at once.
      [
        [bookmark, gone],
        [800, 1_600, 3_200, 6_400, 12_800],
      ],
    ] as const) {
      await using api = await kubeServer({
        fault: ({ verb }, response) => {
          const said = events.map((each) => `${JSON.stringify(each)}\n`).join('');
          if (verb === 'watch') response.writeHead(200).end(said);
          return verb === 'watch';
        },
      });
      await using watch = new Watching(api);
      await watch.until(() => watch.waitedMs.length >= 6);
      assert.deepEqual(watch.waitedMs.slice(0, 5), waited);
    }
  });

  test('what waiting does not mend ends it: not allowed, not there', async () => {
    await using api = await kubeServer({ allows: ({ verb }) => verb !== 'watch' });
    const watch = new Watching(api);
    await assert.rejects(watch.ended(), { code: 'ERR_FORBIDDEN', hint: /may watch pods:/ });
    assert.deepEqual(watch.types(), ['listed']);
  });

  test('an event without an end is refused before it fills the memory', async () => {
    const filler = Buffer.alloc(1024 * 1024, 'x');
    let sent = 0;
    await using api = await kubeServer({
      fault: ({ verb }, response) => {
        if (verb !== 'watch' || sent > 0) return false;
        response.writeHead(200);
        const more = () => {
          while (!response.destroyed && sent < 64) {
            sent++;
            if (!response.write(filler)) return void response.once('drain', more);
          }
        };
        more();
        return true;
      },
    });
    await using watch = new Watching(api);
    await watch.until(() => watch.types().includes('interrupted') && api.watches.count === 1);
    assert.ok(sent < 64, `${sent} MiB were taken`);
  });

  test('who stops reading stops the request, and the end is quiet', async () => {
    await using api = await kubeServer();
    const client = clientOf(api);
    const ending = new AbortController();
    const options = { kind: 'PodList', itemsOf, signal: ending.signal };
    for await (const change of client.watch('/api/v1/pods', options)) {
      assert.equal(change.type, 'listed');
      break;
    }
    for await (const _ of client.watch('/api/v1/pods', options)) ending.abort();
    client.close();
  });

  test('whatever is changed and cut, what was told adds up to what is there', async () => {
    const step = fc.record({
      // `put` twice, so that there is something to lose.
      what: fc.constantFrom('put', 'put', 'remove', 'cut', 'half', 'end', 'compact', 'mark'),
      name: fc.constantFrom('a', 'b', 'c'),
      phase: fc.constantFrom('Running', 'Failed', 'Pending'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        await using api = await kubeServer();
        const pods = api.resource('pods');
        await using watch = new Watching(api);
        await watch.until(() => watch.changes.length > 0);
        for (const each of steps) {
          disturb(api, each);
          await new Promise((resolve) => setImmediate(resolve));
        }
        api.add(pod('last'));
        await watch.until(() => watch.state.has('last'));
        const there = api.store.list(pods).map((object) => [object.metadata.name, textAt(object, 'status', 'phase')]);
        assert.deepEqual([...watch.state].sort(), there);
      }),
      { numRuns: 40 },
    );
  });
});

function disturb(api: KubeServer, { what, name, phase }: { what: string; name: string; phase: string }): void {
  const pods = api.resource('pods');
  const isThere = api.store.find(pods, 'default', name) !== undefined;
  if (what === 'cut' || what === 'half') api.watches.cut({ half: what === 'half' });
  else if (what === 'end') api.watches.end();
  else if (what === 'compact') api.store.compact();
  else if (what === 'mark') api.watches.bookmark();
  else if (what === 'put' && isThere) setPhase(api, name, phase);
  else if (what === 'put') api.add(pod(name, phase));
  else if (isThere) api.store.delete(pods, 'default', name, { gracePeriodSeconds: 0 });
}
