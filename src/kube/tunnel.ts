import * as http from 'node:http';
import * as https from 'node:https';
import type { Duplex } from 'node:stream';
import { limits } from '../model/limits.ts';
import { hostOf, type KubeProxy } from './access.ts';
import { KubeFault } from './errors.ts';

type Created = (error: Error | null, stream: Duplex) => void;

/** An https agent whose connections go through an HTTP proxy (CONNECT): the proxy sees the name, and nothing inside. */
export class TunnelAgent extends https.Agent {
  readonly #proxy: KubeProxy;

  constructor(proxy: KubeProxy, options: https.AgentOptions) {
    super(options);
    this.#proxy = proxy;
  }

  override createConnection(options: https.RequestOptions, done?: Created): undefined {
    const target = authorityOf(options);
    this.#connect(target).then(
      (socket) => done?.(null, super.createConnection({ ...options, socket } as https.RequestOptions) as Duplex),
      // Whoever waits gets the error; the stream beside it is of no use to anybody.
      (error: Error) => done?.(error, undefined as unknown as Duplex),
    );
  }

  #connect(target: string): Promise<Duplex> {
    const { url, authorization, lookup } = this.#proxy;
    const authorized = authorization === undefined ? {} : { 'proxy-authorization': authorization.reveal() };
    const isTls = url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (isTls ? https : http).request({
        host: hostOf(url),
        port: url.port === '' ? (isTls ? 443 : 80) : Number(url.port),
        method: 'CONNECT',
        path: target,
        headers: { host: target, ...authorized },
        agent: false,
        timeout: limits.connectTimeoutMs,
        ...(lookup === undefined ? {} : { lookup }),
      });
      const failed = (error: Error) => reject(new KubeFault('proxy-refused', { cause: error }));
      request.on('timeout', () => request.destroy(new Error(`no answer of ${url.host}`)));
      request.on('error', failed);
      // A proxy that answers with a body in place of a connection.
      request.on('response', (response) => {
        response.destroy();
        failed(new Error(`${url.host} answered with status ${response.statusCode}`));
      });
      request.on('connect', (response, socket, head) => {
        socket.setTimeout(0);
        if (response.statusCode === 200 && head.length === 0) return resolve(socket);
        socket.destroy();
        failed(new Error(`${url.host} answered with status ${response.statusCode}`));
      });
      request.end();
    });
  }
}

function authorityOf({ host, port }: https.RequestOptions): string {
  const name = host ?? '';
  return `${name.includes(':') ? `[${name}]` : name}:${port ?? 443}`;
}
