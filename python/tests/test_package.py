"""What is installed: the same Lua files as at the root, and the example as it is documented; a checkout has both import paths."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile
from graphlib import TopologicalSorter
from pathlib import Path

from coordination import CoordinationError, MessageType
from coordination.definition import DATA, LIMITS, MESSAGE_TYPES
from coordination.scripts import script
from coordination.settings import resolve_settings

from .harness import ROOT, RedisTestCase

PYTHON = ROOT / "python"
VERBS = sorted(path.stem for path in (ROOT / "lua").glob("*.lua") if path.stem != "prelude")
LUA = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "lua").glob("**/*.lua"))

#: With `{package}` as the documents write it, and the identity from the environment in the second.
EXAMPLE = """
import asyncio
from {package} import MessageType, get_coordination_client

async def example():
    client = await get_coordination_client(instance_id="backend")
    result = await client.publish_message(
        msg_type=MessageType.READY_FOR_REVIEW,
        subject="feature-branch",
        description="Ready for review",
        to_instance="orchestrator",
    )
    await client.close()
    async with await get_coordination_client() as client:
        print(client.settings.instance_id, result["to"])

asyncio.run(example())
"""


class SourceTree(unittest.TestCase):
    def test_the_files_of_the_root_are_used(self) -> None:
        self.assertEqual(DATA, ROOT)
        self.assertEqual(LIMITS, json.loads((ROOT / "protocol.json").read_text("utf-8"))["limits"])
        self.assertEqual([kind.value for kind in MessageType], list(MESSAGE_TYPES))

    def test_the_arguments_of_a_script_are_those_it_unpacks(self) -> None:
        for verb in VERBS:
            source = (ROOT / "lua" / f"{verb}.lua").read_text("utf-8")
            unpacked = re.search(r"^local ([^=]*)= unpack\(ARGV\)$", source, re.MULTILINE)
            assert unpacked is not None
            names = re.findall(r"\w+", unpacked[1])
            expected = [{"me": "instance", "kind": "type"}.get(name, name) for name in names]
            # Further ones may be read from ARGV by their place.
            self.assertEqual(list(script(verb).arguments[: len(expected)]), expected, verb)

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        imports = {
            path.stem: re.findall(r"^ *from \.(\w+) import", path.read_text("utf-8"), re.MULTILINE)
            for path in (PYTHON / "coordination").glob("*.py")
        }
        self.assertIn("errors", imports["client"])
        TopologicalSorter(imports).prepare()  # raises CycleError

    def test_the_version_is_that_of_the_npm_package(self) -> None:
        version = re.search(r'^version = "(.*)"$', (PYTHON / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
        assert version is not None
        self.assertEqual(version[1], json.loads((ROOT / "package.json").read_text("utf-8"))["version"])


class WorkingFolder(unittest.TestCase):
    def test_one_that_was_deleted_is_refused_with_a_sentence(self) -> None:
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
        with self.assertRaises(CoordinationError) as refused:
            resolve_settings()
        self.assertEqual(str(refused.exception), "The working directory does not exist any more.")


class Example(RedisTestCase):
    def run_example(self, package: str, path: Path) -> None:
        """From an empty folder, with nothing but `path` and redis-py to import."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(path), "REDIS_URL": self.redis.url}
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", EXAMPLE.format(package=package)],
                cwd=folder,
                env={**environment, "CLAUDE_INSTANCE_ID": "from-environment"},
                capture_output=True,
                text=True,
                timeout=30,
            )
        self.assertEqual((done.stdout, done.stderr), ("from-environment orchestrator\n", ""))

    async def test_from_the_source_tree_by_both_import_paths(self) -> None:
        for package in ("coordination", "src.infrastructure.coordination"):
            await asyncio.to_thread(self.run_example, package, PYTHON)
        pending = await self.client("orchestrator").check_messages(pending_only=True)
        self.assertEqual([message["subject"] for message in pending["messages"]], ["feature-branch"] * 2)

    def test_from_the_wheel(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            wheel = _build("wheel", PYTHON, Path(folder))
            installed = Path(folder) / "installed"
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(installed)
            # Nothing of a name that a project may have itself, as `src`.
            names = [path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")]
            self.assertEqual(names, ["coordination"])
            self.run_example("coordination", installed)

    def test_the_wheel_holds_the_files_of_the_root_byte_for_byte_also_when_built_from_the_source_distribution(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            archive = _build("sdist", PYTHON, Path(folder))
            with tarfile.open(archive) as sources:
                sources.extractall(folder)
            unpacked = Path(str(archive)[: -len(".tar.gz")])
            wheels = [_build("wheel", source, Path(folder) / name) for source, name in ((PYTHON, "a"), (unpacked, "b"))]
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as files:
                    lua = sorted(name for name in files.namelist() if name.endswith(".lua"))
                    self.assertEqual(lua, [f"coordination/{name}" for name in LUA])
                    for name in (*lua, "coordination/protocol.json"):
                        self.assertEqual(files.read(name), (ROOT / name[len("coordination/") :]).read_bytes(), name)
                    self.assertIn("coordination/py.typed", files.namelist())
            with zipfile.ZipFile(wheels[0]) as first, zipfile.ZipFile(wheels[1]) as second:
                self.assertEqual(sorted(first.namelist()), sorted(second.namelist()))


def _build(kind: str, source: Path, target: Path) -> Path:
    """By the hook that pip calls, so that nothing has to be downloaded."""
    target.mkdir(exist_ok=True)
    program = f"from hatchling import build; print(build.build_{kind}({str(target)!r}))"
    built = subprocess.run([sys.executable, "-c", program], cwd=source, capture_output=True, text=True, timeout=60)
    if built.returncode != 0:
        raise AssertionError(built.stderr)
    return target / built.stdout.strip().splitlines()[-1]
