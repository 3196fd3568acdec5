import { valueOr } from '../../model/observed.ts';
import type { Rule } from '../rule.ts';
import { describeDate } from '../time.ts';

/** SW201: the last boot ended without a shutdown. */
export const sw201: Rule = {
  code: 'SW201',
  name: 'unclean-shutdown',
  title: 'The last boot ended without a shutdown',
  severity: 'info',
  says: 'power cut, reset or freeze: every sandbox of the last boot came back dead, with its name reserved',
  explanation: `After a shutdown in order the journal of that boot ends with the record of it. Here it does not: the
power went, the kernel froze, or somebody pressed the button.

That alone harms no pod. The runtime lists each sandbox of the last boot as NotReady and keeps its name; kubelet
makes the next attempt beside it and removes the old one within a minute or two. It explains what is found beside
it: a clock that was behind at the next boot (SW202), ghosts (SW101, SW102), half-created sandboxes (SW104).`,
  evidence: 'the last journal entry of that boot, and the shutdown record that is missing',
  remedy: { tier: 'none', text: 'Nothing to do for the pods; find out why the power went.' },
  sources: [
    'systemd src/systemd/sd-messages.h (SD_MESSAGE_SHUTDOWN, SD_MESSAGE_JOURNAL_STOP)',
    'containerd restart.go',
  ],
  needs: ['boots'],
  examine: ({ snapshot }) => {
    const last = valueOr(snapshot.boots, []).findLast((each) => each.end !== 'running');
    if (last?.end !== 'unclean') return [];
    return [
      {
        code: 'SW201',
        severity: 'info',
        object: { kind: 'node', name: 'last boot' },
        why: 'The last boot ended without a shutdown: power cut, reset or freeze.',
        evidence: [
          {
            source: 'boots',
            text:
              `boot ${last.bootId.slice(0, 8)} has no shutdown record; ` +
              `its last journal entry is of ${describeDate(last.lastNs)}`,
            at: { wallNs: last.lastNs, bootId: last.bootId },
          },
        ],
        remedy: { tier: 'none', text: 'see what came before', command: `journalctl -b ${last.bootId} -e` },
        pods: [],
      },
    ];
  },
};
