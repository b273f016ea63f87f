/** Messages as a list shows them: the beginning of their text is enough there. */
import type { Message } from "../../protocol/results.ts";
import { cut } from "../../protocol/text.ts";

const PREVIEW_CHARACTERS = 300;

export function listed(message: Message): Message {
  return { ...message, description: cut(message.description, PREVIEW_CHARACTERS) };
}
