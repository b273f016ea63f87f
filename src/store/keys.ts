/** The names a client needs itself; all other keys are named in lua/prelude.lua. */

/** The key every script call declares: it names the namespace. */
export function metaKey(prefix: string): string {
  return `${prefix}:meta`;
}

/** Carries one instance's events, once each. */
export function notifyChannel(prefix: string, instance: string): string {
  return `${prefix}:notify:${instance}`;
}

/** Carries every event of the namespace, once each. */
export function eventsChannel(prefix: string): string {
  return `${prefix}:events`;
}
