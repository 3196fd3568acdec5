import * as net from 'node:net';
import { hostOf, isLoopback, type KubeProxy, Secret } from '../../kube/access.ts';

/**
 * The proxy in a text (`proxy-url`, `HTTPS_PROXY`), or what is wrong with it. http is assumed where no scheme is
 * written, as Go does.
 */
export function proxyOf(text: string): KubeProxy | { readonly problem: string } {
  const written = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(written)) return { problem: 'is no URL' };
  const url = new URL(written);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return { problem: 'is neither http nor https' };
  if (url.hostname === '') return { problem: 'has no host name' };
  const [user, password] = [url.username, url.password].map(decoded);
  if (user === undefined || password === undefined) return { problem: 'holds a user name that is not escaped well' };
  const bare = new URL(`${url.protocol}//${url.host}`);
  if (user === '') return { url: bare };
  const basic = Buffer.from(`${user}:${password}`, 'utf8').toString('base64');
  return { url: bare, authorization: new Secret(`Basic ${basic}`) };
}

/**
 * What the environment says about the way to `server`: HTTPS_PROXY, unless NO_PROXY names it. This machine is never
 * reached by a proxy. Source: golang.org/x/net http/httpproxy, which kubelet and kubectl go by.
 */
export function proxyOfEnvironment(
  server: URL,
  env: Readonly<Record<string, string | undefined>>,
): KubeProxy | { readonly problem: string } | undefined {
  const proxy = env.HTTPS_PROXY || env.https_proxy;
  if (!proxy || server.protocol !== 'https:' || isLoopback(server.hostname)) return undefined;
  const excepted = (env.NO_PROXY || env.no_proxy || '').split(',').map((each) => each.trim().toLowerCase());
  if (excepted.some((each) => each !== '' && isNamed(server, each))) return undefined;
  return proxyOf(proxy);
}

/** Whether an entry of NO_PROXY names a server: `*`, an address, a range of them, a domain with all in it, a port. */
function isNamed(server: URL, entry: string): boolean {
  if (entry === '*') return true;
  const host = hostOf(server).toLowerCase();
  const [, range, bits] = /^([\da-f.:]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (range !== undefined) return net.isIP(host) > 0 && net.isIP(range) > 0 && inRange(host, range, Number(bits));
  const [, name = '', port] = /^(.*?)(?::(\d+))?$/.exec(net.isIP(entry) ? `[${entry}]` : entry) ?? [];
  if (port !== undefined && port !== (server.port || '443')) return false;
  const bare = name.replace(/^\[|\]$/g, '').replace(/^\*?\./, '.');
  if (bare.startsWith('.')) return host.endsWith(bare);
  return host === bare || (net.isIP(host) === 0 && host.endsWith(`.${bare}`));
}

function inRange(address: string, range: string, bits: number): boolean {
  const family = net.isIPv6(range) ? 'ipv6' : 'ipv4';
  if (bits > (family === 'ipv6' ? 128 : 32)) return false;
  const list = new net.BlockList();
  list.addSubnet(range, bits, family);
  return list.check(address, net.isIPv6(address) ? 'ipv6' : 'ipv4');
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
