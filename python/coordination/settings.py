"""Identity and configuration: argument, environment, the nearest `.coord.json`, default.

The rules of `src/client/settings.ts`; `conformance/settings.json` compares them. Every value is checked here, and a
malformed one is refused by the name of where it stands.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Mapping, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from .connection import ConnectionSettings
from .definition import KEY_PREFIX_PATTERN, LIMITS, NAMESPACE_SETTINGS
from .errors import CoordinationError, invalid
from .results import NamespaceSettings
from .validation import check_identity, check_instance, missing_identity, shown

PROJECT_FILE = ".coord.json"

#: The deadline for an acknowledgement where nobody sets one.
_ACK_TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class Settings:
    instance_id: str | None
    #: The agent's own id of the session this process was started in; fences a single command.
    agent_session_id: str | None
    connection: ConnectionSettings
    key_prefix: str
    orchestrator: str
    presence_timeout_seconds: int
    lease_seconds: int
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
    lease_seconds: int | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Settings:
    """Raises IDENTITY for a malformed name, INVALID for any other malformed value."""
    environment = os.environ if env is None else env
    project = _Project.nearest(Path(os.path.abspath(os.getcwd() if cwd is None else cwd)))

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
        return _variable_whole(environment, rule["variable"], rule["default"], rule["minimum"], rule["maximum"])

    presence_timeout = setting("presence_timeout_seconds") if timeout is None else _check_whole(*timeout, 1, 31_536_000)
    return Settings(
        instance_id=None if identity is None else check_identity(*identity),
        agent_session_id=environment.get("CLAUDE_CODE_SESSION_ID") or None,
        connection=_resolve_connection(redis, environment, project),
        key_prefix="coord" if prefix is None else _check_key_prefix(*prefix),
        orchestrator="orchestrator" if reviewer is None else check_instance(*reviewer),
        presence_timeout_seconds=presence_timeout,
        lease_seconds=LIMITS["lease_seconds"]
        if lease_seconds is None
        else _check_whole(lease_seconds, "lease_seconds", 0, LIMITS["lease_seconds_maximum"]),
        ack_timeout_seconds=_variable_whole(
            environment, "COORD_ACK_TIMEOUT_SECONDS", _ACK_TIMEOUT_SECONDS, 0, LIMITS["ack_within_seconds_maximum"]
        ),
        namespace={
            "retention_days": setting("retention_days"),
            "max_messages": setting("max_messages"),
            "ack_attempts": setting("ack_attempts"),
            "ack_interval_seconds": setting("ack_interval_seconds"),
            "presence_timeout_seconds": presence_timeout,
        },
        unknown_recipient=_variable_choice(environment, "COORD_UNKNOWN_RECIPIENT", ("warn", "reject")),
        direction=_variable_choice(environment, "COORD_DIRECTION", ("warn", "strict")),
    )


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
                return cls(path, _parse_project(path, path.read_bytes().decode("utf-8", "replace")))
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                raise invalid(
                    f"{path} cannot be read: {error.strerror}.", "Make it readable, or remove it."
                ) from error
            if (folder / ".git").exists():
                break
        return cls(start / PROJECT_FILE, {})


def _parse_project(path: Path, text: str) -> Mapping[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise invalid(
            f"{path} is not JSON: {error}.", 'It holds, for example, {"instanceId": "backend"}.'
        ) from error
    if isinstance(values, dict):
        return values
    raise invalid(f"{path} is not a JSON object.", 'It holds, for example, {"instanceId": "backend"}.')


_CONNECTION_VARIABLES = ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD")


def _resolve_connection(option: str | None, env: Mapping[str, str], project: _Project) -> ConnectionSettings:
    """Taken whole from the first that names any part of it: half of one server and half of another is nobody's wish."""
    if option is not None:
        return parse_redis_url(option, "redis")
    if any(env.get(name) for name in _CONNECTION_VARIABLES):
        return _environment_connection(env)
    if "redis" in project.values:
        return parse_redis_url(project.values["redis"], f"redis in {project.path}")
    return ConnectionSettings("localhost", 6379, 0, tls=False)


def _environment_connection(env: Mapping[str, str]) -> ConnectionSettings:
    username, password = env.get("REDIS_USERNAME") or None, env.get("REDIS_PASSWORD") or None
    if env.get("REDIS_URL"):
        connection = parse_redis_url(env["REDIS_URL"], "REDIS_URL")
        named = connection.username is not None or connection.password is not None
        return connection if named else replace(connection, username=username, password=password)
    return ConnectionSettings(
        host=env.get("REDIS_HOST") or "localhost",
        port=_variable_whole(env, "REDIS_PORT", 6379, 1, 65_535),
        db=_variable_whole(env, "REDIS_DB", 0, 0, 65_535),
        tls=False,
        username=username,
        password=password,
    )


def parse_redis_url(value: object, source: str) -> ConnectionSettings:
    """A password in a URL never appears in the refusal."""

    def refuse(problem: str) -> NoReturn:
        hint = "Write redis://host:6379/0, rediss://user:password@host:6379/0 or unix:/path/to/redis.sock."
        raise invalid(f"{source} {problem}.", hint)

    if not isinstance(value, str) or value == "":
        refuse("is not text")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*:)", value)
    if scheme is None:
        refuse("is not a URL")
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:  # also a port that is no number, or beyond 65535
        refuse("is not a URL")
    # As it was written: urlsplit would make the host lower case.
    host = re.sub(r"^\[(.*)\]$", r"\1", re.sub(r":[0-9]*$", "", url.netloc.rpartition("@")[2]))
    username, password = unquote(url.username or "") or None, unquote(url.password or "") or None
    if scheme[1].lower() == "unix:":
        path = unquote(url.path)
        if not path.startswith("/"):
            refuse("names no absolute path")
        db = parse_qs(url.query, keep_blank_values=True).get("db", ["0"])[0]
        return ConnectionSettings(
            "", 0, _check_whole(db, f"{source}: db", 0, 65_535), tls=False, path=path, username=username, password=password
        )
    if scheme[1].lower() not in ("redis:", "rediss:"):
        refuse(f"has the scheme {shown(scheme[1].lower())}")
    if not host:
        refuse("names no host")
    return ConnectionSettings(
        host=host,
        port=6379 if port is None else _check_whole(port, f"{source}: port", 1, 65_535),
        db=_check_whole(url.path[1:] or "0", f"{source}: database", 0, 65_535),
        tls=scheme[1].lower() == "rediss:",
        username=username,
        password=password,
    )


def _check_key_prefix(value: object, source: str) -> str:
    if isinstance(value, str) and KEY_PREFIX_PATTERN.fullmatch(value):
        return value
    raise invalid(
        f"{source} is {shown(value)}: a prefix has 1-64 letters, digits and . _ : {{ }} -", "The default is coord."
    )


def _check_whole(value: object, source: str, least: int, most: int) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value) else value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, int) and not isinstance(number, bool) and least <= number <= most:
        return number
    raise invalid(
        f"{source} is {shown(value)}: it must be a whole number from {least} to {most}.",
        "Correct the value, or unset it for the default.",
    )


def _variable_whole(env: Mapping[str, str], name: str, otherwise: int, least: int, most: int) -> int:
    return _check_whole(env[name], name, least, most) if env.get(name) else otherwise


def _variable_choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """The first choice is the default."""
    value = env.get(name)
    if not value:
        return choices[0]
    if value in choices:
        return value
    raise invalid(f"{name} is {shown(value)}: it must be {' or '.join(choices)}.", f"Unset it for {choices[0]}.")
