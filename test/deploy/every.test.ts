// What holds for every way to deploy the agent: its parts name each other rightly.
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { project } from '../image/machine.ts';
import {
  agentOf,
  asKubernetesReadsIt,
  enablingLabels,
  only,
  optionValues,
  optionVariables,
  render,
  renderChart,
  type Binding,
  type Role,
  type Policy,
} from './manifests.ts';

describe.each([
  { name: 'deploy/base', resources: render('deploy/base') },
  { name: 'deploy/overlays/aks', resources: render('deploy/overlays/aks') },
  { name: 'deploy/overlays/pool-example', resources: render('deploy/overlays/pool-example') },
  { name: 'deploy/overlays/monitoring', resources: render('deploy/overlays/monitoring') },
  { name: 'deploy/overlays/restricted', resources: render('deploy/overlays/restricted') },
  { name: 'deploy/overlays/writer', resources: render('deploy/overlays/writer') },
  { name: 'deploy/chart', resources: renderChart('anywhere') },
])('$name', ({ resources }) => {
  const { daemonSet, pod, agent } = agentOf(resources);

  test('runs as the account that may do what it does', () => {
    const account = only(resources, 'ServiceAccount').metadata;
    for (const kind of ['ClusterRole', 'Role']) {
      const { roleRef, subjects } = only(resources, `${kind}Binding`) as Binding;
      expect(subjects).toEqual([{ kind: 'ServiceAccount', name: account.name, namespace: account.namespace }]);
      expect(roleRef).toMatchObject({ kind, name: only(resources, kind).metadata.name });
    }
    expect(pod.serviceAccountName).toBe(account.name);
    expect(daemonSet.metadata.namespace).toBe(account.namespace);
  });

  test('is held to its own Node, by the names of its instance', () => {
    const { name, namespace = '' } = only(resources, 'ServiceAccount').metadata;
    const policies = resources.filter(({ kind }) => kind === 'ValidatingAdmissionPolicy') as Policy[];
    for (const { metadata, spec } of policies) {
      const account = `['system', 'serviceaccount', '${namespace}', '${name}']`;
      expect(spec.matchConditions).toMatchObject([{ expression: `request.userInfo.username.split(':') == ${account}` }]);
      const binding = resources.filter(
        (resource) => resource.kind === 'ValidatingAdmissionPolicyBinding' && resource.metadata.name === metadata.name,
      );
      expect(binding).toMatchObject([{ spec: { policyName: metadata.name, validationActions: ['Deny'] } }]);
    }
    expect(policies.map(({ metadata }) => metadata.name).sort()).toEqual([`events.${name}`, name]);
    const instances = policies.flatMap(({ spec }) => spec.variables).filter((variable) => variable.name === 'instance');
    expect(instances).toMatchObject([{ expression: `'${optionValues(agent, '--instance')[0] ?? ''}'` }]);
  });

  test('selects the pods it makes, by a selector that never has to change', () => {
    const { matchLabels } = daemonSet.spec.selector;
    expect(daemonSet.spec.template.metadata.labels).toMatchObject(matchLabels);
    expect(matchLabels).toEqual({
      'app.kubernetes.io/name': 'node-ca-trust',
      'app.kubernetes.io/instance': optionValues(agent, '--instance')[0],
    });
  });

  test('asks the Node for the labels that select it', () => {
    expect(optionValues(agent, '--node-label').sort()).toEqual(enablingLabels(pod).sort());
  });

  test('keeps the port it listens on', () => {
    const [{ name, containerPort, hostPort, hostIP = '$(LISTEN_ADDRESS)' }] = agent.ports;
    expect(optionValues(agent, '--listen')).toEqual([`${hostIP}:${containerPort}`]);
    expect({ name, hostPort }).toEqual({ name: 'status', hostPort: containerPort });
  });

  test('is probed where it listens', () => {
    const [{ hostIP }] = agent.ports;
    for (const { httpGet } of [agent.startupProbe, agent.livenessProbe, agent.readinessProbe]) {
      expect([httpGet.host, httpGet.port]).toEqual([hostIP, 'status']);
    }
  });

  test('mounts the Secret where it reads it, whole and optional', () => {
    const mount = agent.volumeMounts.find(({ mountPath }) => mountPath === optionValues(agent, '--bundle')[0]);
    expect(mount).not.toHaveProperty('subPath');
    expect(pod.volumes.find(({ name }) => name === mount?.name)).toMatchObject({ secret: { optional: true } });
  });

  test('follows the Secret that it mounts, and may', () => {
    const secret = pod.volumes.find(({ name }) => name === 'bundle')?.secret?.secretName;
    const { metadata, rules } = only(resources, 'Role') as Role;
    expect(optionValues(agent, '--secret')).toEqual([`${daemonSet.metadata.namespace ?? ''}/${secret ?? ''}`]);
    expect(metadata.namespace).toBe(daemonSet.metadata.namespace);
    expect(rules.map(({ resourceNames }) => resourceNames)).toEqual([[secret]]);
  });

  test('has no field that Kubernetes does not know', () => {
    expect(asKubernetesReadsIt(daemonSet)).toMatchObject(daemonSet);
  });

  test('has only options and values that the program knows', async () => {
    const { stdout } = await execa('node', ['src/main.ts', ...agent.args, '--help'], { cwd: project });
    for (const name of optionVariables(agent)) {
      expect(stdout).toContain(`${name.replace('NODE_CA_TRUST_', '--').toLowerCase().replaceAll('_', '-')} `);
    }
  });
});
