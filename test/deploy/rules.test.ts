// The alerts of deploy/monitoring, by Prometheus' own tool: when each fires and when not, and what it then says.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, test } from 'vitest';
import { alertRules, promtool } from './prometheus.ts';

type Labels = Readonly<Record<string, string>>;

interface Series {
  readonly series: string;
  readonly values: string;
}

type Row = readonly [alert: string, when: string, input: readonly Series[], minute: number, fires: readonly Labels[]];

const directory = mkdtempSync(join(tmpdir(), 'node-ca-trust-rules-'));
const file = join(directory, 'rules.json');
const rules = alertRules();
writeFileSync(file, JSON.stringify(rules));

afterAll(() => {
  rmSync(directory, { recursive: true });
});

const day = 86_400;

/** What the PodMonitor gives to everything that the agent of a node says. */
function target(node: string, instance = 'default'): Labels {
  const pod = `${instance}-${node}`;
  const scraped = { container: 'node-ca-trust', endpoint: 'status', instance: `${node}:9641`, job: 'node-ca-trust' };
  return { ...scraped, namespace: 'node-ca-trust', pod, node, agent_instance: instance };
}

/** A series, a sample a minute in promtool's notation: 0x60 is a zero for an hour, _ is none. */
function series(name: string, labels: Labels, values: string): Series {
  const listed = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return { series: `${name}{${listed.join()}}`, values };
}

const repeated = (values: string, times: number): string => Array<string>(times).fill(values).join(' ');
const converged = (values: string, node = 'a') => series('node_ca_trust_converged', target(node), values);
const heldBack = (values: string) => series('node_ca_trust_removals_held_back', target('a'), values);
const up = (values: string) => series('up', target('a'), values);
const failed = (values: string) =>
  series('node_ca_trust_passes_total', { ...target('a'), result: 'failed' }, values);
const runtime = (state: string, values: string, node = 'a') =>
  series('node_ca_trust_runtime_state', { ...target(node), runtime: 'containerd', state }, values);
const digest = (value: string, values: string, node = 'a', instance = 'default') =>
  series('node_ca_trust_bundle_info', { ...target(node, instance), digest: value }, values);

const anchor: Labels = { fingerprint: 'ee55', subject: 'O=Example, CN=Root' };
/** promtool's clock begins at 0, so the time of expiry is the time from now. */
const expiry = (seconds: number, node = 'a', instance = 'default') =>
  series('node_ca_trust_anchor_expiry_timestamp_seconds', { ...target(node, instance), ...anchor }, `${seconds}x120`);
const ofAnchor: Labels = { namespace: 'node-ca-trust', agent_instance: 'default', ...anchor };

/** The labels that a firing alert has: those of what it is about, and its severity. */
const none: readonly Labels[] = [];

