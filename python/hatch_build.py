"""Puts the Lua files and the data file of the root into the package: git holds them once, every client runs the same."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RootFiles(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if (Path(self.root) / "coordination" / "protocol.json").is_file():
            return  # a source distribution has them in the package already
        root = Path(self.root).parent
        for file in (root / "protocol.json", root / "lua/replies.json", *sorted(root.glob("lua/**/*.lua"))):
            build_data["force_include"][str(file)] = f"coordination/{file.relative_to(root)}"
