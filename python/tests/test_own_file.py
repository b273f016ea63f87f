"""That what lies in the place of a file of ours, and is none, neither holds up a program nor is believed."""

import os
import signal
import tempfile
import unittest

from coordination.own_file import read_own_file

_PATIENCE_SECONDS = 30


class OwnFile(unittest.TestCase):
    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = place.name
        signal.alarm(_PATIENCE_SECONDS)
        self.addCleanup(signal.alarm, 0)

    def path(self, name: str) -> str:
        return os.path.join(self.place, name)

    def write(self, name: str, content: bytes) -> str:
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def test_a_plain_file_is_read_up_to_its_limit(self) -> None:
        path = self.write("plain", b"a=\xff\n")
        self.assertEqual(read_own_file(path, 4), "a=\ufffd\n")
        self.assertIsNone(read_own_file(path, 3))
        self.assertIsNone(read_own_file(self.path("absent"), 4))

    def test_links_pipes_terminals_and_folders_are_not(self) -> None:
        os.mkfifo(self.path("pipe"))
        os.mkdir(self.path("folder"))
        self.write("plain", b"a=b\n")
        links = ("plain", "pipe", "folder", "/dev/tty", "/dev/zero")
        for number, target in enumerate(links):
            os.symlink(target, self.path(f"link{number}"))
        for name in ("pipe", "folder", *(f"link{number}" for number in range(len(links)))):
            with self.subTest(name):
                self.assertIsNone(read_own_file(self.path(name), 100))


if __name__ == "__main__":
    unittest.main()
