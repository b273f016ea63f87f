"""Identity and configuration: argument, environment, the record of the run, the register, default.

The rules of `src/client/settings.ts`; `conformance/settings.json` compares them. Every value is checked here, and a
malformed one is refused by the name of where it stands.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Mapping, cast

from . import connecting
from .connection_settings import ConnectionSettings
from .definition import KEY_PREFIX_PATTERN, KIND_WORDS, LIMITS, NAMESPACE_SETTINGS, SENDERS
from .errors import invalid
from .identity import FoundName, find_name
from .keys import one_slot
from .local_password import with_local_password
from .register import Surroundings, surroundings_of
from .results import NamespaceSettings
from .run_record import RunRecord, own_run_record
from .store import Replication
from .validation import check_instance, missing_identity, shown
from .variables import Variables, check_plain, check_whole, variable_choice, variable_whole

@dataclass(frozen=True)
class Settings:
    instance_id: str | None
    #: The agent's own id of the session this process was started in; fences a single command.
    agent_session_id: str | None
    connection: ConnectionSettings
    #: As it stands in Redis: on a cluster with a hash tag.
    key_prefix: str
    orchestrator: str
    #: What a publish waits for before it reports success.
    replication: Replication
    presence_timeout_seconds: int
    loan_seconds: int
    #: The deadline of messages that are published without one; 0 for none.
    ack_timeout_seconds: int
    #: What this client would give a new namespace.
    namespace: NamespaceSettings
    unknown_recipient: str
    direction: str
    #: Where the name was given: "option", "environment" or "".
    named: str
    #: Why there is no name.
    nameless: FoundName = field(default=FoundName(), compare=False)

    def require_identity(self) -> str:
        """Raises IDENTITY."""
        if self.instance_id is None:
            raise missing_identity(self.nameless.reason, self.nameless.remedy)
        return self.instance_id


def resolve_settings(
    *,
    instance_id: str | None = None,
    redis: str | None = None,
    key_prefix: str | None = None,
    orchestrator: str | None = None,
    presence_timeout_seconds: int | None = None,
    loan_seconds: int | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Settings:
    """Raises IDENTITY for a malformed name, INVALID for any other malformed value."""
    environment = os.environ if env is None else env
    surroundings = surroundings_of(os.path.abspath(_working_folder() if cwd is None else cwd), environment)
    run = own_run_record(environment, surroundings.tree.root)
    project, file = surroundings.project, surroundings.file

    def first(option: str, value: Any, variable: str, name: str, written: Any) -> tuple[Any, str] | None:
        """The first that is given; an empty variable counts as unset, since `${NAME:-}` in a configuration makes one."""
        if value is not None:
            return value, option
        if environment.get(variable):
            return environment[variable], variable
        if name == "keyPrefix" and run is not None:
            return run.prefix, _RUN_SOURCE
        return None if written is None else (written, f"{name} in {file}")

    identity = find_name(instance_id, environment, run, surroundings)
    prefix = first("key_prefix", key_prefix, "COORD_KEY_PREFIX", "keyPrefix", project and project.key_prefix)
    reviewer = first("orchestrator", orchestrator, "COORD_ORCHESTRATOR", "orchestrator", project and project.orchestrator)
    timeout = first("presence_timeout_seconds", presence_timeout_seconds, "COORD_PRESENCE_TIMEOUT_SECONDS", "", None)

    def setting(name: str) -> int:
        rule = NAMESPACE_SETTINGS[name]
        return variable_whole(environment, rule["variable"], rule["default"], rule["minimum"], rule["maximum"])

    rule = NAMESPACE_SETTINGS["presence_timeout_seconds"]
    presence_timeout = (
        rule["default"] if timeout is None else check_whole(*timeout, rule["minimum"], rule["maximum"])
    )
    connection = with_local_password(_find_server(redis, environment, run, surroundings), surroundings.file)
    key_prefix, prefix_source = ("coord", "") if prefix is None else (_check_key_prefix(*prefix), prefix[1])
    on_cluster = connection.discovery is not None and connection.discovery.by == "cluster"
    return Settings(
        instance_id=identity.instance,
        named=_NAMED_BY.get(identity.source or "", ""),
        nameless=identity,
        agent_session_id=check_plain(environment.get("CLAUDE_CODE_SESSION_ID") or None, "CLAUDE_CODE_SESSION_ID"),
        connection=connection,
        key_prefix=_check_one_slot(key_prefix, prefix_source) if on_cluster else key_prefix,
        orchestrator="orchestrator" if reviewer is None else check_instance(*reviewer),
        replication=Replication(
            replicas=variable_whole(environment, "COORD_WAIT_REPLICAS", 0, 0, LIMITS["replicas_maximum"]),
            milliseconds=variable_whole(
                environment,
                "COORD_WAIT_REPLICAS_MILLISECONDS",
                LIMITS["replicas_milliseconds_default"],
                1,
                LIMITS["replicas_milliseconds_maximum"],
            ),
        ),
        presence_timeout_seconds=presence_timeout,
        loan_seconds=LIMITS["loan_seconds"]
        if loan_seconds is None
        else check_whole(loan_seconds, "loan_seconds", 0, LIMITS["loan_seconds_maximum"]),
        ack_timeout_seconds=variable_whole(
            environment,
            "COORD_ACK_TIMEOUT_SECONDS",
            LIMITS["ack_within_seconds_default"],
            0,
            LIMITS["ack_within_seconds_maximum"],
        ),
        namespace={
            "retention_days": setting("retention_days"),
            "max_messages": setting("max_messages"),
            "ack_attempts": setting("ack_attempts"),
            "ack_interval_seconds": setting("ack_interval_seconds"),
            "presence_timeout_seconds": presence_timeout,
            "loop_messages": setting("loop_messages"),
            "loop_seconds": setting("loop_seconds"),
            "loop_replies": setting("loop_replies"),
            "senders": cast(Any, variable_choice(environment, "COORD_SENDERS", SENDERS)),
        },
        unknown_recipient=variable_choice(environment, "COORD_UNKNOWN_RECIPIENT", ("warn", "reject")),
        direction=variable_choice(environment, "COORD_DIRECTION", ("warn", "strict")),
    )


#: How much a name was meant, by where it was found.
_NAMED_BY = {"instance_id": "option", "CLAUDE_INSTANCE_ID": "environment"}


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # deleted, with another worktree for example
        raise invalid(
            "The working directory does not exist any more.", "Change into one that does, for example: cd ~"
        ) from None


#: Where a value of a run's record is said to come from.
_RUN_SOURCE = "this run"


def _find_server(
    option: str | None, env: Variables, run: RunRecord | None, surroundings: Surroundings
) -> ConnectionSettings:
    """Taken whole from the first place that names any part of it. Raises INVALID."""
    if option is not None:
        return connecting.server_of_option(option)
    own = connecting.server_of_own_variables(env)
    if own is not None:
        return own
    project = surroundings.project
    # In a project that was set up, these are its application's, and come behind it.
    plain = connecting.server_of_plain_variables(env) if project is None else None
    if plain is not None:
        return plain
    if run is not None:
        return connecting.server_of_written(run.server, _RUN_SOURCE)
    if project is not None and project.server:
        return connecting.server_of_written(project.server, f"server in {surroundings.file}")
    return connecting.server_of_plain_variables(env) or connecting.DEFAULT_SERVER


def _check_key_prefix(value: object, source: str) -> str:
    if not isinstance(value, str) or not KEY_PREFIX_PATTERN.fullmatch(value):
        raise invalid(
            f"{source} is {shown(value)}: a prefix has 1-64 letters, digits and . _ : {{ }} -", "The default is coord."
        )
    # The keys of a namespace `coord:msg` would be messages to the user of `coord`, whose rule names the kinds of its keys.
    word = next((part for part in value.split(":")[1:] if part in KIND_WORDS), None)
    if word is not None:
        raise invalid(f"{source} is {shown(value)}: behind a colon, {word} is a kind of our keys.", "The default is coord.")
    return value


def _check_one_slot(key_prefix: str, source: str) -> str:
    """All keys of a namespace are changed together, which a cluster allows within one slot only."""
    prefix = one_slot(key_prefix)
    if prefix is not None:
        return prefix
    raise invalid(
        f'{source} is {shown(key_prefix)}: on a cluster a prefix without a hash tag must not begin with "}}".',
        "Choose another prefix, or write a hash tag: {team}:coord.",
    )
