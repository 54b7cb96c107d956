import { describe, expect, it } from 'vitest';
import { Problem } from '../../../src/host/problem.ts';
import { type ContainerdConfig, readContainerdConfig } from '../../../src/runtimes/containerd-config.ts';
import * as platforms from './containerd-platforms.ts';
import { type Files, cri, images, list, mainFile, usual } from './containerd-platforms.ts';

/** A host with these files. */
const host = (files: Files): Parameters<typeof readContainerdConfig>[0] => ({
  read: (path) => (files[path] === undefined ? undefined : Buffer.from(files[path])),
  list: (path) => {
    const below = Object.keys(files).filter((file) => file.startsWith(path === '/' ? '/' : `${path}/`));
    const names = below.map((file) => file.slice(path === '/' ? 1 : path.length + 1).split('/', 1)[0] ?? '');
    return below.length === 0 ? undefined : [...new Set(names)].sort();
  },
});

const read = (files: Files, version?: string, argv: readonly string[] = ['/usr/bin/containerd']): ContainerdConfig =>
  readContainerdConfig(host(files), argv, version);

/** The directories that pulls read, or why a restart is needed. */
const pulls = (...given: Parameters<typeof read>): readonly string[] | string => {
  const { way } = read(...given);
  return way.kind === 'directories' ? [...new Set(way.lists.flat())] : way.why;
};

const main = (text: string): Files => ({ [mainFile]: text });
const one = ['v1.5.18', '1.6.20~ds1', 'v1.7.34'];
const two = ['v2.0.11', 'v2.1.9', 'v2.2.1', 'v2.2.7', 'v2.3.4', 'v2.4.0-beta.0'];
const both = ['/etc/containerd/certs.d', '/etc/docker/certs.d'];
/** The whole list is served as the name of one directory, and its parts, too. */
const oneDirectory = expect.arrayContaining([expect.stringMatching(/:/), expect.not.stringMatching(/:/)]) as unknown;

describe('what is found on nodes', () => {
  it.each([
    ['AKS, containerd 1.7', platforms.aksOne, [...one, ...two], [usual]],
    ['AKS, containerd 2.0 to 2.2', platforms.aksTwo(2), two, [usual]],
    ['AKS, containerd 2.3', platforms.aksTwo(4), ['v2.3.4'], [usual]],
    ['EKS, containerd 1.7', platforms.eksOne, [...one, ...two], both],
    ['EKS, containerd 2', platforms.eksTwo, two, both],
    ['GKE', platforms.gke, [...one, ...two], ['/etc/containerd/hosts.d']],
    ['kind, containerd 2.2 and later', platforms.kind, ['v2.2.1', 'v2.2.7', 'v2.3.4'], both],
  ])('%s: its directories, without a restart', (_, text, versions, roots) => {
    for (const version of versions) expect(pulls(main(text), version), version).toEqual(roots);
  });

  it.each(['k3s', 'rke2'])('%s: the directory below its own, by its own socket', (product) => {
    const { argv, files } = platforms.k3s(product);
    const found = read(files, 'v2.2.7-k3s1', argv);
    expect(found.way).toEqual({
      kind: 'directories',
      lists: [[`/var/lib/rancher/${product}/agent/etc/containerd/certs.d`]],
      byName: false,
    });
    expect(found.address).toBe('/run/k3s/containerd/containerd.sock');
    expect(found.files).toEqual([`/var/lib/rancher/${product}/agent/etc/containerd/config.toml`]);
  });

  it.each([
    ['kind before 2.2', platforms.kind, 'v2.1.9'],
    ["kubeadm, 1.6's defaults", platforms.defaultOfOne, '1.6.20~ds1'],
    ["kubeadm, 1.7's defaults", platforms.defaultOfOne, 'v1.7.34'],
    ["kubeadm, 1.7's defaults under 2.0", platforms.defaultOfOne, 'v2.0.11'],
    ["kubeadm, 2.0's defaults", platforms.defaultOfTwo(3), 'v2.0.11'],
    ["kubeadm, 2.1's defaults", platforms.defaultOfTwo(3), 'v2.1.9'],
  ])('%s: none until config_path is set', (_, text, version) => {
    expect(pulls(main(text), version)).toMatch(
      /^containerd \d\S+ reads no registry directories unless told to; set config_path = "\/etc\/containerd\/certs\.d" in \[plugins\."\S+"\.registry\] of \/etc\/containerd\/config\.toml, and restart containerd once$/,
    );
  });

  it.each([
    ["2.2.0's defaults", platforms.defaultOfTwo(3, list), 'v2.2.0'],
    ["2.2's defaults", platforms.defaultOfTwo(3), 'v2.2.2'],
    ["2.3's defaults", platforms.defaultOfTwo(4), 'v2.3.4'],
    ["1.7's defaults under 2.2.0", platforms.defaultOfOne, 'v2.2.0'],
    ["1.7's defaults under 2.3", platforms.defaultOfOne, 'v2.3.4'],
    ['a version after the last that was looked at', platforms.defaultOfTwo(4), 'v2.9.0'],
  ])('kubeadm, %s: none, for the list is taken for one directory', (_, text, version) => {
    expect(pulls(main(text), version)).toEqual(oneDirectory);
  });

  it("Docker's package: it pulls nothing for the kubelet, until someone takes its line out", () => {
    for (const version of [...one, ...two]) {
      const found = read(main(platforms.docker), version);
      expect(found.pullsForNode, version).toBe(false);
      expect(found.broken, version).toMatch(/is in disabled_plugins: nothing pulls/);
      expect(read(main(platforms.docker.replace('"cri"', '')), version).pullsForNode, version).toBe(true);
    }
  });

  it("NVIDIA's drop-in hides the main file's config_path from containerd 1, and only from that", () => {
    const files = {
      ...main(
        `version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n[${cri}.registry]\nconfig_path = "${usual}"\n`,
      ),
      '/etc/containerd/conf.d/99-nvidia.toml': platforms.nvidia,
    };
    for (const version of one) {
      expect(pulls(files, version)).toMatch(/set config_path .* of \/etc\/containerd\/conf\.d\/99-nvidia\.toml, and/);
    }
    for (const version of two) expect(pulls(files, version), version).toEqual([usual]);
  });
});

