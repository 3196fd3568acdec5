/** docs/kubernetes-access.md: the roles that stand there are what the commands need, and all that they need. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { fillFleet } from '../../lab/kube-api/fleet.ts';
import { kubeServer } from '../../lab/kube-api/server.ts';
import { commands } from '../../src/cli/frame/commands.ts';
import { remoteRequest } from '../../src/cli/remote/options.ts';
import { runOnNode } from '../../src/cli/remote/run.ts';
import { fleetReport } from '../../src/diagnose/fleet.ts';
import { readFleet } from '../../src/observe/fleet/read.ts';
import { observeNodeEvents } from '../../src/observe/kube/node-events.ts';
import { rig, says } from '../cli/remote-rig.ts';
import { breakCluster, healerOf, startCluster } from '../csi/cascade.ts';
import { remotePermissions } from '../helpers/remote-permissions.ts';
import { tempDir } from '../helpers/temp.ts';
import { accessTo } from './client-of.ts';

/** What a role of the page allows, as `list pods`, sorted. */
async function role(name: string): Promise<string[]> {
  const page = await readFile(resolve(import.meta.dirname, '../../docs/kubernetes-access.md'), 'utf8');
  const yaml = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].flatMap(([, text = '']) => parseAllDocuments(text));
  const roles = yaml.map((document) => document.toJS() as Role);
  const found = roles.find(({ metadata }) => metadata.name === name);
  assert.ok(found, `the page has no role ${name}`);
  const all = found.rules.flatMap(({ apiGroups: [group = ''], resources, verbs }) =>
    resources.flatMap((each) => verbs.map((verb) => `${verb} ${each}${group === '' ? '' : `.${group}`}`)),
  );
  return all.sort();
}

interface Role {
  readonly metadata: { readonly name: string };
  readonly rules: readonly { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

test('fleet', async () => {
  await using api = await kubeServer();
  fillFleet(api, { nodes: 3, podsPerNode: 3 });
  assert.deepEqual(fleetReport(await readFleet(accessTo(api.url))).missing, []);
  assert.deepEqual(api.permissions(), await role('sandwarden-fleet'));
});

test('check; heal; and the deletion of a VolumeAttachment', async () => {
  await using cluster = await startCluster();
  await breakCluster(cluster);
  const check = await role('sandwarden-check');
  {
    using looking = healerOf(cluster);
    await looking.look();
  }
  assert.deepEqual(cluster.api.permissions(), check);
  const [name, attachments] = ['csi-pvc-db-0', cluster.api.resource('volumeattachments')];
  const before = cluster.api.store.get(attachments, undefined, name);
  const status = { attached: false, attachError: { message: 'rpc error: no such volume' } };
  cluster.api.store.update(attachments, undefined, name, { ...before, status });
  // What the deletion alone has asked for, over what heal asks for in any case.
  const only = [{ code: 'SW305', object: name }];
  const attachment = await role('sandwarden-heal-attachment');
  {
    using healer = healerOf(cluster, { allow: ['safe', 'disruptive', 'destructive'], only, storage: true });
    const { outcome } = await healer.heal({ verifyTimeoutMs: 4_000 });
    assert.equal(outcome.actions[0]?.result, 'done');
  }
  const asked = cluster.api.permissions();
  assert.deepEqual(
    attachment.filter((each) => !asked.includes(each)),
    [],
  );
  const csi = await role('sandwarden-heal-csi');
  assert.deepEqual(
    asked.filter((each) => ![...check, ...csi, ...attachment].includes(each)),
    [],
  );
  using healer = healerOf(cluster);
  await healer.heal();
  assert.deepEqual(cluster.api.permissions(), [...new Set([...check, ...csi, ...attachment])].sort());
});

test('incident lists events and nothing else', async () => {
  await using api = await kubeServer();
  await using home = await tempDir();
  const clusters = [{ name: 'c', cluster: { server: api.url } }];
  const contexts = [{ name: 'c', context: { cluster: 'c' } }];
  await writeFile(home.join('config'), JSON.stringify({ 'current-context': 'c', contexts, clusters }));
  const events = await observeNodeEvents({ env: {}, hostname: 'n1', flag: home.join('config') });
  assert.ok(events.known);
  assert.deepEqual(api.permissions(), await role('sandwarden-incident'));
});

test('--node: what test/cli/remote.test.ts measures stands there; --copy needs one more', async () => {
  assert.deepEqual(await role('sandwarden-node'), remotePermissions);
  await using it = await rig(says(''));
  const request = remoteRequest(['--node', 'n1', '--copy', 'check'], commands);
  assert.equal(request && (await runOnNode(request, it.io, Buffer.from('packed'))), 0);
  const more = it.api.permissions().filter((each) => !remotePermissions.includes(each));
  // Of newer API servers it is `create`.
  assert.deepEqual([...more, 'create pods/attach'].sort(), await role('sandwarden-node-copy'));
});
