/** What takes several calls, each from the cursor of the one before. */
import { CoordinationError, ErrorCode } from "../protocol/errors.ts";

/** Far more than any namespace takes: 2,000 instances a step, a message an export's. */
const STEPS_MAXIMUM = 100_000;

/** Counts them, so that a server which always has a further page ends. @throws CoordinationError UNAVAILABLE */
export function* steps(): Generator<number, never, undefined> {
  for (let step = 0; step < STEPS_MAXIMUM; step++) yield step;
  throw new CoordinationError(
    ErrorCode.UNAVAILABLE,
    `What answers as Redis has a further page after ${STEPS_MAXIMUM}: it is not Redis.`,
    { hint: "Check REDIS_URL, or REDIS_HOST and REDIS_PORT." },
  );
}