describe('the command line', () => {
  const other = { '/opt/c.toml': `version = 2\n[${cri}.registry]\nconfig_path = "/opt/certs"\n` };
  it.each([
    ['--config /opt/c.toml'],
    ['--config=/opt/c.toml'],
    ['-c /opt/c.toml'],
    ['-c=/opt/c.toml'],
    ['-config /opt/c.toml'],
    ['-config=/opt/c.toml'],
    ['--c /opt/c.toml'],
    ['--log-level debug -c /opt/c.toml'],
    ['-l=debug --root /data --state /run/x -c /opt/c.toml'],
    ['-c opt/c.toml'],
    ['-c ./opt/../opt/c.toml'],
    ['-c /first.toml -c /opt/c.toml'],
  ])('%s names the file', (args) => {
    const found = read(other, 'v1.7.34', ['containerd', ...args.split(' ')]);
    expect(found).toMatchObject({ files: ['/opt/c.toml'], way: { lists: [['/opt/certs']] }, pullsForNode: true });
  });

  it('without a file there are defaults, whatever lies beside it', () => {
    const files = { '/etc/containerd/conf.d/x.toml': `version = 3\n[${images}.registry]\nconfig_path = "/x"\n` };
    expect(pulls(files, 'v1.7.34')).toMatch(
      /set config_path = "\/etc\/containerd\/certs.d" in \[plugins."io.containerd.grpc.v1.cri".registry\] of a new \/etc\/containerd\/config.toml that begins with version = 2, and restart/,
    );
    expect(pulls(files, 'v2.3.4')).toEqual(oneDirectory);
    expect(pulls(files, 'v2.1.9')).toMatch(
      /in \[plugins."io.containerd.cri.v1.images".registry\] of a new \S+ that begins with version = 3, and/,
    );
    expect(read(files, 'v2.3.4')).toMatchObject({ files: [], pullsForNode: true });
  });

  it('a file that it names must be there', () => {
    const files = { '/etc/containerd/config.toml': 'version = 2\n' };
    expect(() => read(files, 'v2.3.4', ['containerd', '-c', '/gone.toml'])).toThrow(
      new Problem(
        "/gone.toml is not there, and containerd's command line names it; containerd runs with what was there when it started: put it back before the next start",
      ),
    );
  });

  it.each(['publish --topic /tasks/exit', 'config dump'])('%s is not the daemon', (args) => {
    const argv = ['containerd', '--address', '/run/containerd/containerd.sock', ...args.split(' ')];
    expect(read({}, 'v2.3.4', argv).pullsForNode).toBe(false);
  });

  it.each([
    [['--address', '/run/flag.sock'], '/run/flag.sock'],
    [['-a=/run/flag.sock'], '/run/flag.sock'],
    [['--address='], '/run/b.sock'],
    [[], '/run/b.sock'],
  ])('%j: the address is %s', (args, address) => {
    const files = {
      ...main('version = 2\nimports = ["b.toml", "c.toml"]\n[grpc]\naddress = "/run/a.sock"\n'),
      '/etc/containerd/b.toml': 'version = 2\n[grpc]\naddress = "/run/b.sock"\n',
      '/etc/containerd/c.toml': 'version = 2\n[grpc]\nuid = 0\n',
    };
    for (const version of [...one, ...two]) {
      expect(read(files, version, ['containerd', ...args]).address, version).toBe(address);
    }
  });

  it.each([
    ['the default', '', '/run/containerd/containerd.sock'],
    [
      "2.3's own table",
      'version = 4\n[plugins."io.containerd.server.v1.grpc"]\naddress = "/run/n.sock"',
      '/run/n.sock',
    ],
    ['the old one, which version 4 ignores', 'version = 4\n[grpc]\naddress = "/x"', '/run/containerd/containerd.sock'],
    ['the old one of an old file', 'version = 3\n[grpc]\naddress = "/run/o.sock"', '/run/o.sock'],
  ])('the address in 2.3: %s', (_, text, address) => {
    expect(read(main(text), 'v2.3.4').address).toBe(address);
  });
});

