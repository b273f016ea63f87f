/** How long a test waits before it says that something hangs. It proves nothing about speed: figures belong to the bench. */
import { availableParallelism, loadavg } from "node:os";

/** What on a quiet machine takes a second or two at most. */
const QUIET_MILLISECONDS = 60_000;
/** So many that want a processor for each that there is. A machine that has just become busy shows it only after a minute. */
const CROWD = Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());

/** For one thing to happen, a process to end, an answer to come. */
export const PATIENCE_MS: number = Math.ceil(QUIET_MILLISECONDS * CROWD);
/** For a whole test, which starts up to some twenty processes one after the other. */
export const TEST_PATIENCE_MS: number = 4 * PATIENCE_MS;
