// Programs from the packages of several Debian releases, unpacked beside each other. An apt with settings and a state of
// its own fetches them from the machine's mirror, checked by Debian's keyring: the machine's apt and its packages are
// not touched, and no service is started by an installation.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { attempt, ownEnvironment, run, type Result } from '../../cluster/process.ts';

export type Suite = 'bookworm' | 'trixie' | 'sid';

/** As apt writes it: `containerd/sid`. */
export type PackageName = `${string}/${Suite}`;

const suites: readonly Suite[] = ['bookworm', 'trixie', 'sid'];
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'node-ca-trust', 'debian');
const state = join(cache, 'apt');

/**
 * Finds, by name, what each release has of a package today, and unpacks what the cache lacks. Without a network the cache
 * serves, if it has what the last run found.
 * @returns for each name the directory that holds the package's files
 */
export async function ensurePackages<Name extends PackageName>(names: readonly Name[]): Promise<Record<Name, string>> {
  mkdirSync(join(state, 'lists/partial'), { recursive: true });
  writeFileSync(join(state, 'status'), '');
  writeFileSync(join(state, 'sources.list'), await sources());
  const update = await apt('update');
  const found = new Map<Name, string>();
  for (const suite of suites) {
    const wanted = names.filter((name) => name.endsWith(`/${suite}`));
    for (const [name, archive] of await archivesOf(wanted, update)) found.set(name, archive);
  }
  for (const [name, archive] of found) {
    if (!existsSync(directoryOf(archive))) await fetchPackage(name, archive);
  }
  forgetOthers([...found.values()]);
  return Object.fromEntries([...found].map(([name, archive]) => [name, directoryOf(archive)])) as Record<Name, string>;
}

/** From where the machine has its own packages. */
async function sources(): Promise<string> {
  const format = '$(REPO_URI) $(LABEL) $(COMPONENT)';
  const targets = await run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  const mirror = targets.split('\n').find((line) => /\/debian\/? .*main$/.test(line));
  if (mirror === undefined) throw new Error('the packages of Debian are needed, and apt knows no mirror that has them');
  const [uri = ''] = mirror.split(' ');
  return suites.map((suite) => `deb [signed-by=${keyring}] ${uri} ${suite} main\n`).join('');
}

/** What a release has of each package, as the name of its archive: name_version_architecture.deb. */
async function archivesOf<Name extends PackageName>(names: readonly Name[], update: Result): Promise<[Name, string][]> {
  const { stdout, stderr } = await apt('download', '--print-uris', ...names);
  const archives = [...stdout.matchAll(/^'\S+' (\S+\.deb) /gm)].map(([, archive = '']) => archive);
  return names.map((name) => {
    const archive = archives.find((file) => file.startsWith(`${name.split('/', 1)[0] ?? ''}_`));
    if (archive === undefined) throw new Error(`${name} is not to be had: ${stderr}${update.stderr}`.trim());
    return [name, archive];
  });
}

async function fetchPackage(name: PackageName, archive: string): Promise<void> {
  const directory = mkdtempSync(join(cache, '.fetch-'));
  try {
    const { code, stderr } = await apt('download', name, { cwd: directory });
    const fetched = readdirSync(directory).find((file) => file.endsWith('.deb'));
    if (code !== 0 || fetched === undefined) throw new Error(`${name} cannot be fetched: ${stderr.trim()}`);
    await run('dpkg', ['-x', join(directory, fetched), join(directory, 'files')]);
    renameSync(join(directory, 'files'), directoryOf(archive));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function directoryOf(archive: string): string {
  return join(cache, archive.replace(/\.deb$/, ''));
}

/** A container runtime is a hundred megabytes, and sid has a new one every month: of these packages no other stays. */
function forgetOthers(archives: readonly string[]): void {
  const packageOf = (name: string): string => name.split('_', 1)[0] ?? '';
  const kept = archives.map((archive) => archive.replace(/\.deb$/, ''));
  const others = readdirSync(cache).filter((name) => kept.map(packageOf).includes(packageOf(name)));
  for (const name of others.filter((other) => !kept.includes(other))) rmSync(join(cache, name), { recursive: true });
}

/** One at a time, with the machine's proxy and nothing else of its settings. */
function apt(...words: readonly (string | { readonly cwd: string })[]): Promise<Result> {
  const options = {
    'Dir::Etc::SourceList': join(state, 'sources.list'),
    'Dir::Etc::SourceParts': '-',
    'Dir::Etc::Preferences': '-',
    'Dir::Etc::PreferencesParts': '-',
    'Dir::State': state,
    'Dir::State::Status': join(state, 'status'),
    'Dir::Cache': state,
    // Images of containers do without these, and read all lists again at each call.
    'Dir::Cache::pkgcache': 'pkgcache.bin',
    'Dir::Cache::srcpkgcache': 'srcpkgcache.bin',
    'Acquire::Languages': 'none',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled': 'false',
    // Its own user could not write here.
    'APT::Sandbox::User': 'root',
  };
  const given = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const args = words.filter((word) => typeof word === 'string');
  const cwd = words.find((word) => typeof word === 'object')?.cwd ?? cache;
  return attempt('flock', [join(cache, 'apt.lock'), 'apt-get', '-qq', ...given, ...args], {
    cwd,
    env: ownEnvironment(),
  });
}
