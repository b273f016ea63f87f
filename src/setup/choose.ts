/** Which project, namespace, server and name a set-up is about, and why: decided and said before anything is written. */
import { createHash } from "node:crypto";
import { basename, dirname } from "node:path";
import * as connecting from "../client/connecting.ts";
import type { Project, Surroundings } from "../client/register.ts";
import type { Variables } from "../client/variables.ts";
import { MAIN } from "../client/work-tree.ts";

import { nameFrom, prefixFrom, prefixFromFolder } from "../protocol/naming.ts";
import { checkAgentName, checkKeyPrefix, invalid, shown } from "../protocol/validation.ts";
import { git } from "./git.ts";
import { type Legacy, LEGACY_FILE } from "./legacy.ts";
import type { Place } from "./place.ts";

/** A value and where it comes from, for the person who may want another. */
export interface Choice {
  readonly value: string;
  readonly source: string;
}

/** So many characters keep two folders of one name apart. */
const MARK_CHARACTERS = 4;
/** Branches of the one who reviews. */
const TRUNKS = new Set(["main", "master", "trunk"]);

/** Written once: it never follows the remote. @throws CoordinationError INVALID */
export function choosePrefix(
  { tree, project }: Surroundings,
  option: string | undefined,
  legacy: Legacy | undefined,
  env: Variables,
): Choice {
  const given = (value: string, source: string): Choice => ({
    value: checkKeyPrefix(value, source, "Give --prefix."),
    source,
  });
  if (option !== undefined) return given(option, "--prefix");
  if (project !== undefined) return { value: project.keyPrefix, source: "the register" };
  if (env["COORD_KEY_PREFIX"]) return given(env["COORD_KEY_PREFIX"], "COORD_KEY_PREFIX");
  if (legacy !== undefined) return given(legacy.keyPrefix ?? "coord", LEGACY_FILE);
  for (const { name, url } of tree.gitDirectory === undefined ? [] : remotesOf(tree.root)) {
    const prefix = prefixFrom(url);
    if (prefix !== "") return { value: prefix, source: `the remote ${name}` };
  }
  const mark = createHash("sha256").update(tree.key).digest("hex").slice(0, MARK_CHARACTERS);
  const folder = basename(tree.key) === ".git" ? dirname(tree.key) : tree.key;
  return {
    value: prefixFromFolder(basename(folder).replace(/(?<=.)\.git$/, ""), mark),
    source: "the name of this folder",
  };
}

/** upstream, else origin, else the first by name. */
function remotesOf(root: string): { name: string; url: string }[] {
  const lines = git(root, "config", "--get-regexp", String.raw`^remote\..*\.url$`).stdout.split("\n");
  const remotes = lines.flatMap((line) => {
    const [, name, url] = /^remote\.(.+)\.url (.+)$/.exec(line) ?? [];
    return name === undefined || url === undefined ? [] : [{ name, url }];
  });
  const rank = (name: string): number => (name === "upstream" ? 0 : name === "origin" ? 1 : 2);
  return remotes.sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
}

export interface ChosenServer extends Choice {
  readonly variables: Variables;
  /** What plain REDIS_* variables name where that is another server: they come behind the project. */
  readonly other: string | undefined;
}

/**
 * Written down also where it is the default: an application's own REDIS_URL must not move the project later.
 *
 * @throws CoordinationError INVALID
 */
export function chooseServer(
  { project, file }: Surroundings,
  legacy: Legacy | undefined,
  env: Variables,
  describe: (server: connecting.NamedServer) => string,
): ChosenServer {
  const plain = connecting.serverOfPlainVariables(env);
  const named =
    connecting.serverOfOwnVariables(env) ??
    (project === undefined || Object.keys(project.server).length === 0
      ? undefined
      : connecting.serverOfWritten({ variables: project.server, source: file })) ??
    (legacy?.redis === undefined
      ? undefined
      : connecting.serverOfWritten({ variables: { COORD_REDIS_URL: legacy.redis }, source: LEGACY_FILE })) ??
    plain ??
    connecting.DEFAULT_SERVER;
  const source = named.source === undefined ? "the default" : named.source === file ? "the register" : named.source;
  const value = describe(named);
  const { host, port, db } = named.connection;
  const variables =
    named === connecting.DEFAULT_SERVER ? { COORD_REDIS_URL: `redis://${host}:${port}/${db}` } : named.variables;
  const other = plain === undefined || plain === named ? undefined : describe(plain);
  return { value, source, variables, other: other === value ? undefined : other };
}

export interface NameFacts {
  place: Place;
  surroundings: Surroundings;
  option: string | undefined;
  legacy: Legacy | undefined;
  orchestrator: string;
  /** Whether another clone or host speaks under a name already. */
  isElsewhere: (name: string) => boolean;
}

/** @throws CoordinationError IDENTITY where nothing leaves a name */
export function chooseName({ place, surroundings, option, legacy, orchestrator, isElsewhere }: NameFacts): Choice {
  if (option !== undefined) return { value: checkAgentName(option, "--instance"), source: "--instance" };
  if (surroundings.name !== undefined) {
    return { value: checkAgentName(surroundings.name, "the register's name"), source: "the register" };
  }
  if (legacy?.instanceId !== undefined) {
    return { value: checkAgentName(legacy.instanceId, `instanceId in ${LEGACY_FILE}`), source: LEGACY_FILE };
  }
  const { tree } = surroundings;
  const others = othersOf(surroundings.project, tree.id);
  const folder = { value: nameFrom(basename(tree.root)), source: "the name of this folder" };
  const branch = { value: nameFrom(place.branch ?? ""), source: `the branch ${place.branch}` };
  const reviews = place.isFirst && TRUNKS.has(place.branch ?? "");
  const candidates = reviews
    ? [{ ...branch, value: orchestrator }, folder]
    : tree.id === MAIN
      ? [branch, folder]
      : [folder, branch];
  const free = ({ value }: Choice): boolean => value !== "" && !others.has(value.toLowerCase());
  const found = candidates.find((choice) => free(choice) && !(reviews && isElsewhere(choice.value)));
  if (found !== undefined) return found;
  throw invalid(
    `Neither this folder, ${shown(basename(tree.root))}, nor its branch leaves a name that is free.`,
    "Give one: coord init --instance <name>.",
  );
}

/** The register's names of the other work trees. */
export function othersOf(project: Project | undefined, id: string): Set<string> {
  const others = Object.entries(project?.worktrees ?? {}).filter(([other]) => other !== id);
  return new Set(others.map(([, name]) => name.toLowerCase()));
}
