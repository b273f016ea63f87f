/** The documents: their links, and the commands, options, methods and rooms that they name, against what is declared. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Argument, Command } from "commander";
import { describe, expect, it } from "vitest";
import { LIMITS } from "../src/protocol/definition.ts";
import { ErrorCode } from "../src/protocol/errors.ts";
import { EXIT } from "../src/surfaces/cli/outcome.ts";
import { buildProgram } from "../src/surfaces/cli/program.ts";

const read = (name: string): string => readFileSync(path.join(import.meta.dirname, "..", name), "utf8");

/** Cells of the rows of the first table below a line that begins like this. */
function table(text: string, heading: string): string[][] {
  const [, rows] = text.slice(text.indexOf(`\n${heading}`)).split(/\n\|(?:---\|)+\n/);
  return rows!
    .slice(0, rows!.search(/\n(?!\|)/))
    .split("\n")
    .map((row) => row.slice(2, -2).split(/(?<!\\) \| /));
}

const code = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text!.replaceAll("\\|", "|"));

const idle = {
  serveMcp: async () => undefined,
  playDemo: async () => true,
  showOverview: async () => 0,
  openPage: async () => ({ url: "" }),
  openBrowser: async () => undefined,
};
const { commands } = buildProgram(undefined, idle, () => undefined);

/** All that git knows or would know, by its path from the top. */
const DOCUMENTS = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
  cwd: path.join(import.meta.dirname, ".."),
  encoding: "utf8",
})
  .trimEnd()
  .split("\n")
  .filter((name) => existsSync(path.join(import.meta.dirname, "..", name)) && !name.includes("__snapshots__"));

/** What stands in fences is no prose, and no heading. */
const prose = (text: string): string => text.replaceAll(/^```[^]*?^```$/gm, "");

