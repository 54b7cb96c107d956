// What the agents asked for, as the API server itself wrote it down (its audit log).
import { closeSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { namespace } from '../api/harness/account.ts';

/** One request of an agent. */
export interface Asked {
  /** Where the agent runs, by its token. */
  readonly node: string;
  /** What for: `patch nodes/status`. */
  readonly what: string;
  readonly code: number;
  /** When it reached the API server: milliseconds since the epoch. */
  readonly at: number;
}

interface Entry {
  readonly auditID: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestReceivedTimestamp: string;
  readonly user: { readonly extra?: Readonly<Record<string, readonly string[]>> };
  readonly objectRef?: { readonly resource: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code?: number };
}

const user = `system:serviceaccount:${namespace}:node-ca-trust`;
/** A watch is written down when it begins, everything else when it has ended. */
const policy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'Panic'],
  rules: [{ level: 'Metadata', users: [user] }, { level: 'None' }],
};

/** The API server's flags. @param directory where the log is to be */
export function auditFlags(directory: string): readonly string[] {
  const file = join(directory, 'audit-policy.json');
  writeFileSync(file, JSON.stringify(policy));
  return [
    `--audit-policy-file=${file}`,
    `--audit-log-path=${join(directory, 'audit.log')}`,
    '--audit-log-maxsize=4000',
  ];
}

export interface Audit {
  /** All requests so far: a line is there before its request is answered. */
  read(): readonly Asked[];
}

/** Opens the log in that directory. */
export function openAudit(directory: string): Audit {
  const all: Asked[] = [];
  const seen = new Set<string>();
  let offset = 0;
  let rest = '';
  const take = (line: string): void => {
    const entry = JSON.parse(line) as Entry;
    const { auditID, stage, verb, requestReceivedTimestamp } = entry;
    const isBegun = stage === 'ResponseStarted' || stage === 'ResponseComplete';
    if (!isBegun || seen.has(auditID)) return;
    seen.add(auditID);
    const { resource = '', subresource } = entry.objectRef ?? {};
    all.push({
      node: entry.user.extra?.['authentication.kubernetes.io/node-name']?.[0] ?? '',
      what: `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`,
      code: entry.responseStatus?.code ?? 0,
      at: Date.parse(requestReceivedTimestamp),
    });
  };
  return {
    read() {
      const file = openSync(join(directory, 'audit.log'), 'r');
      const more = Buffer.alloc(fstatSync(file).size - offset);
      readSync(file, more, 0, more.length, offset);
      closeSync(file);
      offset += more.length;
      const lines = (rest + more.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
      return all;
    },
  };
}

/** How many requests of each kind there are. */
export function counted(asked: readonly Asked[]): Readonly<Record<string, number>> {
  const kinds = Map.groupBy(asked, ({ what, code }) => (code < 300 ? what : `${what}: ${code}`));
  return Object.fromEntries([...kinds].map(([kind, some]) => [kind, some.length] as const).sort());
}
