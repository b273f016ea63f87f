/**
 * What a client that lives long knows of its namespace: each of its calls says so, and a script refuses the first one that
 * finds another namespace, or an older state of it. See lua/prelude.lua.
 */
export class KnownNamespace {
  #id = "";
  #published = "";
  #isSeen = false;

  /** Whether there is something of it that may be lost for this client, and it is not known yet which one it is. */
  get isUnnamed(): boolean {
    return this.#isSeen && this.#id === "";
  }

  /** @param id null where nothing was ever published */
  identify(id: string | null): void {
    this.#id = id ?? "";
  }

  /** Messages were read; by their ids, which others may have written, nothing is judged. */
  saw(): void {
    this.#isSeen = true;
  }

  /** Ids sort like their stamps. */
  published(messageId: string): void {
    this.#isSeen = true;
    if (messageId > this.#published) this.#published = messageId;
  }

  /** After it was told what was lost: what is there now is what it knows. */
  forget(): void {
    this.#id = this.#published = "";
  }

  /** The session of a call, and what its caller knows. */
  beside(session: string): string {
    return this.#id === "" && this.#published === "" ? session : `${session}\t${this.#id} ${this.#published}`;
  }
}