/** As GitHub and npm name the anchor of a heading. */
const anchors = (text: string): string[] =>
  [...prose(text).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

/** Targets of links and pictures that lie in this repository. */
const links = (text: string): string[] =>
  [...prose(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!).filter((target) => !/^\w+:/.test(target));

describe("every document", () => {
  it("links only to what is there", () => {
    const broken = DOCUMENTS.flatMap((name) =>
      links(read(name)).filter((link) => {
        const [file, anchor] = link.split("#");
        const target = file === "" ? name : path.join(path.dirname(name), file!);
        if (!existsSync(path.join(import.meta.dirname, "..", target))) return true;
        return anchor !== undefined && !anchors(read(target)).includes(anchor);
      }),
    );
    expect(broken).toEqual([]);
  });

  it("of docs/ stands in docs/README.md", () => {
    const index = new Set(links(read("docs/README.md")).map((link) => path.join("docs", link)));
    const own = DOCUMENTS.filter((name) => path.dirname(name) === "docs" && name !== "docs/README.md");
    expect(own.filter((name) => !index.has(name))).toEqual([]);
  });

  it("names only commands and options that are", () => {
    const known = new Map(commands.map((command) => [command.name(), command]));
    const wrong = DOCUMENTS.filter((name) => name !== "CHANGELOG.md").flatMap((name) => {
      const fenced = [...read(name).matchAll(/^```(?:sh|bash)?\n([^]*?)^```$/gm)].flatMap(([, block]) =>
        block!.split("\n"),
      );
      const inline = code(prose(read(name)));
      const calls = [...fenced.map((line) => line.replace(/\s#.*$/, "")), ...inline]
        .flatMap((line) => line.split(/\|\||&&|[|;()]/))
        .map((call) =>
          call
            .trim()
            .replaceAll(/\s+/g, " ")
            .replace(/^(?:[A-Z_]+=\S* )*/, ""),
        )
        .filter((call) => /^coord [a-z]/.test(call));
      return calls.filter((call) => {
        const command = known.get(/^coord ([a-z]+)/.exec(call)![1]!);
        const options = ["--help", "--version", ...(command?.options.map(({ long }) => long) ?? [])];
        return (
          command === undefined || (call.match(/(?<= )--[a-z][a-z-]*/g) ?? []).some((each) => !options.includes(each))
        );
      });
    });
    expect(wrong).toEqual([]);
  });
});

describe("docs/cli.md", () => {
  const text = read("docs/cli.md");
  const rows = table(text, "| command | what it does |");

  it("names every command, with its arguments", () => {
    const words = (argument: Argument): string => {
      if (argument.argChoices !== undefined) return argument.argChoices.join("|");
      const inside = `${argument.name()}${argument.variadic ? "..." : ""}`;
      return argument.required ? `<${inside}>` : `[${inside}]`;
    };
    const usage = (command: Command): string =>
      ["coord", command.name(), ...command.registeredArguments.map(words)].join(" ");
    expect(rows.flatMap(([grammar]) => code(grammar!)).toSorted()).toEqual(commands.map(usage).toSorted());
  });

  it("names the options of each, in its row or on the page that it refers to, and no others", () => {
    for (const [grammar, description] of rows) {
      const page = /\]\((\w+\.md)/.exec(description!)?.[1];
      const named = new Set(`${description}${page === undefined ? "" : read(`docs/${page}`)}`.match(/--[a-z][a-z-]*/g));
      for (const command of commands.filter((each) => grammar!.includes(`coord ${each.name()}`))) {
        const options = command.options.map(({ long }) => long!);
        const everywhere = ["--instance", "--json"];
        const unnamed = options.filter((option) => !everywhere.includes(option) && !named.has(option));
        expect([command.name(), unnamed]).toEqual([command.name(), []]);
        const wrong = (description!.match(/--[a-z][a-z-]*/g) ?? []).filter((option) => !options.includes(option));
        expect([command.name(), wrong]).toEqual([command.name(), []]);
      }
    }
  });

  it("names every exit code", () => {
    const codes = table(text, "| code | meaning |").map(([number]) => Number(number));
    expect(codes).toEqual(Object.values(EXIT));
  });
});

/** Parts that stand between commas, where nothing is open. */
function split(list: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const [at, character] of [...list].entries()) {
    if ("{[(<".includes(character)) depth++;
    else if ("}])".includes(character) || (character === ">" && list[at - 1] !== "=")) depth--;
    if (depth === 0 && (character === "," || character === ";")) parts.push("");
    else parts[parts.length - 1] += character;
  }
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

/** Fields of an interface, or of an object that stands where it is used; a `?` where they may be left out. */
function fields(body: string): string[] {
  const bare = body.replaceAll(/\/\*[^]*?\*\//g, "");
  return split(bare).map((field) => /^(?:readonly )?(\w+\??):/.exec(field)![1]!);
}

function fieldsOf(name: string, text: string): string[] {
  return fields(new RegExp(`interface ${name}[^{]*\\{\n([^]*?)\n\\}`).exec(text)![1]!);
}

describe("docs/library.md", () => {
  const text = read("docs/library.md");
  const results = read("src/protocol/results.ts");

  it("names every method of the client, with its arguments", () => {
    /** An argument by its name, or by the fields that it has. */
    const forms = (parameter: string): string[] => {
      const [, name, type] = /^(\w+\??|\{[^}]*\}\??): ([^]*)$/.exec(parameter)!;
      const own = type!.startsWith("{") ? fields(type!.slice(1, -1)) : undefined;
      const declared = own ?? (/^\w+(Request|Options)$/.test(type!) ? fieldsOf(type!, results) : undefined);
      const whole = declared === undefined ? [] : [`{ ${declared.join(", ")} }`];
      return own === undefined ? [name!, ...whole] : whole;
    };
    const declarations = read("dist/types/client/client.d.ts");
    const body = declarations.slice(declarations.indexOf("export declare class CoordinationClient"));
    const methods = [...body.matchAll(/^ {4}(\w+)\(([^]*?)\): /gm)].map(
      ([, name, parameters]) => [name!, split(parameters!).map(forms)] as const,
    );
    const documented = table(text, "| method | does |").flatMap(([cell]) => code(cell!));
    const expected = methods.map(([name, parameters]) => {
      // Of the forms of each argument the one that the document has; the first where it has none.
      const combinations = parameters.reduce<string[][]>(
        (before, choices) => before.flatMap((list) => choices.map((choice) => [...list, choice])),
        [[]],
      );
      const signatures = combinations.map((list) => `${name}(${list.join(", ")})`);
      return signatures.find((signature) => documented.includes(signature)) ?? signatures[0]!;
    });
    expect(documented.toSorted()).toEqual(expected.toSorted());
  });

  it("names every option of getCoordinationClient", () => {
    const options = read("src/client/options.ts");
    const sentence = /Options: ([^]*?facts)/.exec(text)![1]!;
    const declared = ["SettingsOptions", "ClientOptions"].flatMap((name) => fieldsOf(name, options));
    expect(code(sentence)).toEqual(declared.map((name) => name.replace("?", "")));
  });

  it("names every code of a refusal", () => {
    const codes = table(text, "| code | meaning |").flatMap(([cell]) => code(cell!));
    expect(codes.toSorted()).toEqual(Object.values(ErrorCode).toSorted());
  });

  it("says the limits that are", () => {
    expect(text).toContain(`\`checkMessages\` with ${LIMITS.wait_seconds_maximum} seconds`);
  });
});

describe("ARCHITECTURE.md", () => {
  it("has every room of src/, and each is held to its arrows by the lint", () => {
    const folders = (parent: string): string[] =>
      readdirSync(path.join(import.meta.dirname, "..", parent), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => `${parent}/${name}`);
    const rooms = folders("src").flatMap((room) => (room === "src/surfaces" ? folders(room) : [room]));
    const listed = [...read("ARCHITECTURE.md").matchAll(/^(src\/[\w/]+)\/ /gm)].map(([, room]) => room!);
    expect(listed.toSorted()).toEqual(rooms.toSorted());
    const { overrides } = JSON.parse(read(".oxlintrc.json")) as {
      overrides: { files: string[]; rules: Record<string, unknown> }[];
    };
    const held = overrides.filter(({ rules }) => "no-restricted-imports" in rules).flatMap(({ files }) => files);
    expect(held.toSorted()).toEqual(["src/*.ts", ...folders("src").map((room) => `${room}/**`)]);
  });
});

describe("CHANGELOG.md", () => {
  const headings = [...read("CHANGELOG.md").matchAll(/^(##+) (.*)$/gm)].map(([, level, text]) => ({ level, text }));
  const releases = headings.filter(({ level }) => level === "##").map(({ text }) => text);

  it("has the form of keepachangelog.com", () => {
    const known = /^(Added|Changed|Deprecated|Removed|Fixed|Security)$/;
    expect(headings.filter(({ level, text }) => level !== "##" && !(level === "###" && known.test(text!)))).toEqual([]);
    expect(releases[0]).toBe("[Unreleased]");
    expect(releases.slice(1).filter((release) => !/^\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$/.test(release!))).toEqual([]);
  });

  it("has nothing newer than the version of the package", () => {
    const { version } = JSON.parse(read("package.json")) as { version: string };
    expect([version, undefined]).toContain(/^\[(.*)\]/.exec(releases[1] ?? "")?.[1]);
  });
});
