/**
 * The options of `status`, and what they ask for.
 */
import { Option } from 'commander';
import type { StatusConfig } from './config.ts';
import { collectLabels, parseDigest, parseDuration, parseInstance, parseNamespace } from './values.ts';

export function statusOptions(): readonly Option[] {
  return [
    new Option('--kubeconfig <path>', 'which kubeconfig (default: as kubectl finds it)'),
    new Option('--context <name>', 'which context of it (default: its current one)'),
    new Option('--namespace <name>', "where to look for the agents' pods (default: everywhere)").argParser(
      parseNamespace,
    ),
    new Option('--instance <name>', 'which agents').argParser(parseInstance).default('default'),
    new Option(
      '--node-label <label>',
      'the label that enables a node; repeatable: one of them is enough (default: node-ca-trust.io/enabled=true)',
    ).argParser(collectLabels),
    new Option(
      '--digest <digest>',
      'what every enabled node has to have proven, as check prints it; 12 digits are enough',
    ).argParser(parseDigest),
    new Option('--wait', 'until every enabled node has proven it; without --digest, until all agree').default(false),
    new Option('--timeout <duration>', 'how long --wait waits').argParser(parseDuration).default(600_000, '10m'),
    new Option('--watch', 'show it anew whenever it changes, until Ctrl-C').default(false),
    new Option('--output <format>', 'how to print the result').choices(['table', 'wide', 'json']).default('table'),
  ];
}

/** What the options give. */
export type StatusChoice = Omit<StatusConfig, 'nodeLabel' | 'timeoutMs'> &
  Partial<Pick<StatusConfig, 'nodeLabel'>> & { readonly timeout: number };
