/** `coord doctor`: everything that has to be right for messages to arrive, looked at one by one. */
import { isDeepStrictEqual } from "node:util";
import { CoordinationClient } from "../client/client.ts";
import { serverOfPlainVariables } from "../client/connecting.ts";
import { inspectServer } from "../client/inspection.ts";
import { resolveSettings, type Settings } from "../client/settings.ts";
import { CoordinationError } from "../protocol/errors.ts";
import { examineInstance } from "./examine-instance.ts";
import { examineNamespaces, examineRegister } from "./examine-others.ts";
import { examineProject } from "./examine-project.ts";
import { examineServer } from "./examine-server.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";

const OLDEST_NODE = [20, 19] as const;

/** Each look on its own: what fails becomes a finding, and the others are still made. */
export async function examine(cwd: string, instanceId: string | undefined): Promise<Finding[]> {
  const findings = [examineNode()];
  const look = async (about: string, make: () => Promise<Finding[]> | Finding[]): Promise<void> => {
    try {
      findings.push(...(await make()));
    } catch (error) {
      findings.push(failed(about, error));
    }
  };
  let settings: Settings | undefined;
  await look("settings", () => {
    settings = resolveSettings({ instanceId, cwd });
    return examineSettings(settings);
  });
  if (settings !== undefined) {
    const { instanceId: name, ...rest } = settings;
    // Without a name: looking at an instance must not make it known, or keep it alive.
    const nameless = { ...rest, instanceId: undefined };
    const client = new CoordinationClient(nameless);
    try {
      let reached = false;
      await look("Redis", async () => {
        const facts = await inspectServer(settings!);
        reached = true;
        return examineServer(facts, settings!);
      });
      if (name !== undefined) {
        await look("name", () => examineRegister({ ...rest, instanceId: name }));
        if (reached) {
          await look("presence", () => examineInstance(client, { ...rest, instanceId: name }, cwd));
          await look("name", () => examineNamespaces({ ...rest, instanceId: name }));
        }
      }
    } finally {
      client.close();
    }
  }
  await look("project", () => examineProject(cwd));
  return findings;
}

function failed(about: string, error: unknown): Finding {
  if (CoordinationError.is(error)) return problem(about, error.message, error.hint);
  return problem(about, String(error), "This is a defect of cli-coordination: please report it.");
}

function examineNode(): Finding {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split(".").map(Number);
  const [least, minors] = OLDEST_NODE;
  if (major > least || (major === least && minor >= minors)) return ok("Node.js", `version ${node}`);
  return problem("Node.js", `version ${node} is too old`, `Install ${OLDEST_NODE.join(".")} or newer.`);
}

function examineSettings(settings: Settings): Finding[] {
  const { instanceId, keyPrefix, sources } = settings;
  const { instanceId: named, keyPrefix: prefixed, nameless, surroundings } = sources;
  const { project, file, tree } = surroundings;
  return [
    instanceId === undefined
      ? problem(
          "identity",
          nameless.reason ?? "no name is set",
          nameless.remedy ?? "Run coord init here, or set CLAUDE_INSTANCE_ID.",
        )
      : ok("identity", `${instanceId}, from ${named === "instanceId" ? "--instance" : named}`),
    ok("connection", sources.connection === undefined ? "the default" : `from ${sources.connection}`),
    ok("namespace", `${keyPrefix}, ${prefixed === undefined ? "the default" : `from ${prefixed}`}`),
    project === undefined
      ? warning(
          "project",
          "it is not in the register, so name and namespace depend on the environment of each agent",
          "Run coord init here.",
        )
      : ok("project", `${tree.key} in ${file}`),
    ...otherServer(settings),
  ];
}

/** An application's own variables come behind the project: whoever expects the other server learns it here. */
function otherServer({ connection }: Settings): Finding[] {
  const plain = serverOfPlainVariables(process.env);
  if (plain === undefined || isDeepStrictEqual(plain.connection, connection)) return [];
  return [
    warning(
      "REDIS_*",
      `${plain.source} in this shell ${plain.source!.includes(",") ? "name" : "names"} another server, which is not used`,
      "To use it, set COORD_REDIS_URL or COORD_REDIS_HOST, and run coord init.",
    ),
  ];
}
