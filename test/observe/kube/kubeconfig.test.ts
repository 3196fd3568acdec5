import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { SandwardenError } from '../../../src/model/errors.ts';
import { limits } from '../../../src/model/limits.ts';
import { parseKubeconfig, readKubeconfig } from '../../../src/observe/kube/kubeconfig.ts';
import { hasOpenssl, kubeconfigOf, makePki, type Pki } from '../../helpers/kube-api.ts';
import { tempDir } from '../../helpers/temp.ts';

type Folder = Awaited<ReturnType<typeof tempDir>>;

describe('kubeconfig', { skip: hasOpenssl ? false : 'openssl is not installed' }, () => {
  let folder: Folder;
  let pki: Pki;
  /** A valid one, with everything inside. */
  let valid: string;
  before(async () => {
    folder = await tempDir();
    pki = makePki(folder.path);
    valid = kubeconfigOf('https://10.0.0.1:6443', pki.ca, pki.node);
  });
  after(() => folder[Symbol.asyncDispose]());

  const parse = (text: string) => parseKubeconfig(text, folder.join('config'), { from: 'test' });
  /** `valid` with one line in place of the first that matches. */
  const changed = (line: RegExp, to: string) => valid.replace(new RegExp(`^.*${line.source}.*$`, 'm'), to);

  async function refused(text: string): Promise<SandwardenError> {
    const error = await parse(text).then(
      () => assert.fail(`it was taken: ${text.slice(0, 200)}`),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof SandwardenError, inspect(error));
    return error;
  }

  test('everything inside', async () => {
    const access = await parse(valid);
    assert.equal(access.server.href, 'https://10.0.0.1:6443/');
    assert.equal(access.ca, pki.ca);
    assert.equal(access.clientCertificate, pki.node.cert);
    assert.equal(access.clientKey?.reveal(), pki.node.key);
    assert.equal(access.token, undefined);
  });

  test('kubelet’s own: certificate and key in one file; relative paths from the file’s folder', async () => {
    await mkdir(folder.join('pki'));
    await writeFile(folder.join('pki/kubelet-client-current.pem'), pki.node.key + pki.node.cert);
    await writeFile(folder.join('pki/ca.crt'), pki.ca);
    const text = valid
      .replace(/client-certificate-data: .*/, 'client-certificate: pki/kubelet-client-current.pem')
      .replace(/client-key-data: .*/, `client-key: ${folder.join('pki/kubelet-client-current.pem')}`)
      .replace(/certificate-authority-data: .*/, 'certificate-authority: ./pki/ca.crt');
    await writeFile(folder.join('config'), text);
    const access = await readKubeconfig(folder.join('config'), { from: 'test' });
    assert.equal(access?.ca, pki.ca);
    assert.equal(access?.clientKey?.reveal(), pki.node.key + pki.node.cert);
    const missing = await refused(text.replace('pki/ca.crt', 'pki/none.crt'));
    assert.match(missing.message, /config, line 7: 'certificate-authority' names a file that is not there$/);
    assert.equal(await readKubeconfig(folder.join('none'), { from: 'test' }), undefined);
  });

  test('JSON, other names for the server, tls-server-name, and a token file, which goes first', async () => {
    const json = JSON.stringify({
      'current-context': 'a',
      contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }, { name: 'b' }],
      clusters: [
        { name: 'c', cluster: { server: 'api.example:6443/k8s/clusters/c-1', 'tls-server-name': 'kubernetes' } },
      ],
      users: [{ name: 'u', user: { token: 12345, tokenFile: 'token' } }],
    });
    const access = await parse(json);
    assert.equal(access.server.href, 'https://api.example:6443/k8s/clusters/c-1');
    assert.equal(access.serverName, 'kubernetes');
    assert.equal(access.token?.reveal(), '12345');
    await writeFile(folder.join('token'), 'from-file\n');
    assert.equal((await access.source?.current(AbortSignal.timeout(1_000)))?.token?.reveal(), 'from-file');
    const anonymous = changed(/ {4}user: me/, '');
    assert.equal((await parse(anonymous)).clientKey, undefined);
  });

  test('http is for this machine only', async () => {
    for (const server of ['http://127.0.0.1:8080', 'http://localhost:8080', 'http://[::1]:8080']) {
      assert.equal((await parse(changed(/server:/, `    server: ${server}`))).server.protocol, 'http:');
    }
    const hosts = ['http://10.0.0.1', 'http://127.evil.example', 'http://localhost.evil.example', 'http://[::2]'];
    for (const server of hosts) {
      assert.match(
        (await refused(changed(/server:/, `    server: ${server}`))).message,
        /line 6: the server is http to/,
      );
    }
  });

  test('what is broken: file, line, and what to do', async () => {
    const key = Buffer.from(pki.node.key).toString('base64');
    const otherKey = Buffer.from(pki.admin.key).toString('base64');
    const cases: [text: string, message: RegExp][] = [
      ['', /line 1: is empty/],
      ['just a text', /line 1: is empty or no mapping/],
      ['a: [1, 2', /line 1: is no valid YAML \(/],
      [`${valid}\n}`, /line \d+: is no valid YAML/],
      [`${valid}---\n${valid}`, /is no valid YAML \(MULTIPLE_DOCS\)/],
      [`a: ${'['.repeat(500_000)}`, /nests too deep/],
      [changed(/current-context/, ''), /has no current-context/],
      [changed(/current-context/, 'current-context: other'), /line 13: the context that is asked for is not under/],
      [
        changed(/current-context/, 'current-context: default\ncurrent-context: b'),
        /line 13: 'current-context' is given twice/,
      ],
      [changed(/ {4}cluster: local/, '    cluster: other'), /the cluster that is asked for is not under 'clusters'/],
      [changed(/ {4}cluster: local/, ''), /names no cluster/],
      [changed(/ {2}user:$/, '  person:'), /this entry has no 'user'/],
      [changed(/- name: me/, '- name: you'), /the user that is asked for is not under 'users'/],
      [changed(/server:/, ''), /the cluster has no server/],
      [changed(/server:/, '    server: {}'), /line 6: 'server' is no text/],
      [changed(/server:/, '    server: "https://"'), /line 6: the server is no URL/],
      [changed(/server:/, '    server: ftp://10.0.0.1'), /line 6: the server is neither https nor http/],
      [changed(/server:/, '    server: https://me:hunter2@10.0.0.1'), /line 6: the server holds a user name/],
      [
        changed(/server:/, '    server: https://10.0.0.1\n    insecure-skip-tls-verify: true'),
        /line 7: asks not to check/,
      ],
      [changed(/server:/, '    server: https://10.0.0.1\n    insecure-skip-tls-verify: yes'), /neither true nor false/],
      [changed(/server:/, '    server: https://10.0.0.1\n    tls-server-name: "a b"'), /no host name/],
      [changed(/authority-data/, '    certificate-authority-data: "*"'), /line 7: .* is no base64/],
      [changed(/authority-data/, `    certificate-authority-data: ${key}`), /line 7: .* holds no certificate/],
      [changed(/client-key-data/, ''), /without its key/],
      [
        changed(/client-key-data/, `    client-key-data: ${otherKey}`),
        /its client key is not that of its client certificate/,
      ],
      [changed(/client-key-data/, '    client-key: "\\0"'), /'client-key' is no path/],
      [changed(/client-key-data/, '    client-key: .'), /it is no regular file/],
      [`${valid}    token: "a b"`, /line \d+: 'token' is no token/],
      [`${valid}    tokenFile: "\\0"`, /'tokenFile' is no path/],
      [`x: &x me\n${changed(/ {4}user: me/, '    user: *x')}`, /'user' is an alias, which is not followed/],
      [changed(/contexts:/, 'contexts: 1\nothers:'), /'contexts' is no list/],
      [changed(/clusters:/, 'clusters:\n- 1'), /'clusters' holds what is no mapping/],
      [changed(/clusters:/, 'clusters:\n- {name: local, cluster: {server: a}}'), /this cluster is there twice/],
    ];
    for (const [text, message] of cases) {
      const error = await refused(text);
      assert.equal(error.code, 'ERR_CONFIG', error.message);
      assert.match(error.message, message);
      assert.match(error.message, /config|regular file/);
      assert.notEqual(error.hint, '');
    }
  });

  test('what another client could use is not supported', async () => {
    for (const [line, what] of [
      ['    auth-provider: {name: gcp}', "'auth-provider'"],
      ['    username: me', "'username'"],
      ['    as: somebody', "'as'"],
    ] as const) {
      const error = await refused(`${valid}${line}\n`);
      assert.equal(error.code, 'ERR_NOT_SUPPORTED');
      assert.match(error.message, new RegExp(`line 19: uses ${what}, which is not supported yet`));
      assert.match(error.hint, /--kubeconfig FILE/);
    }
  });

  test('secrets are in no dump of the access', async () => {
    const access = await parse(`${valid}    token: hunter2secret\n`);
    assert.equal(access.token?.reveal(), 'hunter2secret');
    const dump = `${inspect(access, { depth: 9, showHidden: true })}${JSON.stringify(access)}${access.token}`;
    assert.doesNotMatch(dump, /hunter2|PRIVATE KEY/);
    assert.match(dump, /\[secret\]/);
  });

  test('a file that is too large, or no file', async () => {
    await writeFile(folder.join('large'), Buffer.alloc(limits.configBytes + 1, '#'));
    for (const name of ['large', '.']) {
      await assert.rejects(readKubeconfig(folder.join(name), { from: 'test' }), { code: 'ERR_CONFIG' });
    }
  });

  test('any mutation of a valid file gives an access or one of our errors, and never a secret of it', async () => {
    const secretive = `${valid}    token: hunter2secret\n`;
    const words = [
      '"',
      "'",
      '[',
      ']',
      '{',
      '}',
      ':',
      '- ',
      '\n',
      '\t',
      '&a ',
      '*a',
      '!!binary ',
      '|',
      '>',
      '\0',
      '<<: *a\n',
    ];
    const change = fc.record({
      at: fc.nat(secretive.length),
      cut: fc.nat(40),
      put: fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'binary', maxLength: 8 })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const text = changes.reduce(
          (each, { at, cut, put }) => each.slice(0, at) + put + each.slice(at + cut),
          secretive,
        );
        try {
          const access = await parse(text);
          assert.ok(access.server instanceof URL);
        } catch (error) {
          assert.ok(error instanceof SandwardenError, inspect(error));
          assert.doesNotMatch(inspect(error), /hunter2|LS0tLS1/);
        }
      }),
      { numRuns: 600 },
    );
  });
});
