/** Which variables matter to our programs, and so have to come through to the servers and hooks that an agent starts. */
import { SERVER_VARIABLES } from "../client/connecting.ts";
import { NAMESPACE_SETTINGS } from "../protocol/definition.ts";

/** XDG_CONFIG_HOME says where the register is: without it a server looks into another one than the hooks. */
export const HOST_VARIABLES: readonly string[] = [
  "XDG_CONFIG_HOME",
  "CLAUDE_INSTANCE_ID",
  "COORD_KEY_PREFIX",
  "COORD_ORCHESTRATOR",
  ...SERVER_VARIABLES,
  "COORD_WAIT_REPLICAS",
  "COORD_WAIT_REPLICAS_MILLISECONDS",
  "COORD_ACK_TIMEOUT_SECONDS",
  "COORD_UNKNOWN_RECIPIENT",
  "COORD_DIRECTION",
  "COORD_OFF",
  "COORD_SENDERS",
  ...Object.values(NAMESPACE_SETTINGS).map(({ variable }) => variable),
];

/** Gemini keeps from a server what by its name may be a secret, unless the server's entry lists it. */
const LOOKS_SECRET = /KEY|PASSWORD|CERT|TOKEN|SECRET/;

export const SECRET_LOOKING: readonly string[] = HOST_VARIABLES.filter((name) => LOOKS_SECRET.test(name));
