/** The commands of the Redis server: a user for it, one of your own, and the demo on a throwaway one. */
import { Option } from "commander";
import { accessRule, instanceRule } from "../../../client/inspection.ts";
import { resolveSettings } from "../../../client/settings.ts";
import { type Grammar, json, plainCommand, type Shared } from "../grammar.ts";
import type { UpCommand } from "../local-redis.ts";
import { EXIT } from "../outcome.ts";
import { show } from "../running.ts";

export function acl(grammar: Grammar): void {
  plainCommand(
    grammar,
    "acl",
    "Print the Redis user that this namespace needs, and no more; PASSWORD stands for one of your own",
    "coord acl --user agents | sed s/PASSWORD/s3cret/ | redis-cli",
    "REDIS_USERNAME=agents REDIS_PASSWORD=s3cret coord doctor",
    "coord acl --instance backend     that of one instance, which no other user can pass for",
  )
    .option("--user <name>", "Its name; default coord, of an instance NAME@PREFIX")
    .addOption(
      new Option("--instance <name>", "It speaks for this instance alone, where senders are proven").conflicts(
        "export",
      ),
    )
    .option("--export", "It may also export, and so list the names of all keys of the server")
    .addOption(json())
    .action(({ user, instance, ...options }: Shared & { user?: string; instance?: string; export?: boolean }) => {
      const settings = resolveSettings();
      const result =
        instance === undefined
          ? accessRule(settings, user ?? "coord", options.export)
          : instanceRule(settings, instance, user);
      show(options, result, result.rule);
    });
}

export function invite(grammar: Grammar): void {
  plainCommand(
    grammar,
    "invite",
    "Make the Redis user of an instance on another machine, and print what coord join reads there",
    "coord invite backend",
    "coord invite backend | ssh other 'cd shop && coord join'",
  )
    .argument("<name>", "The instance")
    .addOption(json())
    .action(async (name: string, options: Shared) =>
      grammar.finish(await (await import("../inviting.ts")).inviteMachine(name, options.json === true)),
    );
}

export function up(grammar: Grammar): void {
  plainCommand(
    grammar,
    "up",
    "Start a Redis of your own on REDIS_PORT, durable, with a password, on loopback only unless told otherwise",
    "coord up",
    "REDIS_PORT=6400 coord up",
    "coord up --listen 192.168.1.5     other machines reach it there, with TLS; see coord invite",
  )
    .option("--listen <address>", "An address or name of this machine on which it listens as well, with TLS only")
    .option("--tls-cert <file>", "Its certificate in PEM; openssl makes one where none is given")
    .option("--tls-key <file>", "The key of that")
    .option("--tls-ca <file>", "The authority that has signed it, which clients are told")
    .addOption(json())
    .action(async (options: UpCommand) =>
      grammar.finish(await (await import("../local-redis.ts")).startRedis(options)),
    );
}

export function down(grammar: Grammar): void {
  plainCommand(grammar, "down", "Stop it again; its data stay", "coord down")
    .addOption(json())
    .action(async (options: Shared) =>
      grammar.finish(await (await import("../local-redis.ts")).stopRedis(options.json === true)),
    );
}

export function demo(grammar: Grammar): void {
  plainCommand(
    grammar,
    "demo",
    "Play a review and a contract between three agents, on a throwaway Redis",
    "coord demo",
  ).action(async () => grammar.finish((await grammar.surfaces.playDemo()) ? EXIT.done : EXIT.refused));
}
