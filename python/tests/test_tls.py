"""Certificates and the password from files, and what is said where they do not fit."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from coordination import CoordinationClient, ErrorCode

from .harness import RedisTestCase, ThrowawayRedis, closed_port
from .test_connection import publish


class Tls(RedisTestCase):
    folder: Path
    port: int
    plain_port: int

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="coord-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)

        def openssl(*words: str) -> None:
            subprocess.run(["openssl", *words], cwd=cls.folder, check=True, capture_output=True)

        elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout")
        openssl("req", "-x509", *elliptic, "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
        (cls.folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        (cls.folder / "password").write_text("s3cret\n")
        for name in ("server", "client"):
            openssl("req", *elliptic, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
            openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
        cls.port, cls.plain_port = closed_port(), closed_port()
        files = {"ca-cert": "ca.pem", "cert": "server.pem", "key": "server.key"}
        server = ThrowawayRedis(
            *("--tls-port", str(cls.port), "--port", str(cls.plain_port), "--bind", "127.0.0.1", "--requirepass", "s3cret"),
            *(word for option, name in files.items() for word in (f"--tls-{option}-file", str(cls.folder / name))),
        )
        cls.addClassCleanup(server.stop)

    def secure(self, instance: str = "alice", **changes: str) -> CoordinationClient:
        files = {"PASSWORD": "password", "TLS_CA": "ca.pem", "TLS_CERT": "client.pem", "TLS_KEY": "client.key", **changes}
        env = {"REDIS_HOST": files.pop("HOST", "127.0.0.1"), "REDIS_PORT": files.pop("PORT", str(self.port))}
        env |= {f"REDIS_{name}_FILE": str(self.folder / file) for name, file in files.items() if file}
        return self.client(instance, redis=None, env=env)

    async def test_for_messages_and_for_listening(self) -> None:
        sent = await publish(self.secure())
        waited = await self.secure("bob").wait_for_messages(wait_seconds=5)
        self.assertEqual([message["id"] for message in waited["messages"]], [sent["message_id"]])

    async def test_what_does_not_fit_is_unavailable_with_the_settings_to_look_at(self) -> None:
        """[G9]"""
        insecure = ("no secure connection", "REDIS_TLS_CA_FILE")
        for changes, (reason, setting) in (
            ({"TLS_CA": "client.pem"}, insecure),
            ({"TLS_CA": ""}, insecure),  # it is not one of the system's
            # It is told so after the handshake: its own next words may have been reset before it reads that.
            ({"TLS_CERT": "", "TLS_KEY": ""}, ("no secure connection|closed by the other side", "REDIS_TLS_CERT_FILE")),
            ({"TLS_KEY": "server.key"}, insecure),
            ({"TLS_CERT": "password"}, insecure),
            ({"HOST": "localhost"}, insecure),
            ({"PASSWORD": "names"}, ("the login was refused", "REDIS_PASSWORD")),
            ({"PORT": str(self.plain_port)}, ("no answer in time", "Does it speak TLS there?")),
        ):
            with self.subTest(changes):
                refusal = await self.refused(publish(self.secure(**changes)))
                self.assertEqual(refusal.code, ErrorCode.UNAVAILABLE)
                self.assertRegex(str(refusal), reason)
                self.assertIn(setting, refusal.hint)
                self.assertNotIn("s3cret", f"{refusal}{refusal.hint}")

    async def test_a_server_that_speaks_only_tls_is_told_from_no_redis(self) -> None:
        """[G9]"""
        refusal = await self.refused(publish(self.client("alice", redis=f"redis://127.0.0.1:{self.port}")))
        self.assertIn("closed by the other side", str(refusal))
        self.assertIn("rediss://", refusal.hint)
