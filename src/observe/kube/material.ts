import { X509Certificate } from 'node:crypto';
import { isAbsolute, join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { KubeAccess } from '../../kube/access.ts';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { readText } from '../read-file.ts';
import type { Fields } from './yaml-fields.ts';

/** A configuration file, undefined where it is not there. Throws ERR_FORBIDDEN, or ERR_CONFIG where it is no file. */
export async function readConfig(path: string): Promise<string | undefined> {
  try {
    return await readText(path, limits.configBytes);
  } catch (error) {
    if (!(error instanceof SandwardenError) || error.code !== 'ERR_FILE') throw error;
    throw new SandwardenError('ERR_CONFIG', error.message, { hint: error.hint, cause: error });
  }
}

/** Where the paths of a kubeconfig lie: relative ones beside it, absolute ones below `root`. */
export interface Files {
  readonly folder: string;
  readonly root: string;
}

/** A certificate or key from KEY-data (base64), which goes first as in client-go, or from the file that KEY names. */
export async function pem(fields: Fields, key: string, label: string, files: Files): Promise<string | undefined> {
  const data = fields.text(`${key}-data`);
  const at = data === undefined ? key : `${key}-data`;
  const text = data === undefined ? await fileOf(fields, key, files) : decoded(fields, at, data);
  if (text === undefined) return undefined;
  // "EC PRIVATE KEY" and "RSA PRIVATE KEY" are keys too; an encrypted one cannot be used without asking.
  if (new RegExp(`-----BEGIN (?:EC |RSA )?${label}-----`).test(text)) return text;
  throw fields.error(at, `'${at}' holds no ${label === 'CERTIFICATE' ? 'certificate' : 'unencrypted key'} (PEM)`);
}

function decoded(fields: Fields, key: string, data: string): string {
  const packed = data.replace(/\s/g, '');
  if (packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(packed)) {
    throw fields.error(key, `'${key}' is no base64`);
  }
  return Buffer.from(packed, 'base64').toString('latin1');
}

async function fileOf(fields: Fields, key: string, files: Files): Promise<string | undefined> {
  const path = pathOf(fields, key, files);
  if (path === undefined) return undefined;
  const text = await readConfig(path);
  if (text === undefined) throw fields.error(key, `'${key}' names a file that is not there`);
  return text;
}

/** The path that KEY names, undefined where it is absent. */
export function pathOf(fields: Fields, key: string, files: Files): string | undefined {
  const path = fields.text(key);
  if (path === undefined) return undefined;
  if (path.includes('\0')) throw fields.error(key, `'${key}' is no path`);
  return isAbsolute(path) ? `${files.root}${path}` : join(files.folder, path);
}

/** OpenSSL looks at certificates and key now, so that nothing but the network can fail later. */
export function checkMaterial(access: KubeAccess, at: Fields): void {
  const { ca, clientCertificate, clientKey } = access;
  try {
    for (const each of [ca, clientCertificate]) if (each !== undefined) new X509Certificate(each);
    createSecureContext({
      ...(ca === undefined ? {} : { ca }),
      ...(clientCertificate === undefined ? {} : { cert: clientCertificate }),
      ...(clientKey === undefined ? {} : { key: clientKey.reveal() }),
    });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    const mismatch = error.code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH';
    const what = mismatch ? 'its client key is not that of its client certificate' : 'a certificate or key is broken';
    throw at.error('', `${what} (${String(error.code)})`);
  }
}
