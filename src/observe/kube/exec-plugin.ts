import { dirname, isAbsolute, join } from 'node:path';
import { type Credential, type CredentialSource, isToken, Secret } from '../../kube/access.ts';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { safeText } from '../../model/safe-text.ts';
import { type Run, run } from '../child.ts';

/** The `exec` of a kubeconfig's user: a program that prints credentials. */
export interface ExecPlugin {
  readonly apiVersion: string;
  /** As it is written; with a slash it lies beside the kubeconfig, else on the PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What the kubeconfig says to who has not got the program. */
  readonly installHint?: string;
  /** What the program is told of the cluster, where it wants to be told. */
  readonly cluster?: object;
}

export interface ExecOptions {
  readonly from: string;
  readonly file: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly wallNs: () => bigint;
  readonly run?: Run;
}

/** The versions of ExecCredential that are spoken; v1alpha1 is gone from client-go since 1.24. */
export const execVersions = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'] as const;

/**
 * Credentials of an exec plugin. It is run without a shell, without a terminal, within `limits.kubeExecMs` or the
 * deadline of the request if that comes first, and again when what it gave has expired or was refused (once each).
 * Source: client-go plugin/pkg/client/auth/exec/exec.go; client-authentication.v1 of the Kubernetes reference.
 */
export function execSource(plugin: ExecPlugin, options: ExecOptions): CredentialSource {
  let held: { readonly credential: Promise<Credential & Expiring>; readonly atNs: bigint } | undefined;
  return {
    current: async (signal) => {
      // A list and a watch that begin at once run the program once.
      held ??= { credential: runPlugin(plugin, options, signal), atNs: options.wallNs() };
      const mine = held;
      try {
        const credential = await mine.credential;
        const { expiresNs } = credential;
        if (expiresNs === undefined || options.wallNs() < expiresNs || mine.atNs >= expiresNs) return credential;
      } catch (error) {
        if (held === mine) held = undefined;
        throw error;
      }
      if (held === mine) held = { credential: runPlugin(plugin, options, signal), atNs: options.wallNs() };
      return held.credential;
    },
    refused: () => {
      const had = held !== undefined;
      held = undefined;
      return had;
    },
  };
}

interface Expiring {
  readonly expiresNs?: bigint;
}

async function runPlugin(
  plugin: ExecPlugin,
  options: ExecOptions,
  signal: AbortSignal,
): Promise<Credential & Expiring> {
  const { apiVersion, command, cluster } = plugin;
  const program = !isAbsolute(command) && command.includes('/') ? join(dirname(options.file), command) : command;
  const info = { apiVersion, kind: 'ExecCredential', spec: { ...(cluster ? { cluster } : {}), interactive: false } };
  const env = { ...options.env, ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) };
  const runner = options.run ?? run;
  const limit = { timeoutMs: limits.kubeExecMs, maxBytes: limits.configBytes };
  try {
    const { stdout } = await runner([program, ...plugin.args], { env, signal, ...limit });
    return credentialOf(stdout, plugin, options);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (!(error instanceof SandwardenError) || error.code === 'ERR_CONFIG') throw error;
    const hint = plugin.installHint === undefined ? error.hint : safeText(plugin.installHint, 300);
    const message = `the exec plugin of ${options.from} gave no credentials: ${error.message}`;
    throw new SandwardenError(error.code, message, { hint, cause: error });
  }
}

/** What the program printed is full of secrets: no error quotes it. */
function credentialOf(text: string, plugin: ExecPlugin, options: ExecOptions): Credential & Expiring {
  const refuse = (what: string) =>
    new SandwardenError('ERR_CONFIG', `the exec plugin '${safeText(plugin.command, 100)}' of ${options.from} ${what}`, {
      hint: 'Run it by hand, or name another kubeconfig with --kubeconfig.',
    });
  const given = parsed(text);
  if (given === undefined) throw refuse('printed no JSON');
  const { apiVersion, kind, status } = given as { apiVersion?: unknown; kind?: unknown; status?: unknown };
  if (kind !== 'ExecCredential' || apiVersion !== plugin.apiVersion) {
    throw refuse(`printed no ExecCredential of ${safeText(plugin.apiVersion, 60)}`);
  }
  const fields = (typeof status === 'object' && status !== null ? status : {}) as Readonly<Record<string, unknown>>;
  const { token, clientCertificateData: certificate, clientKeyData: key, expirationTimestamp: expires } = fields;
  if (token !== undefined && (typeof token !== 'string' || !isToken(token)))
    throw refuse('printed a token that is none');
  if ((typeof certificate === 'string') !== (typeof key === 'string')) {
    throw refuse('printed a client certificate without its key, or a key without it');
  }
  if (token === undefined && certificate === undefined)
    throw refuse('printed neither a token nor a client certificate');
  const expiresMs = typeof expires === 'string' ? Date.parse(expires) : Number.NaN;
  return {
    ...(typeof token === 'string' ? { token: new Secret(token) } : {}),
    ...(typeof certificate === 'string' ? { clientCertificate: certificate } : {}),
    ...(typeof key === 'string' ? { clientKey: new Secret(key) } : {}),
    ...(Number.isNaN(expiresMs) ? {} : { expiresNs: BigInt(expiresMs) * 1_000_000n }),
  };
}

function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
