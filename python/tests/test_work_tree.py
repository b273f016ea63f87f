"""That an archive or a clone cannot choose the register, nor make itself a worktree of somebody's project."""

import json
import os
import tempfile
import unittest
from pathlib import Path

from coordination.register import surroundings_of
from coordination.work_tree import find_work_tree


class Surroundings(unittest.TestCase):
    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(os.path.realpath(place.name))

    def write(self, name: str, text: str) -> None:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def linked(self, git: str) -> None:
        self.write("tree/.git", f"gitdir: {git}\n")
        self.write(f"tree/{git}/HEAD", "ref: refs/heads/main\n")
        self.write(f"tree/{git}/commondir", os.path.relpath(self.place / "shop/.git", self.place / "tree" / git))
        self.write(f"tree/{git}/gitdir", str(self.place / "tree/.git"))

    def test_a_git_directory_of_an_archive_is_no_worktree_of_the_one_that_it_names(self) -> None:
        self.linked("../shop/.git/worktrees/login")
        found = find_work_tree(str(self.place / "tree"))
        self.assertEqual((found.key, found.id), (str(self.place / "shop/.git"), "login"))
        self.linked("bait/login")
        found = find_work_tree(str(self.place / "tree"))
        self.assertEqual((found.key, found.git_directory), (str(self.place / "tree"), None))
        self.assertIn("is no worktree of", found.problem or "")

    def test_a_relative_home_is_not_looked_into(self) -> None:
        projects = {str(self.place): {"keyPrefix": "evil"}}
        self.write(".config/cli-coordination/projects.json", json.dumps({"projects": projects}))
        before = os.getcwd()
        os.chdir(self.place)
        self.addCleanup(os.chdir, before)
        for env in ({"HOME": "."}, {"HOME": ".", "XDG_CONFIG_HOME": ".config"}):
            self.assertIsNone(surroundings_of(str(self.place), env).project)
        self.assertIsNotNone(surroundings_of(str(self.place), {"HOME": str(self.place)}).project)