describe('imports', () => {
  const withPath = (path: string, head = ''): string =>
    `version = 2\n${head}\n[${cri}.registry]\nconfig_path = "${path}"\n`;

  it('are read level by level, each once, and the last one wins', () => {
    const files = {
      ...main(withPath('/main', 'imports = ["b.toml", "./c/*.toml"]')),
      '/etc/containerd/b.toml': withPath('/b', 'imports = ["d.toml", "config.toml"]'),
      '/etc/containerd/c/1.toml': withPath('/c1'),
      '/etc/containerd/c/2.toml': withPath('/c2'),
      '/etc/containerd/d.toml': withPath('/d', 'imports = ["/etc/containerd/b.toml", "d.toml"]'),
    };
    for (const version of [...one.slice(2), ...two]) {
      expect(pulls(files, version), version).toEqual(['/d']);
      expect(read(files, version).files, version).toEqual(
        ['config', 'b', 'c/1', 'c/2', 'd'].map((name) => `/etc/containerd/${name}.toml`),
      );
    }
  });

  it.each([
    ['*.toml', ['.hidden.toml', '1.toml', '[x].toml']],
    ['*', ['.hidden.toml', '1.toml', '[x].toml', 'readme']],
    ['[0-9]*', ['1.toml']],
    ['[^0-9.]*.toml', ['[x].toml']],
    ['?.*', ['1.toml']],
    ['\\[x\\].*', ['[x].toml']],
    ['no*match', []],
    ['1*/x.toml', []],
  ])('the pattern %s takes the files that Go takes', (pattern, names) => {
    const files = {
      ...main(`version = 2\nimports = ['conf.d/${pattern}']\n`),
      ...Object.fromEntries(
        ['.hidden.toml', '1.toml', '[x].toml', 'readme'].map((name) => [
          `/etc/containerd/conf.d/${name}`,
          'oom_score = 0',
        ]),
      ),
    };
    expect(read(files, 'v2.3.4').files).toEqual([mainFile, ...names.map((name) => `/etc/containerd/conf.d/${name}`)]);
  });

  it('a pattern may stand anywhere in the path', () => {
    const files = {
      ...main('version = 2\nimports = ["/opt/*/containerd/c.toml", "/none/*/c.toml"]\n'),
      '/opt/a/containerd/c.toml': withPath('/a'),
      '/opt/b/containerd/other.toml': withPath('/b'),
    };
    expect(pulls(files, 'v1.7.34')).toEqual(['/a']);
  });

  it.each([
    ['v1.5.18', '/root'],
    ['1.6.20~ds1', '/root'],
    ['v1.6.28', '/root'],
    ['v1.6.29', '/own'],
    ['v1.7.15', '/root'],
    ['v1.7.16', '/own'],
    ['v2.0.0', '/own'],
  ])('a relative pattern in %s', (version, path) => {
    const files = {
      ...main('version = 2\nimports = ["conf.d/*.toml"]\n'),
      '/etc/containerd/conf.d/x.toml': withPath('/own'),
      '/conf.d/x.toml': withPath('/root'),
    };
    expect(pulls(files, version)).toEqual([path]);
  });

  it('one that is gone is named, with who imports it', () => {
    expect(() => read(main('imports = ["/gone.toml"]'), 'v2.3.4')).toThrow(
      /^\/gone\.toml is not there, and \/etc\/containerd\/config\.toml names it; containerd runs with .*put it back/,
    );
  });

  it('one that does not parse is named by its line', () => {
    const files = { ...main('imports = ["x.toml"]'), '/etc/containerd/x.toml': 'version = 2\n[plugins\na = 1\n' };
    expect(() => read(files, 'v2.3.4')).toThrow(Problem);
    expect(() => read(files, 'v2.3.4')).toThrow(
      /^\/etc\/containerd\/x\.toml:\d: not valid TOML \([^\n]+\); containerd runs with what was there when it started: correct it before the next start$/,
    );
  });
});

