// Goal: what heal writes into containerd's files is what containerd then runs with, and what it would refuse never
// stays. Method: a real containerd of each version with SystemdCgroup off in the ways that its version knows; the
// product looks, plans, writes, asks `config dump` and restarts; systemd is played. What containerd reads and runs with
// is asked beside the product.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { allFlavours, type Flavour, flavours } from '../../lab/flavours.ts';
import { sha256Of } from '../../src/heal/backups.ts';
import type { Action, Outcome, Plan } from '../../src/model/plan.ts';
import type { HandlerSettings } from '../../src/model/runtime-config.ts';
import { ConfigNode } from './config-node.ts';

const lab = await labAvailable();
const skip = lab.ok ? false : lab.why;

const criOf = (version: number) => `plugins."io.containerd.${version === 3 ? 'cri.v1.runtime' : 'grpc.v1.cri'}"`;
const options = (version: number) => `[${criOf(version)}.containerd.runtimes.runc.options]\n`;
const isOn = (settings: HandlerSettings | undefined) =>
  settings?.handlers.find((each) => each.name === 'runc')?.systemdCgroup;
const results = ({ actions }: Outcome) => actions.map((each) => `${each.action.kind} ${each.result}`);
const allDone = ['write-config done', 'restart-runtime done', 'restart-kubelet done'];
const units = ['containerd.service', 'kubelet.service'];

interface Case {
  readonly title: string;
  readonly flavours: readonly Flavour[];
  readonly edit: (base: string, version: number, home: string) => string;
  readonly more?: (version: number) => Readonly<Record<string, string>>;
  /** The finding that it is healed for, and the file that is written. */
  readonly code: string;
  readonly writes: string;
}

const set = (value: boolean) => (base: string, version: number) =>
  base.replace(options(version), `${options(version)}  SystemdCgroup = ${value}\n`);
// 1.6.20 takes a relative pattern for one of its own working directory.
const importing = (home: string, base: string) =>
  base.replace(/^(version = \d\n)/, `$1imports = ["${home}/conf.d/*.toml"]\n`);

const cases: readonly Case[] = [
  {
    title: 'false in the file',
    flavours: allFlavours,
    edit: set(false),
    code: 'SW503',
    writes: 'config.toml',
  },
  {
    title: 'an import that mentions the plugin wipes its table',
    flavours: ['1.6', '1.7'],
    edit: (base, version, home) => importing(home, set(true)(base, version)),
    more: (version) => ({
      'conf.d/registry.toml': `version = 2\n[${criOf(version)}]\n  restrict_oom_score_adj = true\n  disable_apparmor = true\n`,
    }),
    code: 'SW503',
    writes: 'conf.d/registry.toml',
  },
  {
    title: 'a section of version 2 under version 3 is passed over',
    flavours: ['2.1'],
    edit: (base) => `${base}[${criOf(2)}.containerd.runtimes.runc.options]\n  SystemdCgroup = true\n`,
    code: 'SW503',
    writes: 'config.toml',
  },
  {
    title: 'a folder of imports gets a file of its own, and the folder with it',
    flavours: ['2.1'],
    edit: (base, version, home) => importing(home, set(false)(base, version)),
    code: 'SW503',
    writes: 'conf.d/zz-sandwarden-systemd-cgroup.toml',
  },
];

describe('heal of the configuration on a real containerd', { skip, concurrency: 2 }, () => {
  for (const flavour of allFlavours) {
    const version = flavours[flavour].configVersion;
    for (const each of cases.filter((one) => one.flavours.includes(flavour))) {
      test(`containerd ${flavour}: ${each.title}: on after heal, byte for byte as before after undo`, async () => {
        const edit = (base: string, home: string) => each.edit(base, version, home);
        await using self = await ConfigNode.start(flavour, edit, each.more?.(version));
        const untouched = await self.tree();
        assert.deepEqual([isOn(await self.dumped()), isOn(await self.live())], [false, false]);
        const healed = await self.heal();
        assert.deepEqual(results(healed), allDone, healed.stopped?.message);
        const [write] = healed.actions;
        assert.equal(write?.action.object, `${self.home}/${each.writes}`);
        assert.equal(write?.action.code, each.code);
        assert.deepEqual([isOn(await self.dumped()), isOn(await self.live())], [true, true]);
        assert.deepEqual(self.restarts, units);
        assert.deepEqual((await self.look()).plan.actions, [], 'a second heal has nothing to do');
        const undone = await self.undo();
        assert.deepEqual(results(undone), ['restore-files done', ...allDone.slice(1)], undone.stopped?.message);
        assert.equal(await self.tree(), untouched);
        assert.deepEqual([isOn(await self.dumped()), isOn(await self.live())], [false, false]);
        assert.deepEqual(self.restarts, [...units, ...units]);
      });
    }

    describe(`containerd ${flavour}: what is never left in place`, { concurrency: 1 }, () => {
      let self: ConfigNode;
      let untouched = '';
      before(async () => {
        self = await ConfigNode.start(flavour, (base) => set(false)(base, version));
        untouched = await self.tree();
      });
      after(() => self?.close());
      const spoilt: readonly (readonly [string, (text: string) => string, RegExp])[] = [
        ['a file that is no TOML', (text) => `${text}\n[plugins\n`, /containerd would not start with it: .*/],
        [
          'a value of another kind',
          (text) => text.replace(/SystemdCgroup = true/, 'SystemdCgroup = "yes"'),
          /not left as/,
        ],
        [
          'one in which it is still off',
          (text) => text.replace(/SystemdCgroup = true/, 'SystemdCgroup = false'),
          /false for runc/,
        ],
      ];
      for (const [title, spoil, says] of spoilt) {
        test(title, async () => {
          // Three attempts at one object are all there are: each case has a journal of its own.
          const outcome = await self.heal((look) => ({ ...look.plan, actions: look.plan.actions.map(spoiled(spoil)) }));
          assert.deepEqual(results(outcome), [
            'write-config failed',
            'restart-runtime skipped',
            'restart-kubelet skipped',
          ]);
          assert.match(outcome.stopped?.message ?? '', says);
          assert.equal(await self.tree(), untouched);
          assert.deepEqual(self.restarts, []);
          assert.equal(isOn(await self.live()), false);
        });
      }

      test('the journal has all of it, and nothing of the file', async () => {
        const kinds = (await self.entries()).flatMap((each) => (each.kind === 'outcome' ? [each.result] : []));
        assert.deepEqual(kinds, ['failed', 'failed', 'failed']);
        assert.ok(!JSON.stringify(await self.entries(), (_, value) => String(value)).includes('BinaryName'));
      });
    });
  }
});

/** The same plan with another text to write. */
function spoiled(spoil: (text: string) => string): (action: Plan['actions'][number]) => Action {
  return (action) => {
    const { guard, contents } = action;
    if (!('files' in guard) || contents === undefined) return action;
    const texts = new Map([...contents].map(([path, text]) => [path, spoil(text)]));
    const files = guard.files.map((step) => {
      if (step.after === undefined) return step;
      return { ...step, after: { ...step.after, sha256: sha256Of(texts.get(step.path) ?? '') } };
    });
    return { ...action, guard: { ...guard, files }, contents: texts };
  };
}
