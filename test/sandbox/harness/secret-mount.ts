// A directory as the kubelet mounts a Secret: its atomic writer's layout and order of steps
// (k8s.io/kubernetes/pkg/volume/util/atomic_writer.go).
import { mkdir, mkdtemp, readdir, readlink, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type SecretFiles = Readonly<Record<string, string | Uint8Array>>;

export interface SecretMount extends AsyncDisposable {
  /** The mounted directory. */
  readonly directory: string;
  /** The Secret holds these keys from now on, all at once; {} is what a deleted optional Secret leaves. */
  swap(files: SecretFiles): Promise<void>;
  /** The directory is gone, as a whole. */
  vanish(): Promise<void>;
  restore(): Promise<void>;
}

/** Mounts a Secret on a temporary directory. */
export async function mountSecret(files: SecretFiles): Promise<SecretMount> {
  const parent = await mkdtemp(join(tmpdir(), 'secret-'));
  const directory = join(parent, 'mounted');
  const away = join(parent, 'away');
  await mkdir(directory);
  await swap(directory, files);
  return {
    directory,
    swap: (next) => swap(directory, next),
    vanish: () => rename(directory, away),
    restore: () => rename(away, directory),
    [Symbol.asyncDispose]: () => rm(parent, { recursive: true, force: true }),
  };
}

async function swap(directory: string, files: SecretFiles): Promise<void> {
  const data = join(directory, '..data');
  const old = await readlink(data).catch(() => undefined);
  const stamp = new Date().toISOString().slice(0, 19).replace(/[-:]/g, '_').replace('T', '_');
  const fresh = await mkdtemp(join(directory, `..${stamp}.`));
  for (const [key, content] of Object.entries(files)) await writeFile(join(fresh, key), content, { mode: 0o644 });
  await symlink(fresh.slice(directory.length + 1), `${data}_tmp`);
  await rename(`${data}_tmp`, data);
  const visible = (await readdir(directory)).filter((name) => !name.startsWith('..'));
  for (const key of Object.keys(files).filter((name) => !visible.includes(name))) {
    await symlink(join('..data', key), join(directory, key));
  }
  for (const key of visible.filter((name) => !(name in files))) await unlink(join(directory, key));
  if (old !== undefined) await rm(join(directory, old), { recursive: true });
}