describe('versions of the format', () => {
  it.each(['', 'version = 1\n'])('1 calls the plugin cri, and 2.0 to 2.2 take nothing of it: %j', (head) => {
    const files = main(`${head}[plugins.cri.registry]\nconfig_path = "/x"\n`);
    for (const version of [...one, 'v2.3.4']) expect(pulls(files, version), version).toEqual(['/x']);
    for (const version of ['v2.0.11', 'v2.1.9']) expect(pulls(files, version)).toMatch(/no registry directories/);
    expect(pulls(files, 'v2.2.7')).toEqual(oneDirectory);
  });

  it('the admin of a file without one is told the name that goes with it', () => {
    expect(pulls(main('oom_score = 0'), 'v1.7.34')).toContain(
      'in [plugins.cri.registry] of /etc/containerd/config.toml',
    );
    expect(pulls(main('oom_score = 0'), 'v2.1.9')).toContain('in [plugins."io.containerd.cri.v1.images".registry] of');
  });

  it('a drop-in without one is taken for the same as the main file', () => {
    const dropIn = { '/etc/containerd/a.toml': `[${cri}.registry]\nconfig_path = "/x"\n` };
    for (const version of [...one, ...two]) {
      expect(pulls({ ...main('version = 2\nimports = ["a.toml"]\n'), ...dropIn }, version), version).toEqual(['/x']);
    }
  });

  it('a drop-in of version 3 keeps 2.0 to 2.2 from taking over the tables of version 2', () => {
    const files = {
      ...main(`version = 2\nimports = ["a.toml"]\n[${cri}.registry]\nconfig_path = "/x"\n`),
      '/etc/containerd/a.toml': `version = 3\n[${images}]\nuse_local_image_pull = true\n`,
    };
    expect(pulls(files, 'v2.1.9')).toMatch(/set config_path .*cri\.v1\.images".* of \/etc\/containerd\/a\.toml/);
    expect(pulls(files, 'v2.2.7')).toEqual(both);
  });

  it('the table of version 2 counts beside that of version 3, where it is taken over', () => {
    const text = `[${images}.registry]\nconfig_path = "/new"\n[${cri}.registry]\nconfig_path = "/old"\n`;
    const found = (version: number, release: string): unknown => pulls(main(`version = ${version}\n${text}`), release);
    expect(found(2, 'v2.2.7')).toEqual(['/old']);
    expect(found(3, 'v2.2.7')).toEqual(['/new']);
    expect(found(3, 'v2.3.4')).toEqual(['/old']);
    expect(found(4, 'v2.3.4')).toEqual(['/new']);
  });

  it('2.3 takes over each file by itself', () => {
    const files = {
      ...main(`version = 3\nimports = ["a.toml"]\n[${images}.registry]\nconfig_path = "/x"\n`),
      '/etc/containerd/a.toml': `version = 2\n[${cri}.registry]\nconfig_path = "/y"\n`,
    };
    expect(pulls(files, 'v2.3.4')).toEqual(['/y']);
  });

  it.each([
    ['version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]', [...one, ...two], false],
    ['version = 3\ndisabled_plugins = ["io.containerd.cri.v1.images"]', two, false],
    ['version = 3\ndisabled_plugins = ["io.containerd.cri.v1.runtime"]', two, false],
    ['version = 2\ndisabled_plugins = ["io.containerd.snapshotter.v1.zfs"]', [...one, ...two], true],
    ['disabled_plugins = ["aufs"]', [...one, ...two], true],
  ])('%j', (text, versions, serves) => {
    for (const version of versions) expect(read(main(text), version).pullsForNode, version).toBe(serves);
  });

  it('a drop-in can only add to disabled_plugins', () => {
    const files = {
      ...main('version = 2\nimports = ["a.toml"]\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'),
      '/etc/containerd/a.toml': 'version = 2\ndisabled_plugins = []\n',
    };
    for (const version of [...one, ...two]) expect(read(files, version).pullsForNode, version).toBe(false);
  });
});

describe('config_path', () => {
  const three = (more: string, configPath: string | undefined = list): Files =>
    main(`version = 3\n[${images}]\n${more}\n[${images}.registry]\nconfig_path = "${configPath}"\n`);

  it('one directory is read by every version since 1.5, there or not', () => {
    for (const version of [...one, ...two]) expect(pulls(main(platforms.gke), version)).toHaveLength(1);
    expect(pulls(main(platforms.gke), 'v1.4.13')).toMatch(/^containerd 1\.4\.13 reads no registry directories, 1\.5/);
  });

  it('a relative one lies where containerd runs, a final slash is nothing', () => {
    expect(pulls(three('', 'etc/certs/'), 'v2.3.4')).toEqual(['/etc/certs']);
  });

  it('a list is read in its order by 1.5 to 2.0, and by 2.1 and later with each setting that has them pull as before', () => {
    for (const version of [...one, 'v2.0.11']) {
      expect(pulls(main(`version = 2\n[${cri}.registry]\nconfig_path = "/b::/a"\n`), version)).toEqual(['/b', '/a']);
    }
    for (const version of two.slice(1)) {
      expect(pulls(three(''), version), version).toEqual(oneDirectory);
      expect(pulls(three('', `${usual}:`), version), version).toEqual(oneDirectory);
      for (const setting of [
        'use_local_image_pull = true',
        'discard_unpacked_layers = true',
        'disable_snapshot_annotations = false',
        'image_pull_with_sync_fs = true',
        'max_concurrent_downloads = 5',
        'registry.configs."r.example".auth.username = "u"',
        'registry.auths."https://r.example".username = "u"',
      ]) {
        const text = `version = 3\n[${images}]\nregistry.config_path = "${list}"\n${setting}\n`;
        expect(pulls(main(text), version), `${version}: ${setting}`).toEqual(both);
      }
    }
  });

  it.each([
    'use_local_image_pull = false',
    'discard_unpacked_layers = false',
    'disable_snapshot_annotations = true',
    'max_concurrent_downloads = 3',
    'registry.headers.X-A = ["b"]',
    'registry.configs = {}',
  ])('%s changes nothing of that', (setting) => {
    const text = `version = 3\n[${images}]\nregistry.config_path = "${list}"\n${setting}\n`;
    expect(pulls(main(text), 'v2.3.4')).toEqual(oneDirectory);
  });

  it('the name that containerd looks for comes before its parts, which count once pulls go the other way', () => {
    const files = { ...main('version = 2\nimports = ["a.toml"]\n'), '/etc/containerd/a.toml': platforms.eksOne };
    const without = files['/etc/containerd/a.toml']
      .replace('discard_unpacked_layers = true', '')
      .replace(list, '/x:/y');
    expect(pulls({ ...files, '/etc/containerd/a.toml': without }, 'v2.3.4')).toEqual(['/x:/y', '/x', '/y']);
  });

  it('what the admin is told to set is where it is set, though a later file has the table, too', () => {
    const files = {
      ...main(`version = 3\nimports = ["a.toml"]\n[${images}.registry]\nconfig_path = ""\n`),
      '/etc/containerd/a.toml': `version = 3\n[${images}.pinned_images]\nsandbox = "localhost/pause"\n`,
    };
    expect(pulls(files, 'v2.1.9')).toContain('.registry] of /etc/containerd/config.toml, and');
  });

  it('settings of the containerd table of version 2 count only beside runtimes', () => {
    const text = `version = 2\n[${cri}.containerd]\ndiscard_unpacked_layers = true\n[${cri}.registry]\nconfig_path = "${list}"\n`;
    const runtimes = `[${cri}.containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n`;
    for (const version of two.slice(1)) {
      expect(pulls(main(text), version), version).toEqual(oneDirectory);
      expect(pulls(main(text + runtimes), version), version).toEqual(both);
    }
  });

  it('an empty one is the default since 2.2.2, and before that only when taken over from version 2', () => {
    const old = main(`version = 2\n[${cri}]\nimage_pull_with_sync_fs = true\n[${cri}.registry]\nconfig_path = ""\n`);
    const local = three('use_local_image_pull = true', '');
    for (const version of ['v2.2.2', 'v2.3.4']) expect(pulls(local, version), version).toEqual(both);
    for (const version of ['v2.2.0', 'v2.2.1', 'v2.3.4']) expect(pulls(old, version), version).toEqual(both);
    expect(pulls(local, 'v2.2.1')).toMatch(/reads no registry directories unless told to/);
    expect(pulls(main(`version = 3\n[${images}]\nuse_local_image_pull = true\n`), 'v2.2.0')).toEqual(both);
  });

  it.each([
    ['registry.mirrors', [...one, ...two], `[${cri}.registry.mirrors."docker.io"]\nendpoint = ["https://m.example"]\n`],
    ['registry.configs.*.tls', one, `[${cri}.registry.configs."r.example".tls]\nca_file = "/ca.pem"\n`],
  ])('%s keeps containerd from reading directories, and from serving beside it', (name, versions, text) => {
    for (const version of versions) {
      const alone = pulls(main(`version = 2\n${text}`), version);
      expect(alone, version).toMatch(/^registry\.\S+ in \S+ takes the place of registry directories; turn it into/);
      expect(alone, version).toContain(name);
      const beside = pulls(main(`version = 2\n[${cri}.registry]\nconfig_path = "/x"\n${text}`), version);
      expect(beside, version).toContain(
        `has config_path beside ${name}, and with both containerd's CRI plugin does not`,
      );
    }
  });

  it('registry.configs.*.tls does nothing in 2.0 and later', () => {
    const text = `version = 2\n[${cri}.registry]\nconfig_path = "/x"\n[${cri}.registry.configs."r.example".tls]\nca_file = "/x"\n`;
    for (const version of two) expect(pulls(main(text), version), version).toEqual(['/x']);
  });

  it('odd values elsewhere do no harm', () => {
    const files = {
      ...main(`version = 3\nimports = ["a.toml"]\noom_score = 9223372036854775807\n[${images}]\n`),
      '/etc/containerd/a.toml': `version = 3\n[${images}.__proto__]\nuse_local_image_pull = true\n`,
    };
    expect(pulls(files, 'v2.3.4')).toEqual(oneDirectory);
  });
});

describe('a process that does not say its version', () => {
  it('has the directories of all versions where each reads some', () => {
    const { way } = read(main(`version = 2\n[${cri}.registry]\nconfig_path = "${list}"\n`));
    const parts = list.split(':');
    expect(way).toEqual({ kind: 'directories', byName: false, lists: [parts, [list], parts].slice(0, 2) });
  });

  it.each([undefined, '', 'dev', '4b1f2e3d.m'])('%j: directories on which all versions agree count', (version) => {
    expect(pulls(main(platforms.gke), version)).toEqual(['/etc/containerd/hosts.d']);
    expect(pulls(main(platforms.eksOne), version)).toEqual(both);
    expect(pulls(main(platforms.eksTwo), version)).toEqual(both);
    expect(pulls(main(platforms.aksTwo(4)), version)).toEqual([usual]);
    expect(pulls(main(platforms.defaultOfTwo(4)), version)).toEqual(oneDirectory);
  });

  it('needs a restart, which is no guess, where all versions agree on that', () => {
    const mirrors = `version = 2\n[${cri}.registry.mirrors."docker.io"]\nendpoint = ["https://m.example"]\n`;
    const { way } = read(main(mirrors));
    expect(way).toEqual({
      kind: 'restart',
      why: expect.stringMatching(/^registry\.mirrors in \/etc\/containerd\/config\.toml takes the place/) as unknown,
    });
    expect(read(main(platforms.defaultOfOne)).way).toMatchObject({ isGuess: true });
  });

  it.each([
    ['defaults', {}],
    ["1.7's defaults", main(platforms.defaultOfOne)],
    ["AKS's mixture, which 1.7 does not know", main(platforms.aksTwo(2))],
  ])('otherwise it says so: %s', (_, files) => {
    expect(pulls(files)).toMatch(
      /^containerd does not say its version, and what \/etc\/containerd\/config\.toml means depends on it; have it answer, or set config_path = "\/etc\/containerd\/certs\.d" in \[/,
    );
  });
});
