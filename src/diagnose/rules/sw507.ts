import type { Evidence, Finding } from '../../model/finding.ts';
import type { ConfigWriter } from '../../model/runtime-config.ts';
import { shellLine } from '../../model/shell-word.ts';
import { configOf, filesNow, liveSettings, place } from '../config/drivers.ts';
import type { Facts } from '../facts.ts';
import { writersGap } from '../needs.ts';
import type { Rule } from '../rule.ts';
import { describeDuration } from '../time.ts';

/** SW507: what writes the runtime's configuration and the runtime's start race at boot. */
export const sw507: Rule = {
  code: 'SW507',
  name: 'boot-order-race',
  title: "A unit that writes the runtime's configuration is not ordered before the runtime",
  severity: 'error',
  says: "a unit that writes the runtime's configuration at boot may run after the runtime's start",
  explanation: `The runtime reads its configuration once. Where a unit writes that at boot and nothing orders it before
the runtime, the two race: on one boot the runtime starts with the new files, on the next with those of the image or
with its defaults, in which SystemdCgroup is false. The files look right either way (SW505).

\`nodeadm-config.service\` and \`nodeadm-run.service\` (EKS, Amazon Linux 2023) have no order towards
\`containerd.service\`: an image that enables containerd at boot, or user data that starts it, loses the race.
Tools that write it and then restart the runtime themselves (nvidia-ctk, kata-deploy) do so a moment later. What is
ordered after the runtime and made no difference is not told.

Such a unit is known by its name, by the text of what it runs (its command, a script, the user data of cloud-init), and,
where no text tells, by the date of the files: they were last written at a moment at which this unit, and no other, was
at what it does at its start. That needs systemd 247, and a wall clock that was not stepped since.

An order is enough: \`After=\` in a drop-in of the runtime, without \`Requires=\`.`,
  evidence:
    'the unit, what it runs, its order, when it ran at this boot, when the file was written and the runtime started',
  remedy: { tier: 'disruptive', text: "A drop-in for the runtime's unit: After= the unit that writes." },
  sources: [
    'systemd.unit(5), Before=, After=; systemctl show (the order in force, when each unit ran by both clocks)',
    'awslabs/amazon-eks-ami issue 2702, pull request 2705, issue 2729',
  ],
  needs: (facts) => ['runtimeConfig', ...writersGap(facts)],
  examine: (facts) => {
    const writers = configOf(facts)?.writers ?? [];
    return writers.filter((each) => !each.orderedBefore).flatMap((each) => findingOf(facts, each));
  },
};

function findingOf(facts: Facts, writer: ConfigWriter): Finding[] {
  const { unit, runtimeUnit, lastWrote, startedUs, doneUs, runtimeStartedUs } = writer;
  // What did not run in this boot is no part of it: a unit that was disabled, or is run by hand.
  if (startedUs === undefined || runtimeStartedUs === undefined) return [];
  const lost = (lastWrote?.atUs ?? doneUs ?? startedUs) > runtimeStartedUs;
  const stale = lost && isStale(facts);
  // Whoever is ordered after the runtime does not race it: it restarts the runtime itself, or only reads.
  if (writer.orderedAfter === true && !stale) return [];
  const at = (moment: bigint) => describeDuration(moment * 1_000n);
  const ended = doneUs === undefined ? 'and has not ended' : `and was done ${at(doneUs)} after`;
  const ran = `${unit} was started ${at(startedUs)} after the boot ${ended}; ${runtimeUnit} at ${at(runtimeStartedUs)}`;
  const evidence: Evidence[] = [
    { source: 'runtimeConfig', text: `${writer.at ? `${place(writer.at)}: ` : ''}${writer.how}` },
    { source: 'runtimeConfig', text: ran },
    ...(lastWrote ? [{ source: 'runtimeConfig' as const, text: writtenAt(lastWrote) }] : []),
    { source: 'runtimeConfig', text: `${runtimeUnit} has no After= that leads to ${unit}` },
  ];
  return [
    {
      code: 'SW507',
      severity: stale ? 'error' : lost ? 'warning' : 'info',
      object: { kind: 'runtime', name: unit },
      why: stale
        ? `${unit} wrote the runtime's configuration after the runtime had started: the old values are in force.`
        : lost
          ? `${unit} writes the runtime's configuration and ran after its start; this time it made no difference.`
          : `${unit} writes the runtime's configuration and only happened to run before the runtime's start.`,
      evidence,
      remedy: {
        tier: 'disruptive',
        text:
          `order it: [Unit] After=${unit} in a drop-in of ${runtimeUnit}` +
          (stale ? '; restart the runtime, then kubelet' : ''),
        // What could wait for the runtime itself is for a person to order.
        command:
          writer.startsUnits === false && writer.orderedAfter !== true
            ? 'sandwarden heal --allow=disruptive --only SW507'
            : shellLine('systemctl', 'edit', runtimeUnit),
      },
      pods: [],
    },
  ];
}

function writtenAt({ path, atUs }: NonNullable<ConfigWriter['lastWrote']>): string {
  return `${path} was last written ${describeDuration(atUs * 1_000n)} after the boot, by its date`;
}

function isStale(facts: Facts): boolean {
  const [live, files] = [liveSettings(facts), filesNow(configOf(facts))];
  if (live === undefined || files === undefined) return false;
  const given = new Map(files.handlers.map((each) => [each.name, each.systemdCgroup]));
  return live.handlers.some((each) => given.has(each.name) && given.get(each.name) !== each.systemdCgroup);
}
