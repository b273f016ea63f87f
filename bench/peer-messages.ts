/** What the processes of the bench say to each other, and the time that a message carries in its subject. */
import { SUBJECT } from "./world.ts";

export type Task = ListenTask | LoadTask | PingTask;

/** Sends PINGs, and is asked by `Ask` what the longest took. */
export interface PingTask {
  do: "ping";
  url: string;
}

export type Ask = "longest";

export interface ListenTask {
  do: "listen";
  url: string;
  keyPrefix: string;
  instance: string;
  /** Of the bare side. */
  channel: string;
}

export interface LoadTask {
  do: "load";
  url: string;
  keyPrefix: string;
  /** Mine, by number. */
  instances: { from: number; to: number };
  all: number;
  perSecond: number;
  seconds: number;
  warmUpSeconds: number;
}

/** The second word to a process of the load, when all are ready. */
export interface Start {
  /** Of `process.hrtime`, one clock for all processes of a machine. */
  startAt: string;
  /** From when on what is due counts, the same for all. */
  countsFrom: string;
}

export type Answer = "ready" | Arrival | LoadResult | LongestWait;

export interface LongestWait {
  microseconds: number;
}

export interface Arrival {
  side: "ours" | "bare";
  /** From the call of publish to the call of the handler. */
  microseconds: number;
  /** Of these, to the push. */
  pushed?: number;
}

export interface LoadResult {
  /** Whose time had come after the warm-up. */
  published: number;
  /** From when a publish was due to the call of the handler; one for each of these that arrived. */
  delays: number[];
  /** From when it was due until it was sent: what this process was late. */
  late: number[];
  /** Of this process after the warm-up, user and system, in microseconds. */
  processor: number;
  inFlightMaximum: number;
  failures: string[];
}

/** A subject of the usual length that says when. */
export function stamped(stamp: bigint): string {
  return `${stamp} ${SUBJECT}`;
}

export function stampIn(subject: string): bigint {
  return BigInt(/\d+/.exec(subject)![0]);
}
