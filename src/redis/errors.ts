/** How a connection fails. What the system says (`ECONNREFUSED`, a certificate) is thrown as it is. */

/** Redis has answered with an error, in words of its own: `WRONGTYPE Operation against …`. */
export class ErrorReply extends Error {}

/** Nothing was written, so that nothing can have happened. */
export class NeverSent extends Error {
  constructor() {
    super("the connection had ended before");
  }
}

/** The connection has ended before the answer: what was sent may have happened. */
export class ConnectionLost extends Error {
  constructor(cause?: Error) {
    super("the connection was closed by the other side", { cause });
  }
}

/** What came is not what Redis sends, or more than is taken from anybody. */
export class BadReply extends Error {
  constructor(sentence = "what answers there is not Redis") {
    super(sentence);
  }
}

/** Nothing came in time. */
export class NoAnswer extends Error {
  constructor() {
    super("no answer in time");
  }
}
