/** docs/kubernetes-access.md: the roles that stand there are what the commands need, and all that they need. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { fillFleet } from '../../lab/kube-api/fleet.ts';
import { kubeServer } from '../../lab/kube-api/server.ts';
import { fleetReport } from '../../src/diagnose/fleet.ts';
import { readFleet } from '../../src/observe/fleet/read.ts';
import { listPodsOfNode } from '../../src/observe/kube/pods.ts';
import { remotePermissions } from '../helpers/remote-permissions.ts';
import { accessTo, clientOf } from './client-of.ts';

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

test('check lists pods with nothing else', async () => {
  await using api = await kubeServer();
  const client = clientOf(api);
  await listPodsOfNode(client, 'n1');
  client.close();
  for (const permission of api.permissions()) assert.ok((await role('sandwarden-check')).includes(permission));
});

test('--node: what test/cli/remote.test.ts measures stands there', async () => {
  assert.deepEqual(await role('sandwarden-node'), remotePermissions);
});
