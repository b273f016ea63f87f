/** Where Redis is: one server, or servers that know which one it is. */
import type { Address, Login, Server } from "../redis/link.ts";

export type { Address, Login, TlsCertificates } from "../redis/link.ts";

/** Servers that know which one takes the writes of the namespace at the moment. */
export type Discovery =
  | { readonly by: "sentinel"; readonly at: readonly Address[]; readonly master: string; readonly login: Login }
  | { readonly by: "cluster"; readonly at: readonly Address[] };

export interface ConnectionSettings extends Server {
  /** Who is asked for host and port, which are empty then. */
  readonly discovery?: Discovery | undefined;
}
