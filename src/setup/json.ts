/**
 * Edits in the text of a JSON file that belongs to somebody else: comments, order and layout of everything else stay as
 * they are, and what is added looks like what is there. jsonc-parser finds the places; its edits would move comments.
 */
import {
  createScanner,
  getNodeValue,
  type Node,
  type ParseError,
  type ParseOptions,
  parseTree,
  printParseErrorCode,
} from "jsonc-parser";
import { eolOf, indentAt, lineBreakBefore, positionOf, restOfLine, startsLine, unreadable } from "./text.ts";

export type Path = readonly (string | number)[];

export class JsonText {
  readonly #file: string;
  readonly #strict: boolean;
  #text: string;
  #root!: Node;

  /**
   * @param strict without comments, as JSON.parse takes it
   * @throws CoordinationError INVALID with file, line and column, for a text that is no JSON object
   */
  constructor(file: string, text: string, strict = false) {
    this.#file = file;
    this.#strict = strict;
    this.#text = text;
    this.#parse();
    if (this.#root.type !== "object") this.#refuse(this.#root, "it is not an object");
  }

  get text(): string {
    return this.#text;
  }

  /** The value there, undefined where nothing is. */
  get(path: Path): unknown {
    const node = this.#at(path);
    return node === undefined ? undefined : (getNodeValue(node) as unknown);
  }

  /** As `get`. @throws CoordinationError INVALID when it is something else */
  list(path: Path): unknown[] {
    return this.#container(path, "array") === undefined ? [] : (this.get(path) as unknown[]);
  }

  /** As `get`. @throws CoordinationError INVALID when it is something else */
  record(path: Path): Record<string, unknown> {
    return this.#container(path, "object") === undefined ? {} : (this.get(path) as Record<string, unknown>);
  }

  /** Adds or replaces a value; objects on the way are made. */
  set(path: Path, value: unknown): void {
    const node = this.#at(path);
    if (node !== undefined) {
      const text = this.#printed(value, indentAt(this.#text, node.offset), this.#inOneLine(this.#root));
      return this.#replace(node.offset, node.offset + node.length, text);
    }
    let depth = path.length - 1;
    while (this.#container(path.slice(0, depth), "object") === undefined) depth--;
    const nested = path.slice(depth + 1).reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
    this.#insert(this.#at(path.slice(0, depth))!, nested, String(path[depth]));
  }

  /** Adds to the end of a list, which is made where there is none. */
  append(path: Path, value: unknown): void {
    const list = this.#container(path, "array");
    if (list === undefined) this.set(path, [value]);
    else this.#insert(list, value);
  }

  /** Takes a value out, and the containers that it leaves empty; one with a comment in it is not. */
  remove(path: Path): void {
    this.#cut(path);
    for (let depth = path.length - 1; depth > 0; depth--) {
      const container = this.#at(path.slice(0, depth))!;
      if (!this.#isEmpty(container)) return;
      this.#cut(path.slice(0, depth));
    }
  }

  /** Whether nothing is left but what a new file would begin with. */
  isBare(skeleton: Readonly<Record<string, unknown>>): boolean {
    if (/\/[/*]/.test(this.#text.replaceAll(/"(?:[^"\\]|\\.)*"/g, ""))) return false;
    return Object.entries(this.record([])).every(([key, value]) => skeleton[key] === value);
  }

  #parse(): void {
    const errors: ParseError[] = [];
    const options = { disallowComments: this.#strict, allowTrailingComma: !this.#strict };
    const root = this.#tree(errors, options);
    const [first] = errors;
    if (first !== undefined) {
      // InvalidSymbol and its like, as words.
      this.#refuse(
        first,
        printParseErrorCode(first.error)
          .replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ")
          .toLowerCase(),
      );
    }
    this.#root = root!; // without an error there is a value
  }

  #tree(errors: ParseError[], options: ParseOptions): Node | undefined {
    try {
      return parseTree(this.#text, errors, options);
    } catch (error) {
      if (error instanceof RangeError) this.#refuse({ offset: 0 }, "it is nested too deep"); // the stack has ended
      throw error;
    }
  }

  #refuse({ offset }: { offset: number }, reason: string): never {
    throw unreadable(this.#file, ...positionOf(this.#text, offset), reason);
  }

  #at(path: Path): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const step of path) {
      const { type, children = [] }: Node = node;
      // Of a key that stands there twice, every reader takes the last.
      if (typeof step === "string")
        node = children.findLast(({ children: pair }) => pair?.[0]?.value === step)?.children?.[1];
      else node = type === "array" ? children[step] : undefined;
      if (node === undefined) return undefined;
    }
    return node;
  }

  #container(path: Path, type: "object" | "array"): Node | undefined {
    const node = this.#at(path);
    if (node === undefined || node.type === type) return node;
    return this.#refuse(node, `${path.join(".")} is not ${type === "array" ? "a list" : "an object"}`);
  }

  #insert(container: Node, value: unknown, key?: string): void {
    const pair = (text: string): string => (key === undefined ? text : `${JSON.stringify(key)}: ${text}`);
    const last = container.children?.at(-1);
    const close = container.offset + container.length - 1;
    if (last !== undefined && this.#inOneLine(container)) {
      return this.#replace(
        last.offset + last.length,
        last.offset + last.length,
        `, ${pair(this.#printed(value, "", true))}`,
      );
    }
    const outer = indentAt(this.#text, container.offset);
    const indent =
      last !== undefined && startsLine(this.#text, last.offset)
        ? indentAt(this.#text, last.offset)
        : outer + this.#unit();
    const line = `${eolOf(this.#text)}${indent}${pair(this.#printed(value, indent, false))}`;
    if (last === undefined) {
      const inner = this.#text.slice(container.offset + 1, close).trimEnd();
      return this.#replace(container.offset + 1, close, `${inner}${line}${eolOf(this.#text)}${outer}`);
    }
    const end = last.offset + last.length;
    const comma = this.#commaAfter(end);
    const after = comma ?? end;
    // Behind a comment on the same line: it is about the value it stands behind.
    const there = after + restOfLine(this.#text, after).length;
    const between = this.#text.slice(end, there);
    this.#replace(end, there, comma === undefined ? `,${between}${line}` : `${between}${line},`);
  }

  /** Takes out one value with its key, its line, and the comma that it made necessary. */
  #cut(path: Path): void {
    const value = this.#at(path)!;
    const node = value.parent?.type === "property" ? value.parent : value;
    const siblings = node.parent?.children ?? [];
    const previous = siblings[siblings.indexOf(node) - 1];
    const end = node.offset + node.length;
    const comma = this.#commaAfter(end);
    const alone = startsLine(this.#text, node.offset);
    let from = alone ? lineBreakBefore(this.#text, node.offset) : node.offset;
    let to = comma ?? end;
    if (!alone && comma !== undefined) while (/[ \t]/.test(this.#text[to] ?? "")) to++;
    if (previous !== undefined && comma === undefined) {
      const needed = this.#commaAfter(previous.offset + previous.length)!;
      if (!alone) from = needed - 1;
      // Later places first, so that the earlier ones stay where they are.
      const kept = this.#text.slice(needed, from);
      return this.#replace(needed - 1, to, kept);
    }
    // The last of a one-line file's or container's content leaves no room behind.
    if (siblings.length === 1) {
      const { offset, length } = node.parent!;
      const [before, behind] = [this.#text.slice(offset + 1, from), this.#text.slice(to, offset + length - 1)];
      if (`${before}${behind}`.trim() === "") [from, to] = [offset + 1, offset + length - 1];
    }
    this.#replace(from, to, "");
  }

  #replace(from: number, to: number, text: string): void {
    this.#text = this.#text.slice(0, from) + text + this.#text.slice(to);
    this.#parse();
  }

  #commaAfter(offset: number): number | undefined {
    const scanner = createScanner(this.#text, true);
    scanner.setPosition(offset);
    scanner.scan();
    return this.#text[scanner.getTokenOffset()] === "," ? scanner.getPosition() : undefined;
  }

  #printed(value: unknown, indent: string, oneLine: boolean): string {
    if (oneLine) return JSON.stringify(value);
    const short = (_: string, items: string): string => `[${items.trim().replaceAll(/,\s+/g, ", ")}]`;
    const text = JSON.stringify(value, null, this.#unit()).replaceAll(/\[((?:\s*"[^"\\,]*",?)+)\s*\]/g, short);
    return text.replaceAll("\n", `${eolOf(this.#text)}${indent}`);
  }

  #isEmpty({ children = [], offset, length }: Node): boolean {
    return children.length === 0 && this.#text.slice(offset + 1, offset + length - 1).trim() === "";
  }

  #inOneLine(container: Node): boolean {
    if (container.children?.length === 0) return false;
    return !this.#text.slice(container.offset, container.offset + container.length).includes("\n");
  }

  #unit(): string {
    const first = this.#root.children?.[0];
    return (first !== undefined && startsLine(this.#text, first.offset) && indentAt(this.#text, first.offset)) || "  ";
  }
}
