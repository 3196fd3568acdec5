import * as net from 'node:net';
import type { AddressesOf } from '../../kube/access.ts';
import { KubeFault } from '../../kube/errors.ts';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { type Run, run } from '../child.ts';

/**
 * The addresses behind a server's name, by getent(1); Node looks it up itself where that is not installed. Node's own
 * look-up (getaddrinfo) cannot be ended: with the name servers down it would hold the whole program for half a minute.
 */
export function addressesByGetent(runner: Run = run): AddressesOf {
  return async (name, { signal, timeoutMs }) => {
    try {
      const { stdout } = await abortable(
        runner(['getent', 'ahosts', name], { timeoutMs, maxBytes: limits.configBytes }),
        signal,
      );
      const first = stdout.split('\n').map((line) => line.split(/\s/)[0] ?? '');
      const addresses = [...new Set(first)].filter((each) => net.isIP(each));
      if (addresses.length === 0) throw new KubeFault('unknown-host');
      return addresses.map((address) => ({ address, family: net.isIP(address) }));
    } catch (error) {
      if (!(error instanceof SandwardenError)) throw error;
      if (error.code === 'ERR_COMMAND_MISSING') return undefined;
      throw new KubeFault('unknown-host', { cause: error });
    }
  };
}

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
