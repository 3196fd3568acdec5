import { type CredentialSource, isToken, Secret } from '../../kube/access.ts';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { readText } from '../read-file.ts';

/** The token in a file, read for each request since such tokens are turned over. `from` names the credentials. */
export function tokenFileSource(path: string, from: string): CredentialSource {
  return {
    current: async () => {
      const text = (await readText(path, limits.configBytes))?.trim();
      if (text !== undefined && isToken(text)) return { token: new Secret(text) };
      throw new SandwardenError('ERR_CONFIG', `the token file of ${from} is missing or holds no token`, {
        hint: 'See tokenFile in the kubeconfig, or name another one with --kubeconfig.',
      });
    },
  };
}
