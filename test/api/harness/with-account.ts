// What the tests of the Secret begin with.
import { afterAll, beforeEach } from 'vitest';
import { putAccount, secretPath, tokenOf } from './account.ts';
import { type ApiServer, startApi } from './api-server.ts';

export interface WithAccount {
  readonly api: ApiServer;
  readonly account: { readonly token: string; readonly ca: string };
}

/** An API server that knows the agent's account, until the tests of this file are over. Each begins without the Secret. */
export async function startWithAccount(): Promise<WithAccount> {
  const api = await startApi();
  afterAll(() => api[Symbol.asyncDispose]());
  beforeEach(async () => {
    await api.ask('DELETE', secretPath());
  });
  await putAccount(api);
  return { api, account: { token: await tokenOf(api), ca: api.ca.pem } };
}
