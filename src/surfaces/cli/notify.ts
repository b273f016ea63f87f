/** `coord notify`: where a person is told outside of a terminal, and the program that does so. */
import { deliver } from "../../client/delivery.ts";
import { type Notifier, notifiersFile, readNotifiers } from "../../client/notifiers.ts";
import { runNotifiers, testNotice } from "../../client/notifying.ts";
import { onceToldToEnd } from "../../client/process.ts";
import { resolveSettings } from "../../client/settings.ts";
import { PEOPLE_NAMES } from "../../protocol/definition.ts";
import { visibleLine } from "../../protocol/text.ts";
import { invalid, shown } from "../../protocol/validation.ts";
import { successToWire } from "../../protocol/wire.ts";
import { addNotifier, removeNotifier } from "../../setup/notifiers.ts";
import { describeNeed } from "./needs.ts";
import { EXIT, print, printJson, printProgress, printWarnings } from "./outcome.ts";
import { columns } from "./render.ts";

export interface NotifyCommand {
  instance?: string | undefined;
  level?: string | undefined;
  name?: string | undefined;
  secretFile?: string | undefined;
  json?: true | undefined;
}

/** @returns the exit code @throws CoordinationError */
export async function notify(action: string, words: readonly string[], options: NotifyCommand): Promise<number> {
  const file = notifiersFile(process.env);
  switch (action) {
    case "add":
      return saidAdded(addNotifier(file, { words, ...options }), options);
    case "remove":
      return removed(file, words, options);
    case "test":
      return test(chosen(file, words), options);
    case "run":
      return run(chosen(file, words), options);
    default:
      if (words.length > 0) throw invalid("list takes no names.", "coord notify list");
      return listed(readNotifiers(file), options);
  }
}

function saidAdded(notifier: Notifier, { json }: NotifyCommand): number {
  if (json) printJson(successToWire(notifier));
  else {
    const lines = [`Added ${notifier.name}: ${placeOf(notifier)}, level ${notifier.level}`];
    if (notifier.kind === "webhook") lines.push(`Its secret, to check X-Coord-Signature-256 with: ${notifier.secret}`);
    print([...lines, "Try it: coord notify test", "Then keep this running: coord notify run"].join("\n"));
  }
  return EXIT.done;
}

function removed(file: string, [name, ...others]: readonly string[], { json }: NotifyCommand): number {
  if (name === undefined || others.length > 0) throw invalid("remove takes one name.", "coord notify remove desktop");
  removeNotifier(file, name);
  if (json) printJson(successToWire({ name }));
  else print(`Removed ${name}.`);
  return EXIT.done;
}

function listed(notifiers: readonly Notifier[], { json }: NotifyCommand): number {
  if (json) {
    // A secret is shown once, when it is made.
    printJson(successToWire({ notifiers: notifiers.map((each) => ({ ...each, secret: undefined, id: undefined })) }));
  } else if (notifiers.length === 0) print("No notifiers yet: coord notify add desktop");
  else print(columns(notifiers.map((each) => [each.name, each.level, placeOf(each)])));
  return EXIT.done;
}

function placeOf(notifier: Notifier): string {
  if (notifier.kind === "webhook") return visibleLine(notifier.url);
  return notifier.kind === "command" ? visibleLine(notifier.command.join(" ")) : "this desktop";
}

/** Those that are named, or all. @throws CoordinationError INVALID */
function chosen(file: string, names: readonly string[]): Notifier[] {
  const all = readNotifiers(file);
  if (all.length === 0) throw invalid("There are no notifiers yet.", "coord notify add desktop");
  const unknown = names.find((name) => !all.some((each) => each.name === name));
  if (unknown === undefined) return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
  throw invalid(`name is ${shown(unknown)}: no such notifier.`, "coord notify list shows their names.");
}

async function test(notifiers: readonly Notifier[], { json }: NotifyCommand): Promise<number> {
  const notice = testNotice(resolveSettings().keyPrefix);
  const results = await Promise.all(
    notifiers.map(async (notifier) => {
      const failure = await deliver(notifier, notice).then(
        () => undefined,
        (error: unknown) => (error as Error).message,
      );
      return {
        name: notifier.name,
        told: failure === undefined,
        ...(failure === undefined ? {} : { reason: failure }),
      };
    }),
  );
  if (json) printJson({ ...successToWire({ notifiers: results }), success: results.every(({ told }) => told) });
  for (const { name, told, reason = "" } of results) {
    if (!told) printWarnings([`${name} could not be told, in three tries: ${reason}`]);
    else if (!json) print(`${name} was told.`);
  }
  return results.every(({ told }) => told) ? EXIT.done : EXIT.refused;
}

/** Runs until it is interrupted. */
async function run(notifiers: readonly Notifier[], { instance = PEOPLE_NAMES[0]! }: NotifyCommand): Promise<number> {
  const settings = { ...resolveSettings({ instanceId: instance }), agentSessionId: undefined };
  const ended = new AbortController();
  onceToldToEnd(() => ended.abort());
  const running = runNotifiers(
    settings,
    notifiers,
    {
      describe: (need) => describeNeed(need, { subject: false }),
      told: ({ name }, text) => print(`${name}: ${visibleLine(text)}`),
      failed: (notifier, reason) =>
        printWarnings([
          notifier === undefined ? reason : `${notifier.name} could not be told, in three tries: ${reason}`,
        ]),
    },
    ended.signal,
  );
  printProgress(`Telling ${notifiers.map(({ name }) => name).join(", ")} for ${instance}; end with Ctrl-C.`);
  await running;
  return EXIT.done;
}
