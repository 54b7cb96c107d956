// Filling a disk to the last page.
import { open } from 'node:fs/promises';

/** Appends to a file until ENOSPC, then gives `spare` bytes back. Throws any other error, and when 1 GiB still fits. */
export async function fillDisk(file: string, spare: number): Promise<void> {
  await using handle = await open(file, 'a');
  for (const chunk of [Buffer.alloc(2 ** 20), Buffer.alloc(2 ** 12)]) {
    while (await fits(handle, chunk)) {
      if ((await handle.stat()).size > 2 ** 30)
        throw new Error(`${file} is on a disk too large to fill; limit it first`);
    }
  }
  const { size } = await handle.stat();
  await handle.truncate(Math.max(0, size - spare));
}

async function fits(handle: Awaited<ReturnType<typeof open>>, chunk: Buffer): Promise<boolean> {
  try {
    // A short write means that the disk is full now; the next write says so.
    await handle.write(chunk);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return false;
    throw error;
  }
}
