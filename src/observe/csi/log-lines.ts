import type { Moment, RegistrationFailed, VolumeFailed } from '../../model/records.ts';
import { Fold } from '../fold.ts';
import { plainQuotes } from '../logfmt.ts';

/**
 * What kubelet's log says of plugins and volumes, folded. Only lines of severity E and W are given.
 * Sources: pkg/kubelet/pluginmanager/operationexecutor operation_generator.go (RegisterPlugin error -- …);
 * pkg/volume/util/operationexecutor operation_generator.go with types.go GenerateMsgDetailed (UniqueName, pod, UID),
 * the same from 1.20 to 1.36.
 */
export class CsiLines {
  readonly #registrations = new Fold<Omit<RegistrationFailed, 'count' | 'first' | 'last'>>();
  readonly #volumes = new Fold<Omit<VolumeFailed, 'count' | 'first' | 'last'>>();

  add(text: string, at: Moment): void {
    if (text.includes('RegisterPlugin error')) this.#addRegistration(text, at);
    if (text.includes('kubernetes.io/csi/')) this.#addVolume(text, at);
  }

  result(): { registrationFailed: RegistrationFailed[]; volumeFailed: VolumeFailed[] } {
    return { registrationFailed: this.#registrations.list(), volumeFailed: this.#volumes.list() };
  }

  #addRegistration(text: string, at: Moment): void {
    const found = /RegisterPlugin error -- [^\n]{1,60}? socket (\/[^\s,"]{1,300}),? err: ([^\n]{1,300})/.exec(
      plainQuotes(text),
    );
    const [, socket, error] = found ?? [];
    if (socket === undefined || error === undefined) return;
    this.#registrations.add(socket, at, { socket, error: withoutEnd(error) });
  }

  #addVolume(text: string, at: Moment): void {
    const plain = plainQuotes(text);
    const found = FAILED.exec(plain);
    const [, driver, podName, podUid, after = ''] = found ?? [];
    if (driver === undefined || podName === undefined || podUid === undefined) return;
    // Where it waits for the attacher the words stand before: `Volume not attached according to node status for …`.
    const error = after === '' ? (BEFORE.exec(plain.slice(0, found?.index))?.[1] ?? '') : after;
    this.#volumes.add(
      `${driver} ${podUid}`,
      at,
      { driver, podName, podUid, error: withoutEnd(error).slice(0, 300) },
      (_old, next) => next,
    );
  }
}

/** Up to 1.20 the whole error stands in quotes, of which only the second is left at its end. */
function withoutEnd(error: string): string {
  const quotes = error.split('"').length - 1;
  return quotes % 2 === 1 ? error.replace(/"$/, '') : error;
}

const BEFORE = /(?:Error: |err=")([^\n"]{1,300}?) for volume "/;

const FAILED =
  /\(UniqueName: "kubernetes\.io\/csi\/([^"^]{1,100})\^[^"]{0,300}"\) pod "([^"]{1,253})" \(UID: "([\w-]{1,64})"\) ?:? ?([^\n]*)/;
