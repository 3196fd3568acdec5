import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { debianMirror } from '../install.ts';
import { needPackages } from '../packages.ts';
import { hasCode, run } from '../run.ts';

/**
 * A real Kubernetes, made of Debian's source package: API server, controller manager, scheduler and kubelet 1.20.2,
 * the last of which Debian carries all the source. It lies in `.cache/cluster/`; making it takes some ten minutes on
 * two cores and 3 GB of disk.
 */
export interface Kubernetes {
  /** Holds kube-apiserver, kube-controller-manager, kube-scheduler and kubelet. */
  readonly bin: string;
  readonly version: string;
}

const version = 'v1.20.2';
const programs = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet'] as const;
const home = join(dirname(dirname(import.meta.dirname)), '.cache', 'cluster');
const bin = join(home, 'bin');
const packages = { '/usr/bin/go': 'golang-go', '/usr/bin/etcd': 'etcd-server', '/usr/bin/openssl': 'openssl' };

/** Makes what is missing. Throws an Error where a package cannot be had or Go refuses; root only. */
export async function kubernetes(): Promise<Kubernetes> {
  await mkdir(home, { recursive: true });
  await needPackages(packages);
  const made = new Set(await readdir(bin).catch(nothingThere));
  if (programs.every((each) => made.has(each))) return { bin, version };
  const source = await fetchSource();
  const go = await goPath(source);
  await generateOpenApi(go);
  // Each into its place by a rename of Go's: one that is cut off is made again.
  for (const each of programs) await go.build(`cmd/${each}`, join(bin, each));
  await rm(join(home, 'gocache'), { recursive: true, force: true });
  return { bin, version };
}

/** The source of Debian bookworm, by an apt of its own: a machine's lists seldom name sources. */
async function fetchSource(): Promise<string> {
  const apt = join(home, 'apt');
  const source = join(home, 'source');
  await rm(source, { recursive: true, force: true });
  for (const each of [source, join(apt, 'lists', 'partial'), join(apt, 'cache')])
    await mkdir(each, { recursive: true });
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  await writeFile(join(apt, 'sources.list'), `deb-src [signed-by=${keyring}] ${await debianMirror()} bookworm main\n`);
  const options = {
    'Dir::Etc::SourceList': join(apt, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(apt, 'lists'),
    'Dir::Cache': join(apt, 'cache'),
    'Acquire::Check-Valid-Until': 'false',
  };
  const conf = join(apt, 'apt.conf');
  await writeFile(
    conf,
    Object.entries(options)
      .map(([key, value]) => `${key} "${value}";\n`)
      .join(''),
  );
  const env = { ...process.env, APT_CONFIG: conf };
  await run('apt-get', ['update'], { env, timeoutMs: 300_000 });
  await run('sh', ['-ec', 'cd "$1"; apt-get source --download-only kubernetes', 'sh', source], {
    env,
    timeoutMs: 300_000,
  });
  const archive = (await readdir(source)).find((each) => each.endsWith('.orig.tar.gz'));
  if (archive === undefined || !archive.includes(version.slice(1))) {
    throw new Error(`Debian's source of Kubernetes is not ${version}: ${archive ?? 'apt-get left no archive'}`);
  }
  await run('tar', ['-xzf', join(source, archive), '-C', source, '--strip-components=1'], { timeoutMs: 300_000 });
  await rm(join(source, archive));
  return source;
}

interface Go {
  /** The source as its GOPATH has it. */
  readonly at: string;
  /** Makes a program of a package below `k8s.io/kubernetes`. */
  build(what: string, to: string): Promise<void>;
}

/** The source was written for a GOPATH; it says of itself what version it is only where its own Makefile built it. */
async function goPath(source: string): Promise<Go> {
  const path = join(source, '.go');
  const at = join(path, 'src', 'k8s.io', 'kubernetes');
  await mkdir(dirname(at), { recursive: true });
  await symlink(source, at).catch((error: unknown) => {
    if (!hasCode(error, 'EEXIST')) throw error;
  });
  const base = join(source, 'staging/src/k8s.io/component-base/version/base.go');
  const [, major = '', minor = ''] = version.split(/[v.]/);
  const text = (await readFile(base, 'utf8'))
    .replace(/\bgitVersion\b.*/, `gitVersion string = "${version}"`)
    .replace(/\bgitMajor string\b.*/, `gitMajor string = "${major}"`)
    .replace(/\bgitMinor string\b.*/, `gitMinor string = "${minor}"`);
  await writeFile(base, text);
  const env = { ...process.env, GOPATH: path, GO111MODULE: 'off', GOCACHE: join(home, 'gocache'), CGO_ENABLED: '0' };
  return {
    at,
    build: async (what, to) => {
      const args = ['build', '-o', to, `k8s.io/kubernetes/${what}`];
      await run('sh', ['-ec', 'cd "$1"; shift; exec go "$@"', 'sh', at, ...args], { env, timeoutMs: 1_800_000 });
      await chmod(to, 0o755);
    },
  };
}

const machinery = ['pkg/apis/meta/v1', 'pkg/runtime', 'pkg/version'].map(
  (each) => `vendor/k8s.io/apimachinery/${each}`,
);

/** What is not in the source and what the API server does not start without (its Makefile.generated_files). */
async function generateOpenApi({ at, build }: Go): Promise<void> {
  const generator = join(home, 'openapi-gen');
  await build('vendor/k8s.io/kube-openapi/cmd/openapi-gen', generator);
  const vendored = (await readdir(join(at, 'vendor', 'k8s.io'))).filter((each) => {
    return !/^(?:code-generator|sample-apiserver|gengo|kube-openapi)$/.test(each);
  });
  const all = ['pkg', 'cmd', 'plugin', ...vendored.map((each) => `vendor/k8s.io/${each}/`)];
  const apiextensions = [...machinery, 'vendor/k8s.io/apiextensions-apiserver/', 'vendor/k8s.io/api/autoscaling/v1'];
  for (const [to, folders] of [
    ['pkg/generated/openapi', all],
    ['staging/src/k8s.io/kube-aggregator/pkg/generated/openapi', [...machinery, 'vendor/k8s.io/kube-aggregator/']],
    ['staging/src/k8s.io/apiextensions-apiserver/pkg/generated/openapi', apiextensions],
  ] as const) {
    const script = `cd "$1"; to=$2 generator=$3; shift 3
dirs=$(grep -rl --include=*.go '+k8s:openapi-gen=' "$@" | xargs -n1 dirname | sort -u |
  sed 's|^|k8s.io/kubernetes/|' | paste -sd,)
exec "$generator" -i "$dirs" -p "k8s.io/kubernetes/$to" -O zz_generated.openapi \
  -h hack/boilerplate/boilerplate.generatego.txt -r /dev/null -o "$GOPATH/src"`;
    const env = { ...process.env, GOPATH: dirname(dirname(dirname(at))), GO111MODULE: 'off' };
    await run('sh', ['-ec', script, 'sh', at, to, generator, ...folders], { env, timeoutMs: 300_000 });
  }
}

function nothingThere(error: unknown): string[] {
  if (hasCode(error, 'ENOENT')) return [];
  throw error;
}
