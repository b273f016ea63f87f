/**
 * A model service on loopback that answers from a script, so that a real agent runs offline. It speaks the Anthropic
 * Messages API, the OpenAI Responses and Chat Completions APIs, and that of Gemini. What an agent showed its model is what stands in `requests`.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Ends the turn, or calls a tool; `namespace` is what Codex calls an MCP server. */
export type Step = { text: string } | { tool: string; input?: object; namespace?: string };
/** The answer to one request; a function does something first, while the agent waits for its model. */
export type Answer = Step | (() => Promise<Step>);

type Body = Record<string, unknown>;

export class ScriptedModel implements AsyncDisposable {
  /** Requests of the conversation itself, oldest first; each holds the whole conversation until then. */
  readonly requests: Body[] = [];
  readonly #server: Server;
  readonly #script: Answer[] = [];
  #answers = 0;

  private constructor() {
    this.#server = createServer(
      (request, response) => void this.#serve(request, response).catch(() => response.destroy()),
    );
  }

  static async start(): Promise<ScriptedModel> {
    const model = new ScriptedModel();
    model.#server.listen(0, "127.0.0.1");
    await once(model.#server, "listening");
    return model;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Appends answers. After the last one, every turn ends at once. */
  will(...answers: Answer[]): void {
    this.#script.push(...answers);
  }

  /** All text that the newest request shows the model, without the instructions of the agent's maker. */
  get shown(): string {
    return this.shownIn(this.requests.length - 1);
  }

  shownIn(request: number): string {
    const { messages, input, contents, system, systemInstruction, instructions } = this.requests[request] ?? {};
    return [system, systemInstruction, instructions, messages, input, contents].flatMap(textsIn).join("\n");
  }

  /** What the newest request, or that of the number, has that the one before `request` had not. */
  shownSince(request: number, until: number = this.requests.length - 1): string {
    const conversation = (body: Body = {}): unknown[] =>
      (body["messages"] ?? body["input"] ?? body["contents"] ?? []) as unknown[];
    const [before, now] = [conversation(this.requests[request - 1]), conversation(this.requests[until])];
    return textsIn(now.slice(before.length)).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as Body);
    const { pathname } = new URL(request.url ?? "/", this.url);
    if (pathname === "/v1/messages") return this.#answerMessages(body, response);
    if (pathname === "/v1/responses") return this.#answerResponses(body, response);
    if (pathname === "/v1/chat/completions") return this.#answerChat(body, response);
    if (pathname.endsWith("enerateContent")) return this.#answerGemini(body, pathname.includes(":stream"), response);
    const known = /count_?tokens$/i.test(pathname);
    response.writeHead(known ? 200 : 404, { "content-type": "application/json" });
    response.end(known ? '{"input_tokens":10,"totalTokens":10}' : "{}");
  }

  async #next(body: Body): Promise<Step> {
    this.requests.push(body);
    const answer = this.#script.shift() ?? { text: "Done." };
    return typeof answer === "function" ? answer() : answer;
  }

  async #answerMessages(body: Body, response: ServerResponse): Promise<void> {
    // Requests without tools are the agent's own business, such as a title for the session.
    const aside = ((body["tools"] ?? []) as unknown[]).length === 0;
    const step = aside ? { text: '{"title":"Test"}' } : await this.#next(body);
    const id = ++this.#answers;
    const block =
      "tool" in step
        ? { type: "tool_use", id: `toolu_${id}`, name: step.tool, input: step.input ?? {} }
        : { type: "text", text: step.text };
    const message = {
      id: `msg_${id}`,
      type: "message",
      role: "assistant",
      model: body["model"],
      content: [block],
      stop_reason: "tool" in step ? "tool_use" : "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 10, output_tokens: 5 },
    };
    if (body["stream"] !== true) {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(message));
      return;
    }
    const send = eventStream(response);
    send("message_start", { message: { ...message, content: [], stop_reason: null } });
    const empty = block.type === "text" ? { type: "text", text: "" } : { ...block, input: {} };
    const delta =
      "text" in block
        ? { type: "text_delta", text: block.text }
        : { type: "input_json_delta", partial_json: JSON.stringify(block.input) };
    send("content_block_start", { index: 0, content_block: empty });
    send("content_block_delta", { index: 0, delta });
    send("content_block_stop", { index: 0 });
    send("message_delta", {
      delta: { stop_reason: message.stop_reason, stop_sequence: null },
      usage: { output_tokens: 5 },
    });
    send("message_stop", {});
    response.end();
  }

  async #answerResponses(body: Body, response: ServerResponse): Promise<void> {
    // Requests without tools are the agent's own business, such as a title for the session.
    const aside = ((body["tools"] ?? []) as unknown[]).length === 0;
    const step = aside ? { text: "Test" } : await this.#next(body);
    const id = ++this.#answers;
    const item =
      "tool" in step
        ? {
            type: "function_call",
            id: `fc_${id}`,
            call_id: `call_${id}`,
            name: step.tool,
            ...(step.namespace === undefined ? {} : { namespace: step.namespace }),
            arguments: JSON.stringify(step.input ?? {}),
          }
        : { type: "message", id: `m_${id}`, role: "assistant", content: [{ type: "output_text", text: step.text }] };
    const usage = {
      input_tokens: 1,
      input_tokens_details: null,
      output_tokens: 1,
      output_tokens_details: null,
      total_tokens: 2,
    };
    const send = eventStream(response);
    send("response.created", { response: { id: `r${id}` } });
    send("response.output_item.done", { output_index: 0, item });
    send("response.completed", { response: { id: `r${id}`, usage } });
    response.end();
  }

  async #answerChat(body: Body, response: ServerResponse): Promise<void> {
    const aside = ((body["tools"] ?? []) as unknown[]).length === 0;
    const step = aside ? { text: "Test" } : await this.#next(body);
    const id = ++this.#answers;
    const send = (delta: object, finish: string | null): void => {
      const chunk = { id: `c${id}`, object: "chat.completion.chunk", created: 1, model: body["model"] };
      const choices = [{ index: 0, delta, finish_reason: finish }];
      response.write(`data: ${JSON.stringify({ ...chunk, choices })}\n\n`);
    };
    response.writeHead(200, { "content-type": "text/event-stream" });
    if ("tool" in step) {
      const call = { name: step.tool, arguments: JSON.stringify(step.input ?? {}) };
      const calls = [{ index: 0, id: `call_${id}`, type: "function", function: call }];
      send({ role: "assistant", content: null, tool_calls: calls }, null);
      send({}, "tool_calls");
    } else {
      send({ role: "assistant", content: step.text }, null);
      send({}, "stop");
    }
    response.end("data: [DONE]\n\n");
  }

  async #answerGemini(body: Body, stream: boolean, response: ServerResponse): Promise<void> {
    // Requests without tools are the agent's own business, such as which model to ask.
    const aside = ((body["tools"] ?? []) as unknown[]).length === 0;
    const step = aside ? { text: "{}" } : await this.#next(body);
    const part = "tool" in step ? { functionCall: { name: step.tool, args: step.input ?? {} } } : { text: step.text };
    const usageMetadata = { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 };
    const candidate = { content: { role: "model", parts: [part] }, finishReason: "STOP", index: 0 };
    const answer = JSON.stringify({ candidates: [candidate], usageMetadata, modelVersion: "scripted" });
    response.writeHead(200, { "content-type": stream ? "text/event-stream" : "application/json" });
    response.end(stream ? `data: ${answer}\n\n` : answer);
  }
}

function eventStream(response: ServerResponse): (type: string, data: object) => void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  return (type, data) => response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
}

/** The strings in a part of a request, in order. */
function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}