describe('alerts', () => {
  test('are rules that Prometheus takes', () => {
    expect(promtool('check', 'rules', file)).toContain(`SUCCESS: ${rules.groups[0]?.rules.length} rules found`);
  });

  it.each<Row>([
    ['NotConverged', 'a node is not proven for ten minutes', [converged('0x60')], 10, [target('a')]],
    ['NotConverged', 'one of two is not', [converged('1x60'), converged('0x60', 'b')], 30, [target('b')]],
    ['NotConverged', 'it is nine minutes', [converged('0x60')], 9, none],
    ['NotConverged', 'a rotation takes two minutes', [converged('1x10 0x2 1x40')], 12, none],
    ['NotConverged', 'it was proven meanwhile', [converged('0x7 1 0x60')], 15, none],
    ['NotConverged', 'the agent is gone', [converged('0x5 stale')], 30, none],
    ['AgentDown', 'it does not answer for ten minutes', [up('0x60')], 10, [target('a')]],
    ['AgentDown', 'it starts again and again, and answers once each time', [up(repeated('0 0 0 0 1', 12))], 30, [target('a')]],
    ['AgentDown', 'it was up, and does not answer any more', [up('1x20 0x40')], 35, [target('a')]],
    ['AgentDown', 'it is restarted', [up('1x5 0x3 1x40')], 9, none],
    ['AgentDown', 'its node boots for six minutes', [up('1x20 0x6 1x40')], 30, none],
    ['AgentDown', 'its pod is gone', [up('0x20 stale')], 30, none],
    ['AnchorExpiresSoon', 'it expires in 29 days, on two nodes', [expiry(29 * day), expiry(29 * day, 'b')], 10, [ofAnchor]],
    ['AnchorExpiresSoon', 'it has expired', [expiry(60)], 60, [ofAnchor]],
    ['AnchorExpiresSoon', 'it expires in 31 days', [expiry(31 * day)], 60, none],
    [
      'AnchorExpiresSoon',
      'two instances have it',
      [expiry(day), expiry(day, 'a', 'lab')],
      10,
      [ofAnchor, { ...ofAnchor, agent_instance: 'lab' }],
    ],
    [
      'DigestDiffers',
      'a node stays with the old bundle',
      [digest('new', '1x60'), digest('old', '1x60', 'b')],
      10,
      [{ namespace: 'node-ca-trust', agent_instance: 'default' }],
    ],
    ['DigestDiffers', 'the nodes have the same', [digest('new', '1x60'), digest('new', '1x60', 'b')], 30, none],
    [
      'DigestDiffers',
      'a rotation takes three minutes from node to node',
      [digest('old', '1x20 stale'), digest('new', '_x20 1x40'), digest('old', '1x23 stale', 'b'), digest('new', '_x23 1x40', 'b')],
      25,
      none,
    ],
    [
      'DigestDiffers',
      'two instances have bundles of their own',
      [digest('one', '1x60'), digest('two', '1x60', 'a', 'lab')],
      30,
      none,
    ],
    ...['restart-needed', 'restart-failed'].map((state): Row => {
      const labels = { ...target('a'), runtime: 'containerd', state };
      return ['RestartNeeded', `a runtime is in the state ${state}`, [runtime(state, '1x60')], 10, [labels]];
    }),
    ['RestartNeeded', 'it was restarted', [runtime('restart-needed', '1x5 stale'), runtime('trusts', '_x5 1x60')], 20, none],
    ['RestartNeeded', 'pulls trust', [runtime('trusts', '1x60'), runtime('revoked-after-restart', '1x60', 'b')], 30, none],
    [
      'PullsIncomplete',
      'some registries are not served',
      [runtime('incomplete', '1x60')],
      10,
      [{ ...target('a'), runtime: 'containerd', state: 'incomplete' }],
    ],
    ['PullsIncomplete', 'all are', [runtime('trusts', '1x60')], 30, none],
    [
      'PassesFailing',
      'a node fails and recovers every three minutes',
      [failed('0+1x60'), converged(repeated('0 1 1', 20))],
      45,
      [{ ...target('a'), result: 'failed' }],
    ],
    ['PassesFailing', 'a broken entry stands for five minutes', [failed('0x20 6 7 8 9 10 10x100'), converged('1x20 0x5 1x100')], 40, none],
    ['PassesFailing', 'it stands for half an hour', [failed('0x20 6+1x30 36x100'), converged('1x20 0x30 1x100')], 70, none],
    ['PassesFailing', 'three fail in an hour', [failed('0x5 1x5 2x5 3x60'), converged('1x120')], 60, none],
    ...[5, 12, 20, 60].map((minute): Row => {
      const input = [failed('0+1x120'), converged('0x120')];
      return ['PassesFailing', `one fails for good, minute ${minute}`, input, minute, none];
    }),
    ['RemovalsHeldBack', 'one waits for an hour', [heldBack('1x120')], 60, [target('a')]],
    ['RemovalsHeldBack', 'one waits for half an hour', [heldBack('1x30 0x60')], 30, none],
    ['RemovalsHeldBack', 'none waits', [heldBack('0x120')], 90, none],
  ])('NodeCATrust%s: %s', (alert, _, input, minute, fires) => {
    const rule = ruleOf(`NodeCATrust${alert}`);
    const firing = (labels: Labels): string => {
      const all = { alertname: rule.alert, alertstate: 'firing', ...rule.labels, ...labels };
      return series('ALERTS', all, '').series;
    };
    const expr = `ALERTS{alertname="${rule.alert}", alertstate="firing"}`;
    const samples = fires.map((labels) => ({ labels: firing(labels), value: 1 }));
    judge(input, { promql_expr_test: [{ expr, eval_time: `${minute}m`, exp_samples: samples }] });
  });
});

