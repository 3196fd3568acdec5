import type { LookupAddress } from 'node:dns';
import * as net from 'node:net';
import { inspect } from 'node:util';

/** What it takes to talk to one API server. Its secrets show themselves in no message, dump or snapshot. */
export interface KubeAccess {
  /** How it was chosen, for the evidence: `--kubeconfig FILE`, `/etc/kubernetes/kubelet.conf` … */
  readonly from: string;
  readonly server: URL;
  /** The name that the server's certificate must have, where it is not that of the URL. */
  readonly serverName?: string;
  /** PEM; without it the certificate authorities that Node brings along. */
  readonly ca?: string;
  /** PEM, the node's own certificate first. */
  readonly clientCertificate?: string;
  readonly clientKey?: Secret;
  readonly token?: Secret;
  /** Who we are where that changes with time (a token file, an exec plugin); what it gives goes before the above. */
  readonly source?: CredentialSource;
  /** How the server's name is looked up; Node's own look-up, which cannot be ended, where absent. */
  readonly addressesOf?: AddressesOf;
  /** Told the `Date` of each answer, nanoseconds since 1970: by the server's own clock its objects are judged. */
  readonly onDate?: (dateNs: bigint) => void;
  /** The proxy that the server is reached through. */
  readonly proxy?: KubeProxy;
  /** This machine's wall clock: certificates are valid or not by it, and errors say so. */
  readonly wallNs: () => bigint;
}

/** An HTTP proxy. Its user name and password are in the header and not in the URL. */
export interface KubeProxy {
  readonly url: URL;
  /** The value of Proxy-Authorization. */
  readonly authorization?: Secret;
  readonly lookup?: net.LookupFunction;
}

/** What a server is shown to prove who we are; each part may be absent. */
export interface Credential {
  readonly token?: Secret;
  readonly clientCertificate?: string;
  readonly clientKey?: Secret;
}

export interface CredentialSource {
  /** What holds now; asked before each request. Throws ERR_CONFIG and the like where there is none. */
  current(signal: AbortSignal): Promise<Credential>;
  /** The server did not accept what `current` gave. Whether asking again may give something else. */
  refused?(): boolean;
}

/** The addresses behind a name; undefined where Node should look it up itself. Throws KubeFault `unknown-host`. */
export type AddressesOf = (
  name: string,
  options: { readonly signal: AbortSignal; readonly timeoutMs: number },
) => Promise<LookupAddress[] | undefined>;

/** A text that must not be shown: printing, dumping or serialising it gives `[secret]`. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

/**
 * The URL of an API server, or what is wrong with it. https is assumed where no scheme is written (as client-go does);
 * http is taken for this machine only: a token would go over the wire as it is.
 */
export function serverUrl(text: string): URL | { readonly problem: string } {
  const written = text.includes('://') ? text : `https://${text}`;
  if (!URL.canParse(written)) return { problem: 'is no URL' };
  const url = new URL(written);
  if (url.username !== '' || url.password !== '') return { problem: 'holds a user name or a password' };
  if (!/^\[?[a-z0-9][a-z0-9.:_-]*\]?$|^\[::/.test(url.hostname)) return { problem: 'has no host name' };
  if (url.search !== '' || url.hash !== '') return { problem: 'holds a query' };
  if (url.protocol === 'https:') return url;
  if (url.protocol !== 'http:') return { problem: 'is neither https nor http' };
  return isLoopback(url.hostname) ? url : { problem: 'is http to another machine, which would show its secrets' };
}

/** Whether a token can stand in a header (RFC 6750 takes less than this). */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

/** A URL's host as connect(2) wants it, without the brackets of IPv6. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** Whether a URL's host is this machine. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || host === '::1' || (net.isIPv4(host) && host.startsWith('127.'));
}
