import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../run.ts';

/** Who asks the API server: a name and groups, as Kubernetes reads them from a certificate's subject. */
export interface Subject {
  readonly name: string;
  readonly groups?: readonly string[];
}

/** An authority of one cluster: keys and certificates in `folder`, by openssl. */
export interface Authority {
  readonly certificate: string;
  /** The files of a client's certificate and key. */
  client(file: string, subject: Subject): Promise<{ certificate: string; key: string }>;
  server(file: string): Promise<{ certificate: string; key: string }>;
  /** A pair of keys that sign the tokens of service accounts. */
  tokenKeys(): Promise<{ sign: string; verify: string }>;
}

/** Makes a new one. Throws an Error with what openssl said. */
export async function authorityIn(folder: string): Promise<Authority> {
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => run('openssl', args);
  const [authority, authorityKey] = [at('ca.crt'), at('ca.key')];
  const self = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=sandwarden-lab'];
  await openssl(...self, '-keyout', authorityKey, '-out', authority);
  const issue = async (file: string, subject: string, extension: string) => {
    const [key, request, certificate, extensions] = ['key', 'csr', 'crt', 'ext'].map((each) => at(`${file}.${each}`));
    if (!key || !request || !certificate || !extensions) throw new Error('four names');
    await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', subject, '-keyout', key, '-out', request);
    await writeFile(extensions, `${extension}\n`);
    const by = ['-CA', authority, '-CAkey', authorityKey, '-CAcreateserial', '-days', '2', '-extfile', extensions];
    await openssl('x509', '-req', '-in', request, '-out', certificate, ...by);
    return { certificate, key };
  };
  return {
    certificate: authority,
    client: (file, { name, groups = [] }) => {
      const subject = `/CN=${name}${groups.map((each) => `/O=${each}`).join('')}`;
      return issue(file, subject, 'extendedKeyUsage=clientAuth');
    },
    server: (file) => issue(file, '/CN=kube-apiserver', 'subjectAltName=IP:127.0.0.1,DNS:localhost'),
    tokenKeys: async () => {
      const [sign, verify] = [at('tokens.key'), at('tokens.pub')];
      await openssl('genrsa', '-out', sign, '2048');
      await openssl('rsa', '-in', sign, '-pubout', '-out', verify);
      return { sign, verify };
    },
  };
}
