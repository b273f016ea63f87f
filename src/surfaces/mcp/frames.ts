/**
 * The lines a client sends, before the SDK sees them: it passes over in silence what is no message, and a client that waits for
 * the answer to a malformed request would wait for good.
 */
import { Transform, type TransformCallback } from "node:stream";
import { parseJSONRPCMessage } from "@modelcontextprotocol/server";

/** A description of 64 KiB in which every character is escaped has 400 KB; what is longer is no message of ours. */
const LINE_BYTES_MAXIMUM = 4 * 1024 * 1024;
const NEWLINE = 0x0a;
/** JSON-RPC 2.0, section 5.1. */
const INVALID_REQUEST = -32_600;
/** Of a line that is too long its beginning and its end are kept: clients write the id as the first or the last member. */
const TAIL_BYTES = 512;
const FIRST_ID = /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(-?\d{1,16}|"[^"\\]{0,256}")\s*[,}]/;
const LAST_ID = /[^\\]"id"\s*:\s*(-?\d{1,16}|"[^"\\]{0,256}")\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/;

/** Null where none can be read, as JSON-RPC has it. */
type Id = string | number | null;

/** @param refuse writes a line to the client */
export function acceptFrames(refuse: (line: string) => void): Transform {
  let parts: Buffer[] = [];
  let length = 0;
  let tail: Buffer = Buffer.alloc(0);
  const take = (line: Buffer, push: (line: Buffer) => void): void => {
    if (length <= LINE_BYTES_MAXIMUM) parts.push(line);
    else tail = Buffer.concat([tail, line.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES);
    length += line.length;
    if (line.at(-1) !== NEWLINE) return;
    const whole = Buffer.concat(parts);
    const end = Buffer.concat([whole.subarray(-TAIL_BYTES), tail]).toString();
    const tooLong = length > LINE_BYTES_MAXIMUM;
    parts = [];
    length = 0;
    tail = Buffer.alloc(0);
    if (tooLong) return refuse(refusal(idOf(whole, end), TOO_LONG));
    const problems = problemsOf(whole.toString());
    if (problems === undefined) push(whole);
    else for (const { id, problem } of problems) refuse(refusal(id, problem));
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      let begin = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, begin)) {
        take(chunk.subarray(begin, end + 1), (line) => this.push(line));
        begin = end + 1;
      }
      if (begin < chunk.length) take(chunk.subarray(begin), () => undefined);
      done();
    },
  });
}

const TOO_LONG = `A request has at most ${LINE_BYTES_MAXIMUM} bytes: this one was not read.`;

function idOf(whole: Buffer, end: string): Id {
  const found = FIRST_ID.exec(whole.subarray(0, TAIL_BYTES).toString()) ?? LAST_ID.exec(end);
  return found === null ? null : (JSON.parse(found[1]!) as Id);
}

function refusal(id: Id, message: string): string {
  return `${JSON.stringify({ jsonrpc: "2.0", id, error: { code: INVALID_REQUEST, message } })}\n`;
}

/** Undefined for what the SDK takes, and answers where it must; else whom to tell, which is nobody where no id can be read. */
function problemsOf(line: string): { id: Id; problem: string }[] | undefined {
  let frame: unknown;
  try {
    frame = JSON.parse(line);
  } catch {
    return [];
  }
  try {
    parseJSONRPCMessage(frame);
    return undefined;
  } catch {
    const several = Array.isArray(frame);
    return (several ? (frame as unknown[]) : [frame]).flatMap((one) => {
      const { id, ...rest } = typeof one === "object" && one !== null ? (one as Record<string, unknown>) : {};
      if (typeof id !== "string" && typeof id !== "number") return [];
      return { id, problem: several ? "Batches are not part of MCP: send one request a line." : problemOf(id, rest) };
    });
  }
}

function problemOf(id: Id, { jsonrpc, method, params }: Record<string, unknown>): string {
  if (jsonrpc !== "2.0") return 'jsonrpc must be "2.0".';
  if (typeof id === "number" && !Number.isSafeInteger(id)) return "id must be text or a whole number.";
  if (typeof method !== "string") return "method must be text.";
  const isObject = typeof params === "object" && params !== null && !Array.isArray(params);
  return params === undefined || isObject ? "_meta of params is malformed." : "params must be an object.";
}
