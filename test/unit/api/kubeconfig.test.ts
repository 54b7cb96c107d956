import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { UsageProblem } from '../../../src/host/problem.ts';
import { loadKubeconfig } from '../../../src/api/kubeconfig.ts';
import { temporaryDirectory } from '../support/directories.ts';

interface Parts {
  readonly clusters?: readonly string[];
  readonly users?: readonly string[];
  /** Each with its cluster and its user. */
  readonly contexts?: Readonly<Record<string, readonly [string, string]>>;
  readonly current?: string;
}

/** A kubeconfig whose servers bear the file's name. */
function fileWith(name: string, { clusters = [], users = [], contexts = {}, current }: Parts): string {
  const path = join(temporaryDirectory(), name);
  const config = {
    clusters: clusters.map((cluster) => ({ name: cluster, cluster: { server: `https://${name}.example` } })),
    users: users.map((user) => ({ name: user, user: { token: name } })),
    contexts: Object.entries(contexts).map(([context, [cluster, user]]) => ({
      name: context,
      context: { cluster, user },
    })),
    'current-context': current,
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

const one: Parts = { clusters: ['c'], users: ['u'], contexts: { c: ['c', 'u'] }, current: 'c' };

function serverOf(
  choice: Parameters<typeof loadKubeconfig>[0],
  environment: Parameters<typeof loadKubeconfig>[1] = {},
): string {
  return loadKubeconfig(choice, environment).getCurrentCluster()?.server ?? '';
}

describe('the kubeconfig', () => {
  it('is the one that is named, before all others', () => {
    const [named, other] = [fileWith('named', one), fileWith('other', one)];
    expect(serverOf({ kubeconfig: named }, { KUBECONFIG: other })).toBe('https://named.example');
  });

  it('is that of KUBECONFIG, then that of the home directory', () => {
    const home = temporaryDirectory();
    mkdirSync(join(home, '.kube'));
    writeFileSync(
      join(home, '.kube', 'config'),
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: 'https://home.example' } }],
        users: [{ name: 'u' }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'c',
      }),
    );
    expect(serverOf({}, { HOME: home, KUBECONFIG: fileWith('variable', one) })).toBe('https://variable.example');
    expect(serverOf({ kubeconfig: '' }, { HOME: home, KUBECONFIG: fileWith('variable', one) })).toBe(
      'https://variable.example',
    );
    expect(serverOf({}, { HOME: home, KUBECONFIG: '' })).toBe('https://home.example');
  });

  it('is put together from several files, of which the first holds, and one may be missing', () => {
    const first = fileWith('first', { ...one, contexts: { c: ['c', 'u'], d: ['d', 'v'] } });
    const second = fileWith('second', { clusters: ['c', 'd'], users: ['u', 'v'], current: 'd' });
    const KUBECONFIG = [join(dirname(first), 'missing'), first, second].join(delimiter);
    expect(serverOf({}, { KUBECONFIG })).toBe('https://first.example');
    expect(serverOf({ context: 'd' }, { KUBECONFIG })).toBe('https://second.example');
  });

  it("is the pod's service account where there is none", () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '10.0.0.1');
    vi.stubEnv('KUBERNETES_SERVICE_PORT', '443');
    const environment = { HOME: temporaryDirectory(), KUBERNETES_SERVICE_HOST: '10.0.0.1' };
    expect(serverOf({}, environment)).toBe('https://10.0.0.1:443');
    vi.unstubAllEnvs();
  });

  it.each<[string, Parts | string, string | undefined, RegExp]>([
    ['of another context', one, 'd', /^--context d: .*has no such context; it has c$/],
    ['without a current context', { ...one, current: '' }, undefined, /no current context; .* --context: it has c$/],
    ['without any context', {}, undefined, /no current context.*it has none$/],
    [
      'without the cluster of its context',
      { ...one, clusters: [] },
      undefined,
      /names the cluster c, which is not there or has no server$/,
    ],
    ['without the user of its context', { ...one, users: [] }, undefined, /names the user u, which is not there$/],
    ['that is empty', '', undefined, /no current context.*it has none$/],
    ['that has comments alone', '# mine\n\n  # and yours\n', undefined, /no current context.*it has none$/],
    ['that is no YAML', 'a: [b', undefined, /cannot be read as a kubeconfig: \S/],
    [
      'whose cluster has no server',
      '{clusters: [{name: c, cluster: {}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}',
      undefined,
      /names the cluster c, which is not there or has no server$/,
    ],
  ])('%s is refused in one line', (_, content, context, message) => {
    const kubeconfig = fileWith('file', typeof content === 'string' ? {} : content);
    if (typeof content === 'string') writeFileSync(kubeconfig, content);
    const load = (): unknown => loadKubeconfig({ kubeconfig, ...(context === undefined ? {} : { context }) }, {});
    expect(load).toThrow(message);
    expect(load).toThrow(UsageProblem);
    expect(load).not.toThrow('\n');
  });

  it('may have anything beside what is chosen, as for kubectl', () => {
    const kubeconfig = fileWith('file', one);
    const config = JSON.parse(readFileSync(kubeconfig, 'utf8')) as { clusters: unknown[]; contexts: unknown[] };
    config.clusters.push({ name: 'x', cluster: {} });
    config.contexts.push({ name: 'y', context: {} });
    writeFileSync(kubeconfig, JSON.stringify(config));
    expect(loadKubeconfig({ kubeconfig }, {}).getCurrentContext()).toBe('c');
    writeFileSync(`${kubeconfig}.empty`, '');
    expect(loadKubeconfig({}, { KUBECONFIG: `${kubeconfig}.empty:${kubeconfig}` }).getCurrentContext()).toBe('c');
  });

  it.each(['/dev/zero', '/'])('that is %s is not read', (kubeconfig) => {
    expect(() => loadKubeconfig({ kubeconfig }, {})).toThrow(`${kubeconfig} is no kubeconfig: it is no file`);
  });

  it('names where it looked when there is none', () => {
    expect(() => loadKubeconfig({}, { HOME: '/no/home' })).toThrow(
      'no kubeconfig: /no/home/.kube/config: no such file',
    );
    expect(() => loadKubeconfig({}, { KUBECONFIG: '/no/such' })).toThrow('no kubeconfig: /no/such: no such file');
    expect(() => loadKubeconfig({ kubeconfig: '/no/such' }, {})).toThrow('no kubeconfig: /no/such: no such file');
  });
});
