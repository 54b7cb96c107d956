// What systemd does by the rendered units, in a world without one: it runs the refresh script when it is asked to. What a
// change of the anchor directory starts beside that is the same run, at a moment that nobody knows.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { refreshScript, scriptPath } from '../../../src/render/refresh-script.ts';
import { requestPath } from '../../../src/stores/unit.ts';
import { eventually } from '../../sandbox/harness/agent.ts';
import type { World } from '../../sandbox/harness/world.ts';

/** How often it looks whether it is asked, in milliseconds: systemd is told by the kernel. */
const stepMs = 20;

export interface Unit extends AsyncDisposable {
  /** Waits until it has done all that it was asked for. */
  settle(): Promise<void>;
}

export async function startUnit(world: World): Promise<Unit> {
  await mkdir(dirname(world.path(scriptPath)), { recursive: true });
  await writeFile(world.path(scriptPath), refreshScript);
  let isRunning = false;
  const isAsked = (): boolean => existsSync(world.path(requestPath));
  const timer = setInterval(() => {
    if (isRunning || !isAsked()) return;
    isRunning = true;
    void world
      .exec('sh', [scriptPath])
      .then(({ code, stderr }) => {
        if (code !== 0) console.log(`the unit failed: ${stderr}`);
      })
      .finally(() => {
        isRunning = false;
      });
  }, stepMs);
  const settle = (): Promise<void> =>
    eventually(() => {
      if (isRunning || isAsked()) throw new Error('the unit is at work');
    });
  return {
    settle,
    async [Symbol.asyncDispose]() {
      await settle();
      clearInterval(timer);
    },
  };
}
