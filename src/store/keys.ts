/** The names a client needs itself; all others are named in lua/. */
import { KEY_KINDS, NAMED_CHANNEL } from "../protocol/definition.ts";

/** What a cluster hashes instead of the whole key: the text in the first braces, unless they are empty. */
const HASH_TAG = /^[^{]*\{[^}]+\}/;

/** The prefix as a cluster needs it: with a hash tag, so that all keys share a slot. Undefined where none can be made. */
export function oneSlot(prefix: string): string | undefined {
  return [prefix, `{${prefix}}`].find((candidate) => HASH_TAG.test(candidate));
}

/** The key every script call declares: it names the namespace. */
export function metaKey(prefix: string): string {
  return `${prefix}:meta`;
}

/**
 * The keys of the namespace, kind by kind, as Redis matches patterns; no character of a prefix means anything in one. With a
 * single pattern for all of them, `coord:*`, the user of one namespace would reach the keys of `coord:payroll`.
 */
export function keyPatterns(prefix: string): string[] {
  return [
    ...KEY_KINDS.single.map((kind) => `${prefix}:${kind}`),
    ...KEY_KINDS.named.map((kind) => namedPattern(prefix, kind)),
  ];
}

/** All keys of a kind with a name, or those of one name. */
export function namedPattern(prefix: string, kind: string, ...name: string[]): string {
  return [prefix, kind, ...(name.length === 0 ? ["*"] : name)].join(":");
}

/** What only the Redis user of that instance may write; see lua/parts/seals.lua. */
export function sealKey(prefix: string, instance: string): string {
  return `${prefix}:seal:${instance}`;
}

/** Carries one instance's events, once each. */
export function notifyChannel(prefix: string, instance: string): string {
  return `${prefix}:${NAMED_CHANNEL}:${instance}`;
}

/** Carries every event of the namespace, once each. */
export function eventsChannel(prefix: string): string {
  return `${prefix}:events`;
}
