"""The cases that every client language passes; conformance/README.md says how to read them, TypeScript writes them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Awaitable, Callable

from coordination import CoordinationClient, CoordinationError, resolve_settings

from .harness import PREFIX, ROOT, RedisTestCase, map_strings

CONFORMANCE = ROOT / "conformance"
_LONG = 1000
#: Which would stand in every state; deadlines.json sets them.
_NO_DEADLINES = {"COORD_ACK_TIMEOUT_SECONDS": "0"}


def _with_times(text: str) -> str:
    """Times of the moment, in what a case writes behind our programs."""
    now = datetime.now(timezone.utc)
    text = text.replace("<now>", now.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    return text.replace("<microseconds>", f"{now.timestamp():.3f}000".replace(".", ""))


class _Conformance(RedisTestCase):
    maxDiff = None

    async def play(self, case: dict[str, Any], scenes: dict[str, Any]) -> None:
        scene = _Scene(self, case.get("clients", {}), scenes)
        for step in case.get("given", []):
            await scene.take(step)
        before = self.state()
        found = await self.outcome(lambda: scene.call(case["call"]))
        after = self.state()
        changes = {
            name: after.get(name) for name in {**before, **after} if before.get(name, ...) != after.get(name, ...)
        }
        self.compare(case, {**found, "changes": self.comparable(changes)})

    def compare(self, case: dict[str, Any], found: dict[str, Any]) -> None:
        self.assertEqual(found, {part: case[part] for part in ("result", "refused", "changes") if part in case})

    async def outcome(self, action: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        try:
            return {"result": self.comparable(await action())}
        except CoordinationError as error:
            return {"refused": self.comparable(_refusal(error))}

    def comparable(self, value: Any) -> Any:
        """Names of recipients in order, long texts as their length and digest, ages in tens of seconds."""

        def short(text: str) -> str:
            digest = hashlib.sha256(text.encode()).hexdigest()[:16] if len(text) > _LONG else ""
            return f"<{len(text)} characters, sha256 {digest}>" if digest else text

        return _steady(map_strings(self.plain(value), short))


def _steady(value: Any) -> Any:
    if isinstance(value, list):
        return [_steady(item) for item in value]
    if not isinstance(value, dict):
        return value
    steady = {name: _steady(item) for name, item in value.items()}
    for age in ("seconds_since_heartbeat", "waiting_seconds"):
        if isinstance(steady.get(age), int):
            steady[age] = steady[age] // 10 * 10
    if isinstance(steady.get("reason"), str):
        steady["reason"] = re.sub("[0-9]+ seconds", "<n> seconds", steady["reason"], count=1)
    if isinstance(steady.get("recipients"), str):
        steady["recipients"] = " ".join(sorted(steady["recipients"].split(" ")))
    return steady


def _refusal(error: CoordinationError) -> dict[str, Any]:
    refused: dict[str, Any] = {"code": error.code.value, "error": str(error), "hint": error.hint}
    if error.valid_types is not None:
        refused["valid_types"] = list(error.valid_types)
    if error.receipt is not None:
        refused["receipt"] = dict(error.receipt)
    return refused


class _Scene:
    def __init__(self, test: _Conformance, named: dict[str, Any], scenes: dict[str, Any]) -> None:
        self._test = test
        self._named = named
        self._scenes = scenes
        self._clients: dict[str, CoordinationClient] = {}
        self._published = 0

    def _client(self, label: str) -> CoordinationClient:
        if label not in self._clients:
            options = self._named.get(label, {"instance": label})
            env = {**_NO_DEADLINES, **options.get("env", {})}
            # By the environment, which may also log in.
            env = {"REDIS_URL": self._test.redis.url, **env}
            self._clients[label] = self._test.client(options.get("instance"), redis=None, env=env)
        return self._clients[label]

    def _with_ids(self, value: Any, pattern: str) -> Any:
        """The ids of the messages in the order of the timeline, in place of m1, m2 …, and repeated texts."""
        timeline = self._test.timeline()

        def real(label: re.Match[str]) -> str:
            index = int(label[0][1:]) - 1
            return timeline[index] if index < len(timeline) else label[0]

        def expanded(value: Any) -> Any:
            if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
                return value["repeat"] * value["times"]
            return {n: expanded(v) for n, v in value.items()} if isinstance(value, dict) else value

        return map_strings(expanded(value), lambda text: re.sub(pattern, real, text))

    async def call(self, step: dict[str, Any]) -> Any:
        arguments = {name: self._with_ids(value, r"\Am[0-9]+\Z|(?<=:)m[0-9]+\b") for name, value in step.get("with", {}).items()}
        operation = getattr(self._client(step["as"]), step["do"])
        # What every caller has to give is positional; the rest goes by the names of the cases.
        first = [arguments.pop(name) for name in ("session", "instance", "activity", "message_ids", "name", "value", "query") if name in arguments]
        return await operation(*first, **arguments)

    async def take(self, step: dict[str, Any]) -> None:
        if "scene" in step:
            for each in self._scenes[step["scene"]]:
                await self.take(each)
        elif "known" in step:
            for name in step["known"]:
                await self._test.client(name).touch()
        elif "seen" in step or "left" in step:
            self._test.seen(step.get("seen") or step["left"], left="left" in step)
        elif "redis" in step:
            written = self._with_ids(step["redis"], r"\bm[0-9]+\b")
            self._test.raw.execute_command(*map_strings(written, _with_times))
        elif step["do"] == "publish_message":
            self._published += 1
            await self.call({**step, "with": {"idempotency_key": f"k{self._published}", **step.get("with", {})}})
        else:
            await self.call(step)


class _Settings(_Conformance):
    async def resolve(self, case: dict[str, Any], defaults: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="coord-test-") as made:
            folder = os.path.realpath(made)
            (Path(folder) / ".git").mkdir()  # nothing above it counts
            for name, text in case.get("files", {}).items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text.replace("<folder>", folder), "utf-8")

            async def resolved() -> dict[str, Any]:
                env = {name: value.replace("<folder>", folder) for name, value in case.get("env", {}).items()}
                cwd = Path(folder) / case.get("cwd", "")
                settings = _given(asdict(resolve_settings(**case.get("arguments", {}), env=env, cwd=cwd)))
                settings.pop("nameless", None)  # part of the refusal, where there is one
                del settings["named"]  # where it was found: not compared
                certificates = settings["connection"].get("certificates", {})
                for name, path in certificates.items():
                    certificates[name] = Path(path).read_text("utf-8")  # Python gives their names to OpenSSL
                return {name: value for name, value in settings.items() if value != defaults.get(name)}

            found = await self.outcome(resolved)

        def shown(text: str) -> str:
            return re.sub("(is not JSON|cannot be read): .*", r"\1: <reason>", text.replace(folder, "<folder>"))

        self.compare(case, map_strings(found, shown))


def _given(value: Any) -> Any:
    """What is not None; JSON knows no tuples."""
    if isinstance(value, dict):
        return {name: _given(item) for name, item in value.items() if item is not None}
    return [_given(item) for item in value] if isinstance(value, tuple) else value


def _suite(name: str) -> type[_Conformance]:
    """One test for each case of a file, by the name of the case."""
    content = json.loads((CONFORMANCE / name).read_text("utf-8"))
    tests: dict[str, Any] = {}
    for number, case in enumerate(content["cases"], 1):
        if name == "settings.json":

            async def test(self: _Settings, case: Any = case) -> None:
                await self.resolve(case, content["defaults"])

        else:

            async def test(self: _Conformance, case: Any = case) -> None:  # type: ignore[misc]
                await self.play(case, content.get("scenes", {}))

        test.__doc__ = case["name"]
        tests[f"test_{number:03}"] = test
    base = _Settings if name == "settings.json" else _Conformance
    return type(f"Conformance_{name[: -len('.json')]}", (base,), tests)


globals().update({suite.__name__: suite for suite in (_suite(path.name) for path in sorted(CONFORMANCE.glob("*.json")))})