function ruleOf(alert: string) {
  const rule = rules.groups.flatMap((group) => group.rules).find((candidate) => candidate.alert === alert);
  if (rule === undefined) throw new Error(`there is no alert ${alert}`);
  return rule;
}

/** Has promtool run a test of the rules. Throws with what it found instead. */
function judge(input: readonly Series[], checks: object): void {
  const written = join(directory, 'test.json');
  const tests = [{ interval: '1m', input_series: input, ...checks }];
  writeFileSync(written, JSON.stringify({ rule_files: [file], evaluation_interval: '1m', tests }));
  promtool('test', 'rules', written);
}

describe('what an alert says', () => {
  const filled = (text: string, labels: Labels, values: Readonly<Record<string, string>>): string =>
    text.replace(/\{\{ (.+?) \}\}/g, (_, inner: string) => {
      const label = /^\$labels\.(\w+)$/.exec(inner)?.[1];
      const value = label === undefined ? values[inner] : labels[label];
      if (value === undefined) throw new Error(`nothing is known of ${inner}`);
      return value;
    });

  it.each<[alert: string, input: Series[], labels: Labels, values: Readonly<Record<string, string>>]>([
    ['NotConverged', [converged('0x120')], target('a'), {}],
    ['AgentDown', [up('0x120')], target('a'), {}],
    ['AnchorExpiresSoon', [expiry(29 * day)], ofAnchor, { '$value | humanizeTimestamp': '1970-01-30 00:00:00 +0000 UTC' }],
    [
      'DigestDiffers',
      [digest('new', '1x120'), digest('old', '1x120', 'b')],
      { namespace: 'node-ca-trust', agent_instance: 'default' },
      { $value: '2' },
    ],
    [
      'RestartNeeded',
      [runtime('restart-needed', '1x120')],
      { ...target('a'), runtime: 'containerd', state: 'restart-needed' },
      {},
    ],
    [
      'PullsIncomplete',
      [runtime('incomplete', '1x120')],
      { ...target('a'), runtime: 'containerd', state: 'incomplete' },
      {},
    ],
    [
      'PassesFailing',
      [failed('0+1x120'), converged('1x120')],
      { ...target('a'), result: 'failed' },
      // Of the spans, both ends of the hour are counted up to Prometheus 2.
      { $value: '13' },
    ],
    ['RemovalsHeldBack', [heldBack('2x120')], target('a'), { $value: '2' }],
  ])('NodeCATrust%s names what it is about', (name, input, labels, values) => {
    const rule = ruleOf(`NodeCATrust${name}`);
    const exp_annotations = {
      summary: filled(rule.annotations.summary, labels, values),
      description: filled(rule.annotations.description, labels, values),
    };
    const exp_alerts = [{ exp_labels: { ...labels, ...rule.labels }, exp_annotations }];
    judge(input, { alert_rule_test: [{ alertname: rule.alert, eval_time: '90m', exp_alerts }] });
  });

  test('is known for every alert', () => {
    expect(rules.groups.flatMap((group) => group.rules).map(({ alert }) => alert)).toEqual(
      ['NotConverged', 'AgentDown', 'AnchorExpiresSoon', 'DigestDiffers', 'RestartNeeded', 'PullsIncomplete', 'PassesFailing', 'RemovalsHeldBack'].map(
        (name) => `NodeCATrust${name}`,
      ),
    );
  });
});
