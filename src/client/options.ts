/** What a client is made with; all that is left out comes from the environment, the run, the register or a default. */
import type { SessionFacts } from "../protocol/results.ts";

export interface SettingsOptions {
  /** Who speaks. */
  instanceId?: string | undefined;
  /** `redis://`, `rediss://` or `unix:`; the connection is then taken whole from here. */
  redis?: string | undefined;
  keyPrefix?: string | undefined;
  orchestrator?: string | undefined;
  presenceTimeoutSeconds?: number | undefined;
  /** How long events that were handed out wait for their confirmation, 0 to 86,400; default 10. */
  loanSeconds?: number | undefined;
  /** The folder whose project it is about; default the working directory. */
  cwd?: string | undefined;
  /** Default `process.env`. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface ClientOptions extends SettingsOptions {
  /** Joins as this run of an agent, and beats and leaves by itself. Default: no session, each operation is a sign of life. */
  session?: SessionFacts | undefined;
}
