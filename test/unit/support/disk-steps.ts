/**
 * In which order things come onto the disk, and get or lose their names.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname } from 'node:path';
import { onTestFinished } from 'vitest';

/** The directory by its name, and the file in it: files are written by way of a directory that is open. */
function placeOf(path: string): string {
  return `${basename(fs.realpathSync(dirname(path)))}/${basename(path)}`;
}

/** What is waited for to be on the disk, and what gets or loses its name, from now on until the test ends. */
export function diskSteps(): readonly string[] {
  const steps: string[] = [];
  const { fsyncSync, renameSync, symlinkSync, unlinkSync } = fs;
  fs.fsyncSync = (descriptor) => {
    const path = fs.readlinkSync(`/proc/self/fd/${descriptor}`);
    steps.push(`sync ${placeOf(path)}`);
    fsyncSync(descriptor);
  };
  fs.renameSync = (from, to) => {
    steps.push(`rename ${placeOf(String(from))} ${placeOf(String(to))}`);
    renameSync(from, to);
  };
  fs.symlinkSync = (target, path) => {
    symlinkSync(target, path);
    steps.push(`link ${placeOf(String(path))}`);
  };
  fs.unlinkSync = (path) => {
    unlinkSync(path);
    steps.push(`remove ${placeOf(String(path))}`);
  };
  syncBuiltinESMExports();
  onTestFinished(() => {
    Object.assign(fs, { fsyncSync, renameSync, symlinkSync, unlinkSync });
    syncBuiltinESMExports();
  });
  return steps;
}
