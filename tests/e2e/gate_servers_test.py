"""dsbench gate run with servers that it starts, waits for, loads and stops: real processes, real time."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import unittest

from support import BINARY, Server, TestCase, run

LOAD = "--traffic 'hold(20/s,1s)' --arrivals constant --workload fixed-tiny"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def processes_of(port):
    """Command lines of servers that were told this port."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"serve" in words and str(port).encode() in words:
            found.append(words)
    return found


class Servers(TestCase):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
        self.environment["XDG_CACHE_HOME"] = str(self.folder / "cache")

    def server(self, *flags):
        return " ".join(["dsbench serve --executor fixed --port", str(self.port), *flags])

    def arguments(self, base, cand, *more, out="g"):
        return ["gate", "run", "--base-server", base, "--cand-server", cand, "--target", f"http://127.0.0.1:{self.port}", "--load", LOAD,
                "--out", self.folder / out, *more]

    def gate(self, *arguments, **options):
        return run(*self.arguments(*arguments, **options), env=self.environment)

    def test_a_slower_server_is_red(self):
        done = self.gate(self.server("--ttft", "60ms"), self.server("--ttft", "90ms"), "--runs", 3, "--alpha", 0.2, "--confirm", 1, "--metric", "p50 ttft",
                         "--warm-up", "--traffic 'hold(5/s,200ms)' --arrivals constant", "--retries", 3, "--json")
        if done.returncode == 7:
            self.skipTest("this machine cannot measure just now: " + json.loads(done.stdout)["sentence"])
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        metric = json.loads(done.stdout)["metrics"][0]
        self.assertGreater(metric["ratio"], 1.2)
        self.assertTrue((self.folder / "g/base-001.server.log").exists())
        self.assertTrue((self.folder / "g/cand-001-warm-up/run.json").exists(), "after each start")
        self.assertEqual(processes_of(self.port), [], "all have been stopped")

    def test_what_can_go_wrong_with_a_server(self):
        good = self.server()
        done = self.gate("dsbench serve --no-such-flag", good)
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("the server ended with status 2 before it was ready; the last it said:", done.stderr)
        self.assertIn("--no-such-flag", done.stderr)
        done = self.gate("sleep 60", good, "--server-timeout", "500ms", out="h")
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("/health nor /v1/models within 500 ms; the last it said:\n  it said nothing", done.stderr)
        done = self.gate("no-such-program", good, out="i")
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot start 'no-such-program': No such file or directory", done.stderr)
        with Server("--executor", "null") as other:
            self.port = int(other.url.rsplit(":", 1)[1])
            done = self.gate(self.server(), self.server(), out="j")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("answers before the base server was started: another process listens there", done.stderr)

    def test_interrupted_no_server_stays(self):
        process = subprocess.Popen([BINARY, *map(str, self.arguments(self.server(), self.server(), "--runs", 6))], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        self.eventually(lambda: processes_of(self.port), what="a server")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, said)
        self.assertEqual(processes_of(self.port), [])

    def test_killed_no_server_stays(self):
        process = subprocess.Popen([BINARY, *map(str, self.arguments(self.server(), self.server(), "--runs", 6))], env=self.environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.eventually(lambda: processes_of(self.port), what="a server")
        process.kill()
        self.eventually(lambda: not processes_of(self.port), what="the server's end")


if __name__ == "__main__":
    unittest.main()
