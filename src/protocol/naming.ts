/** Names that are proposed: what is left of a folder, a branch or a remote as a name of ours. */
import { PEOPLE_NAMES, RESERVED_NAMES } from "./definition.ts";

const NAME_CHARACTERS = 64;

/** What is left of a text as the name of an instance: `feat/login#2` gives `feat-login-2`. Empty when nothing is. */
export function nameFrom(text: string): string {
  const plain = text
    .normalize("NFKD")
    .replaceAll(/\p{Mark}/gu, "")
    .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
    .slice(0, NAME_CHARACTERS)
    .replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "");
  const taken = [...RESERVED_NAMES, ...PEOPLE_NAMES];
  return taken.includes(plain.toLowerCase()) ? `${plain}-agent` : plain;
}

/** The namespace of a repository: `git@host:Acme/Shop.git` gives `coord-acme-shop`. Empty when nothing is left. */
export function prefixFrom(remote: string): string {
  // With a scheme what follows it is the host; `host:path` is how ssh is told, unless a folder is meant.
  const path = /^[a-z][a-z0-9+.-]*:\/\//i.test(remote)
    ? remote.replace(/^[^:]+:\/\/[^/]*/, "")
    : remote.replace(/^[^/]*:/, "");
  const parts = path
    .replace(/\/+$/, "")
    .replace(/\.git$/i, "")
    .split(/[/\\]/)
    .filter((part) => part !== "");
  const words = parts
    .slice(-2)
    .map(wordFrom)
    .filter((word) => word !== "");
  return words.length === 0 ? "" : prefixOf(words);
}

/** Of a project without a remote: four characters of its own keep two folders of one name apart. */
export function prefixFromFolder(folder: string, mark: string): string {
  const word = wordFrom(folder);
  return `${prefixOf(word === "" ? [] : [word]).slice(0, NAME_CHARACTERS - mark.length - 1)}-${mark}`;
}

function prefixOf(words: readonly string[]): string {
  return ["coord", ...words].join("-").slice(0, NAME_CHARACTERS);
}

function wordFrom(text: string): string {
  return text
    .normalize("NFKD")
    .replaceAll(/\p{Mark}/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
}
