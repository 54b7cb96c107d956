// What the API server and its etcd take, by their own metrics.
import type { ApiServer } from '../api/harness/api-server.ts';

export interface Costs {
  readonly at: number;
  readonly apiServerCpuSeconds: number;
  readonly etcdCpuSeconds: number;
  /** Of all agents: this process. */
  readonly agentsCpuSeconds: number;
  readonly apiServerMiB: number;
  readonly etcdMiB: number;
  /** The size of etcd's file. */
  readonly databaseMiB: number;
  /** Watches of Secrets, the API server's own included. */
  readonly watches: number;
  /** Secrets that they were sent. A bookmark is smaller than this. */
  readonly sent: number;
  /** Requests that priority and fairness turned away. */
  readonly turnedAway: number;
  /** The seats of the agents' priority level now (others borrow them while it is idle), and the seconds waited for one. */
  readonly seats: number;
  readonly waitedSeconds: number;
}

const etcdMetrics = 'http://127.0.0.1:2379/metrics';
const mebi = 2 ** 20;

/** Service accounts outside kube-system (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/). */
const level = 'priority_level="workload-low"';

/** The sum of a metric's series that have all of these labels. */
function sumOf(text: string, name: string, ...labels: readonly string[]): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** What has been taken so far. */
export async function costsOf(api: ApiServer): Promise<Costs> {
  const own = String(await api.must('GET', '/metrics'));
  const etcd = await (await fetch(etcdMetrics)).text();
  const sizes = 'apiserver_watch_events_sizes';
  const ofSecrets = 'resource="secrets"';
  return {
    at: Date.now(),
    apiServerCpuSeconds: sumOf(own, 'process_cpu_seconds_total'),
    etcdCpuSeconds: sumOf(etcd, 'process_cpu_seconds_total'),
    agentsCpuSeconds: process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6,
    apiServerMiB: sumOf(own, 'process_resident_memory_bytes') / mebi,
    etcdMiB: sumOf(etcd, 'process_resident_memory_bytes') / mebi,
    databaseMiB: sumOf(etcd, 'etcd_mvcc_db_total_size_in_bytes') / mebi,
    watches: sumOf(own, 'apiserver_longrunning_requests', ofSecrets, 'verb="WATCH"'),
    sent: sumOf(own, `${sizes}_count`, ofSecrets) - sumOf(own, `${sizes}_bucket`, ofSecrets, 'le="1024"'),
    turnedAway: sumOf(own, 'apiserver_flowcontrol_rejected_requests_total', level),
    waitedSeconds: sumOf(own, 'apiserver_flowcontrol_request_wait_duration_seconds_sum', level),
    seats: sumOf(own, 'apiserver_flowcontrol_current_limit_seats', level),
  };
}

/** What the API server's heap holds after a collection, in bytes. */
export async function liveHeapOf(api: ApiServer): Promise<number> {
  await api.must('GET', '/debug/pprof/heap?gc=1');
  return sumOf(String(await api.must('GET', '/metrics')), 'go_memstats_heap_alloc_bytes');
}

/** For a person: what was taken between two moments. */
export function spent(from: Costs, to: Costs): string {
  const seconds = (to.at - from.at) / 1000;
  const cpu = (name: 'apiServerCpuSeconds' | 'etcdCpuSeconds' | 'agentsCpuSeconds'): string =>
    (to[name] - from[name]).toFixed(2);
  const away = to.turnedAway - from.turnedAway;
  return (
    `in ${seconds.toFixed(1)} s: API server ${cpu('apiServerCpuSeconds')} s of CPU, ${to.apiServerMiB.toFixed(0)} MiB; ` +
    `etcd ${cpu('etcdCpuSeconds')} s, ${to.etcdMiB.toFixed(0)} MiB, its file ${to.databaseMiB.toFixed(0)} MiB; agents ${cpu('agentsCpuSeconds')} s; ` +
    `turned away ${away}, waited ${(to.waitedSeconds - from.waitedSeconds).toFixed(2)} s for one of ${from.seats} to ${to.seats} seats`
  );
}
