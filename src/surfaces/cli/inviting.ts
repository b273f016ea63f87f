/** `coord invite`: a user for one instance, and what another machine reads to be it. */
import { randomBytes } from "node:crypto";
import { type Invitation, makeInvitation, writeInvitation } from "../../client/invitation.ts";
import { isLoopback } from "../../client/local-password.ts";
import { serverAddress } from "../../client/inspection.ts";
import { resolveSettings, type Settings } from "../../client/settings.ts";
import { invalid } from "../../protocol/validation.ts";
import { readListening } from "../../server/listening.ts";
import { privateDataFolder } from "../../server/private.ts";
import { EXIT, print, printJson, printWarnings } from "./outcome.ts";

/** As hard to guess as a key of AES. */
const PASSWORD_BYTES = 24;

/** @returns the exit code */
export async function inviteMachine(instance: string, json: boolean): Promise<number> {
  const settings = resolveSettings();
  const reach = await reachOf(settings);
  const password = randomBytes(PASSWORD_BYTES).toString("hex");
  const { invitation, kept } = await makeInvitation(settings, instance, password, reach);
  const text = writeInvitation(invitation);
  const { user, host, port, prefix } = invitation;
  if (json)
    printJson({ success: true, command: "coord join", invitation: text, instance, user, host, port, prefix, kept });
  else print(`Run this on the other machine, in its clone, and paste what follows:\n\n  coord join\n\n${text}`);
  printWarnings([
    `Whoever has read this speaks as ${instance}; coord invite ${instance} again makes it worthless.`,
    ...(kept ? [] : ["This Redis forgets the user when it restarts: it has no aclfile."]),
  ]);
  return EXIT.done;
}

/** Where other machines reach the server: with TLS, or not at all. @throws CoordinationError INVALID */
async function reachOf(settings: Settings): Promise<Pick<Invitation, "host" | "ca">> {
  const { connection } = settings;
  const { host, port, tls, path, discovery, certificates } = connection;
  const address = serverAddress(settings);
  if (path !== undefined || discovery !== undefined) {
    throw invalid(
      `Redis is ${address}: an invitation names one server by host and port.`,
      "Set REDIS_URL to rediss://….",
    );
  }
  if (isLoopback(connection)) {
    const listening = await readListening(privateDataFolder(port, process.env));
    if (listening !== undefined) return { host: listening.address, ca: listening.served.ca };
    throw invalid(
      `Redis is ${address}: no other machine reaches it.`,
      "coord down, then coord up --listen <address of this machine>.",
    );
  }
  if (!tls)
    throw invalid(`Redis at ${address} is used without TLS: the password would be read by others.`, "Use rediss://.");
  if (certificates?.cert !== undefined) {
    throw invalid(
      `Redis at ${address} asks for a client's certificate, which an invitation has none of.`,
      "Set that machine up by hand.",
    );
  }
  return { host, ca: certificates?.ca };
}
