"""The record of the agent's run that this process belongs to. The rules of `src/client/run-record.ts`, which writes them."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Mapping

from .errors import CoordinationError, ErrorCode
from .own_file import read_own_file
from .variables import Variables

#: One process of these may hold several sessions.
_SEVERAL_SESSIONS = ("codex", "opencode")
#: Where the environment of a shell command carries the session's id, by agent.
_SESSION_VARIABLES = {
    "claude-code": "CLAUDE_CODE_SESSION_ID",
    "codex": "CODEX_THREAD_ID",
    "gemini-cli": "GEMINI_SESSION_ID",
    "opencode": "OPENCODE_SESSION_ID",
}
_RECORD_BYTES = 65_536
_RECORDS_MAXIMUM = 1_000
_ANCESTORS_MAXIMUM = 64
_PS_SECONDS = 2
#: Names of agent programs, and of their scripts where the program is an interpreter.
_AGENT = re.compile(r"(?:^|[/\s])(?:claude|codex|gemini|opencode|cursor-agent)(?:[\s.]|$)")


@dataclass(frozen=True)
class RunRecord:
    by: str
    #: `speaker`, `guest`, or `out`: the run takes no part.
    standing: str
    agent: str
    pid: int | None
    started: str | None
    sessions: tuple[str, ...]
    instance: str | None
    prefix: str
    #: The variables that name the server.
    server: Mapping[str, str]
    tree: str


def own_run_record(env: Variables, folder: str) -> RunRecord | None:
    """Of the nearest ancestor that has one, unless an agent without one is nearer, whose run is another.

    Raises IDENTITY where several are as good as each other.
    """
    records = _records()
    if not records:
        return None
    for process in _ancestors():
        found = [record for record in records if record.pid == process.pid and process.is_started(record.started)]
        if found:
            return _choose(found, lambda record: env.get(_SESSION_VARIABLES.get(record.agent, "")) or None, folder)
        if _AGENT.search(process.command):
            return None
    for variable in _SESSION_VARIABLES.values():
        session = env.get(variable)
        of_session = [record for record in records if session and session in record.sessions]
        if of_session:
            return _choose_for(of_session, session, folder)
    return None


def is_held_above(name: str, own: RunRecord | None) -> bool:
    """Whether a run that this process is nested in, its own excluded, speaks under a name."""
    known = list(_records())
    hooked = {record.pid for record in known if record.by == "hook"}  # a server does not learn that another speaks
    speakers = [record for record in known if record.instance == name and record.standing == "speaker"]
    records = [record for record in speakers if record.by == "hook" or record.pid not in hooked]
    if not records:
        return False
    outer = (process for process in _ancestors() if own is None or process.pid != own.pid)
    return any(
        record.pid == process.pid and process.is_started(record.started) for process in outer for record in records
    )


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    command: str
    started: str

    def is_started(self, started: str | None) -> bool:
        """Its number alone may be another's by now."""
        return started is None or started == self.started


def _ancestors() -> Iterator[_Process]:
    pid = os.getppid()
    for _ in range(_ANCESTORS_MAXIMUM):
        process = _read_process(pid) if pid > 1 else None
        if process is None:
            return
        yield process
        pid = process.parent


def _read_process(pid: int) -> _Process | None:
    try:
        if not sys.platform.startswith("linux"):
            return _ask_ps(pid)
        fields = Path(f"/proc/{pid}/stat").read_bytes().decode("utf-8", "replace").rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        return _Process(pid, int(fields[1]), " ".join(command[:2]), fields[19])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def _ask_ps(pid: int) -> _Process | None:
    columns = [word for column in ("ppid", "state", "lstart", "command") for word in ("-o", f"{column}=")]
    env = {**os.environ, "LC_ALL": "C"}
    output = subprocess.run(
        ["ps", *columns, "-p", str(pid)], capture_output=True, text=True, timeout=_PS_SECONDS, env=env, check=False
    ).stdout
    match = re.match(r"\s*(\d+)\s+\S+\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(\S+(?:\s+\S+)?)", output)
    return None if match is None else _Process(pid, int(match[1]), match[3], match[2])


def _choose_for(records: list[RunRecord], session: str | None, folder: str) -> RunRecord | None:
    return _choose(records, lambda _: session, folder)


def _choose(
    records: list[RunRecord], session_of: Callable[[RunRecord], str | None], folder: str
) -> RunRecord | None:
    def possible(record: RunRecord) -> bool:
        # A second session of the process, whose record is not written yet, is not the first one.
        session = session_of(record)
        own = session is None or not record.sessions or session in record.sessions
        return own or record.agent not in _SEVERAL_SESSIONS

    left = [record for record in records if possible(record)]
    rules: tuple[Callable[[RunRecord], bool], ...] = (
        lambda record: record.by == "hook",
        lambda record: (session_of(record) or "") in record.sessions,
        lambda record: folder == record.tree or folder.startswith(record.tree.rstrip(os.sep) + os.sep),
    )
    for rule in rules:
        if len(left) > 1:
            left = [record for record in left if rule(record)] or left
    if len(left) < 2:
        return left[0] if left else None
    names = ", ".join(f'{record.instance or "one without a name"} in "{record.tree}"' for record in left)
    raise CoordinationError(
        ErrorCode.IDENTITY,
        f"This process belongs to one of several sessions of its agent, and nothing tells which: {names}.",
        "Give --instance <name>, or work in the folder of one of them.",
    )


def _records() -> list[RunRecord]:
    folder = _record_folder()
    if folder is None:
        return []
    try:
        names = [name for name in os.listdir(folder) if not name.startswith(".")][:_RECORDS_MAXIMUM]
    except OSError:
        return []  # gone meanwhile
    return [record for name in names if (record := _read(os.path.join(folder, name))) is not None]


def _record_folder() -> str | None:
    """None where there is none that is ours alone. Never where a variable points."""
    if not hasattr(os, "getuid"):
        return None
    uid = os.getuid()
    runtime = f"/run/user/{uid}"
    folder = f"{runtime}/cli-coordination" if _is_ours(runtime, 0o022) else f"/tmp/cli-coordination-{uid}"
    return folder if _is_ours(folder, 0o077) else None


def _is_ours(folder: str, closed: int) -> bool:
    try:
        about = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & closed


def _read(path: str) -> RunRecord | None:
    text = read_own_file(path, _RECORD_BYTES)
    if text is None:
        return None  # swept meanwhile, or no record of ours
    lines = text.split("\n")
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and name:
            fields.setdefault(name, []).append(value)
    one = {name: values[0] for name, values in fields.items()}
    by, standing, instance = one.get("by"), one.get("standing"), one.get("instance")
    if by not in ("hook", "server") or standing not in ("speaker", "guest", "out"):
        return None
    if "prefix" not in one or "tree" not in one or (standing != "out" and instance is None):
        return None
    pid = one.get("pid", "")
    return RunRecord(
        by=by,
        standing=standing,
        agent=one.get("agent", ""),
        pid=int(pid) if pid.isdecimal() else None,
        started=one.get("started"),
        sessions=tuple(fields.get("session", ())),
        instance=instance,
        prefix=one["prefix"],
        server={name: value for name, value in one.items() if name.startswith("COORD_")},
        tree=one["tree"],
    )
