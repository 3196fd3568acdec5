import type { CgroupFacts, CgroupScope } from '../../model/cgroups.ts';
import { limits } from '../../model/limits.ts';
import type { Run } from '../child.ts';
import { observed } from '../unknown.ts';

/**
 * Asks systemd which of the scopes are delegated: one call for as many as a command line has room for. systemd also
 * marks a delegated directory with an extended attribute (`trusted.delegate`), which only a program of its own could
 * read here. What systemd does not tell stays unknown: no systemd, a container of its own, a scope that ended since.
 */
export async function withDelegation(facts: CgroupFacts, runner: Run): Promise<CgroupFacts> {
  const kubepods = facts.slices.filter((each) => each.level === 'kubepods' && each.path.endsWith('.slice'));
  const units = [...kubepods, ...scopesOf(facts)].map((each) => unitOf(each.path));
  const names = [...new Set(units)].filter((name) => /^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}$/.test(name));
  const shown: string[] = [];
  for (let from = 0; from < names.length; from += limits.cgroupUnitsAsked) {
    const batch = names.slice(from, from + limits.cgroupUnitsAsked);
    const properties = '--property=Id,Delegate,ControlGroup,AllowedCPUs';
    const argv = ['systemctl', 'show', '--no-pager', properties, '--', ...batch] as const;
    const answer = await observed(() => runner([...argv]));
    // Who does not answer once would be waited for as long again.
    if (!answer.known) break;
    shown.push(answer.value.stdout);
  }
  const text = shown.join('\n\n');
  // A property that was asked for is shown even where it is empty; one that systemd does not have is not.
  const told = /^ControlGroup=\//m.test(text) ? { systemdCpuset: /^AllowedCPUs=/m.test(text) } : {};
  return shown.length === 0 ? facts : { ...applyDelegation(facts, text), ...told };
}

/** The facts with what `systemctl show` says (blocks with ControlGroup and Delegate, parted by empty lines). */
export function applyDelegation(facts: CgroupFacts, shown: string): CgroupFacts {
  const delegated = new Map<string, boolean>();
  for (const block of shown.split(/\n\s*\n/)) {
    const path = /^ControlGroup=(\/.*)$/m.exec(block)?.[1];
    const says = /^Delegate=(yes|no)$/m.exec(block)?.[1];
    if (path !== undefined && says !== undefined) delegated.set(path, says === 'yes');
  }
  const mark = (scope: CgroupScope): CgroupScope => {
    const says = delegated.get(scope.path);
    return says === undefined ? scope : { ...scope, delegated: says };
  };
  return {
    ...facts,
    slices: facts.slices.map((each) => (each.scopes ? { ...each, scopes: each.scopes.map(mark) } : each)),
    pods: facts.pods.map((each) => (each.scopes ? { ...each, scopes: each.scopes.map(mark) } : each)),
  };
}

function scopesOf(facts: CgroupFacts): CgroupScope[] {
  return [...facts.slices, ...facts.pods].flatMap((each) => each.scopes ?? []);
}

function unitOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
