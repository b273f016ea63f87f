/** Progress of a call that waits, for clients that asked for it: some give up on a silent server. */
import type { ServerContext } from "@modelcontextprotocol/server";

const EVERY_MILLISECONDS = 5000;

/** @returns what ends it */
export function reportProgress(request: ServerContext["mcpReq"]): () => void {
  const progressToken = request._meta?.progressToken;
  if (progressToken === undefined) return () => undefined;
  let progress = 0;
  const timer = setInterval(() => {
    progress += EVERY_MILLISECONDS / 1000;
    const params = { progressToken, progress, message: "waiting for messages" };
    request.notify({ method: "notifications/progress", params }).catch(() => undefined);
  }, EVERY_MILLISECONDS);
  return () => clearInterval(timer);
}
