"""Identity and configuration: argument, environment, the nearest `.coord.json`, default.

The rules of `src/client/settings.ts`; `conformance/settings.json` compares them. Every value is checked here, and a
malformed one is refused by the name of where it stands.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from .connecting import resolve_connection
from .connection_settings import ConnectionSettings
from .definition import KEY_PREFIX_PATTERN, LIMITS, NAMESPACE_SETTINGS
from .errors import invalid
from .keys import one_slot
from .results import NamespaceSettings
from .store import Replication
from .validation import check_identity, check_instance, missing_identity, shown
from .variables import check_whole, variable_choice, variable_whole

PROJECT_FILE = ".coord.json"


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

    def require_identity(self) -> str:
        """Raises IDENTITY."""
        if self.instance_id is None:
            raise missing_identity()
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
    project = _Project.nearest(Path(os.path.abspath(_working_folder() if cwd is None else cwd)))

    def first(option: str, value: Any, variable: str, field: str) -> tuple[Any, str] | None:
        """The first that is given; an empty variable counts as unset, since `${NAME:-}` in a configuration makes one."""
        if value is not None:
            return value, option
        if environment.get(variable):
            return environment[variable], variable
        if field in project.values:
            return project.values[field], f"{field} in {project.path}"
        return None

    identity = first("instance_id", instance_id, "CLAUDE_INSTANCE_ID", "instanceId")
    prefix = first("key_prefix", key_prefix, "COORD_KEY_PREFIX", "keyPrefix")
    reviewer = first("orchestrator", orchestrator, "COORD_ORCHESTRATOR", "orchestrator")
    timeout = first("presence_timeout_seconds", presence_timeout_seconds, "COORD_PRESENCE_TIMEOUT_SECONDS", "")

    def setting(name: str) -> int:
        rule = NAMESPACE_SETTINGS[name]
        return variable_whole(environment, rule["variable"], rule["default"], rule["minimum"], rule["maximum"])

    rule = NAMESPACE_SETTINGS["presence_timeout_seconds"]
    presence_timeout = (
        rule["default"] if timeout is None else check_whole(*timeout, rule["minimum"], rule["maximum"])
    )
    project_redis = (project.values["redis"], f"redis in {project.path}") if "redis" in project.values else None
    connection = resolve_connection(redis, environment, project_redis)
    key_prefix, prefix_source = ("coord", "") if prefix is None else (_check_key_prefix(*prefix), prefix[1])
    on_cluster = connection.discovery is not None and connection.discovery.by == "cluster"
    return Settings(
        instance_id=None if identity is None else check_identity(*identity),
        agent_session_id=environment.get("CLAUDE_CODE_SESSION_ID") or None,
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
        },
        unknown_recipient=variable_choice(environment, "COORD_UNKNOWN_RECIPIENT", ("warn", "reject")),
        direction=variable_choice(environment, "COORD_DIRECTION", ("warn", "strict")),
    )


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # deleted, with another worktree for example
        raise invalid(
            "The working directory does not exist any more.", "Change into one that does, for example: cd ~"
        ) from None


@dataclass(frozen=True)
class _Project:
    """A `.coord.json`."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def nearest(cls, start: Path) -> _Project:
        """Upwards as far as the folder that holds `.git`: a worktree never takes its parent's identity."""
        for folder in (start, *start.parents):
            path = folder / PROJECT_FILE
            try:
                return cls(path, _parse_project(path, _read_project(path)))
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                raise invalid(
                    f"{path} cannot be read: {error.strerror}.", "Make it readable, or remove it."
                ) from error
            if (folder / ".git").exists():
                break
        return cls(start / PROJECT_FILE, {})


def _read_project(path: Path) -> str:
    """A repository may bring anything under this name, a link to /dev/zero included; who reads it has to end."""
    about, maximum = path.stat(), LIMITS["project_file_bytes"]
    if not stat.S_ISREG(about.st_mode):
        problem = "it is no file"
    elif about.st_size > maximum:
        problem = f"it has {about.st_size} bytes, at most {maximum} are read"
    else:
        return path.read_bytes().decode("utf-8", "replace")
    raise invalid(f"{path} cannot be read: {problem}.", "Make it readable, or remove it.")


def _parse_project(path: Path, text: str) -> Mapping[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(
            f"{path} is not JSON: {error}.", 'It holds, for example, {"instanceId": "backend"}.'
        ) from error
    if isinstance(values, dict):
        return values
    raise invalid(f"{path} is not a JSON object.", 'It holds, for example, {"instanceId": "backend"}.')


def _check_key_prefix(value: object, source: str) -> str:
    if isinstance(value, str) and KEY_PREFIX_PATTERN.fullmatch(value):
        return value
    raise invalid(
        f"{source} is {shown(value)}: a prefix has 1-64 letters, digits and . _ : {{ }} -", "The default is coord."
    )


def _check_one_slot(key_prefix: str, source: str) -> str:
    """All keys of a namespace are changed together, which a cluster allows within one slot only."""
    prefix = one_slot(key_prefix)
    if prefix is not None:
        return prefix
    raise invalid(
        f'{source} is {shown(key_prefix)}: on a cluster a prefix without a hash tag must not begin with "}}".',
        "Choose another prefix, or write a hash tag: {team}:coord.",
    )
