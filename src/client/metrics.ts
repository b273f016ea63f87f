/**
 * The namespace in Prometheus' text format (version 0.0.4): for `coord stats --prometheus` and `/metrics` of the page. Labels are
 * names of instances, at most 100, and words of the protocol; nothing of a message's text is in it.
 */
import { MESSAGE_TYPES, PEOPLE_NAMES } from "../protocol/definition.ts";
import type { PresenceStatus } from "../protocol/results.ts";
import { NEED_KINDS, whatNeedsAttention } from "./attention.ts";
import { CoordinationClient } from "./client.ts";
import type { Settings } from "./settings.ts";
import { measureTimes } from "./times.ts";

/** Those with the most unanswered mail: each name is a time series that Prometheus keeps. */
const INSTANCES_LABELLED = 100;
/** Of the quantiles: what a dashboard that is read every minute still shows change in. */
const HOURS = 1;
const STATUSES: readonly PresenceStatus[] = ["active", "stale", "offline", "unknown"];

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** @throws CoordinationError UNAVAILABLE, TIMEOUT */
export async function prometheusText(settings: Settings): Promise<string> {
  // For nobody: to be measured is no sign of life. What needs a person is addressed to one.
  const nobody = { ...settings, agentSessionId: undefined, instanceId: undefined };
  await using client = new CoordinationClient(nobody);
  await using person = new CoordinationClient({ ...nobody, instanceId: PEOPLE_NAMES[0] });
  const [stats, { instances }, times, { needs }] = await Promise.all([
    client.getStats(),
    client.session.presences(""),
    measureTimes(client, HOURS),
    whatNeedsAttention(person),
  ]);
  const listed = Object.entries(stats.instances)
    .sort(([, a], [, b]) => b.pending - a.pending)
    .slice(0, INSTANCES_LABELLED);
  const all = Object.values(instances);
  const quantiles = (of: "presented" | "acknowledged"): Sample[] => [
    ...(times[of].p50 === null ? [] : [[{ quantile: "0.5" }, times[of].p50] as const]),
    ...(times[of].p95 === null ? [] : [[{ quantile: "0.95" }, times[of].p95] as const]),
  ];
  const oldest = stats.oldestPending?.timestamp;
  return [
    family("coord_messages", "gauge", "Messages that are stored, by what became of them.", [
      [{ state: "pending" }, stats.pending],
      [{ state: "dead" }, stats.dead],
      [{ state: "settled" }, stats.settled],
    ]),
    family(
      "coord_published_total",
      "counter",
      "Messages that were ever published, by type.",
      MESSAGE_TYPES.map((type) => [{ type }, stats.byType[type] ?? 0]),
    ),
    family(
      "coord_oldest_pending_timestamp_seconds",
      "gauge",
      "When the oldest unanswered message was sent.",
      oldest === undefined ? [] : [[{}, Date.parse(oldest) / 1000]],
    ),
    family(
      "coord_instances",
      "gauge",
      "Known instances, by presence.",
      STATUSES.map((status) => [{ status }, all.filter((it) => it.status === status).length]),
    ),
    family(
      "coord_instance_pending",
      "gauge",
      "Messages that an instance has still to acknowledge.",
      listed.map(([instance, { pending }]) => [{ instance }, pending]),
    ),
    family(
      "coord_instance_unread",
      "gauge",
      "Messages that were not shown to an instance yet.",
      listed.map(([instance, { unread }]) => [{ instance }, unread]),
    ),
    family(
      "coord_needs",
      "gauge",
      "What needs a person, by kind.",
      NEED_KINDS.map((kind) => [{ kind }, needs.filter((need) => need.kind === kind).length]),
    ),
    family("coord_presented_seconds", "gauge", "From stored to shown, in the last hour.", quantiles("presented")),
    family(
      "coord_acknowledged_seconds",
      "gauge",
      "From stored to acknowledged, in the last hour.",
      quantiles("acknowledged"),
    ),
  ].join("");
}

function family(name: string, type: "gauge" | "counter", help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => `${name}${labelled(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function labelled(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value.replaceAll(/[\\"\n]/g, "_")}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
