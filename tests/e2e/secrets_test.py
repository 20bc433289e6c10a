"""A planted API key must appear in nothing that dsbench leaves behind, however it was given and whatever the server does with it."""

import http.server
import json
import os
import pathlib
import subprocess
import threading
import time
import unittest

from support import BINARY, TestCase, run

KEY = "sk-planted-5up3r-s3cr3t-0123456789"


class Echo(http.server.BaseHTTPRequestHandler):
    """Serves whoever has the key, and tells everybody the key that they came with."""

    protocol_version = "HTTP/1.1"
    refuse = False

    def log_message(self, *_):
        pass

    def reply(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Your-Key", self.headers.get("Authorization", ""))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        came_with = self.headers.get("Authorization", "")
        if self.refuse or came_with != "Bearer " + KEY:
            return self.reply(401, "application/json", json.dumps({"error": {"message": "not with " + came_with}}).encode())
        if self.path.endswith("/models"):
            return self.reply(200, "application/json", b'{"data":[{"id":"m"}]}')
        if self.path == "/metrics":
            return self.reply(404, "text/plain", b"no")
        tokens = json.loads(body)["max_tokens"]
        event = 'data: {"choices":[{"delta":{"content":"a"},"index":0}]}\n\n'
        end = 'data: {"choices":[{"delta":{},"finish_reason":"length","index":0}]}\n\ndata: [DONE]\n\n'
        return self.reply(200, "text/event-stream", (": " + came_with + "\n" + event * tokens + end).encode())

    do_GET = do_POST = handle_any


class Secrets(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)
        cls.url = f"http://127.0.0.1:{cls.server.server_port}"

    def setUp(self):
        super().setUp()
        Echo.refuse = False
        self.key = self.folder / "key"
        self.key.write_text(KEY + "\n")
        self.key.chmod(0o600)

    def load(self, name, source, **options):
        return run("load", "--target", self.url, "--api-key", source, "--workload", "fixed-tiny", "--traffic", "hold(20/s,2s)",
                   "--out", self.folder / name, "--json", **options)

    def assert_nowhere(self, done, name):
        for text in (done.stdout, done.stderr):
            self.assertNotIn(KEY, text)
        found = 0
        for path in (self.folder / name).rglob("*"):
            if path.is_file():
                found += 1
                self.assertNotIn(KEY.encode(), path.read_bytes(), path.name)
        return found

    def test_it_is_in_no_artefact_however_it_was_given(self):
        environment = {**os.environ, "PLANTED_KEY": KEY}
        sources = {"file": f"file:{self.key}", "env": "env:PLANTED_KEY", "command": f"command:cat {self.key}"}
        for name, source in sources.items():
            done = self.load(name, source, env=environment)
            self.assertIn(done.returncode, (0, 7), done.stderr)
            self.assertEqual(json.loads(done.stdout)["requests"] > 0, True)
            self.assertGreaterEqual(self.assert_nowhere(done, name), 4)
            report = run("report", self.folder / name, "--out", self.folder / name / "again.html")
            self.assertEqual(report.returncode, 0, report.stderr)
            self.assert_nowhere(report, name)
        with open(self.key, "rb") as file:
            done = self.load("fd", f"fd:{file.fileno()}", pass_fds=[file.fileno()])
        self.assertIn(done.returncode, (0, 7), done.stderr)
        self.assert_nowhere(done, "fd")

    def test_a_command_that_has_the_key_in_it_is_told_without(self):
        done = self.load("r", f"command:printf {KEY}")
        self.assertIn(done.returncode, (0, 7), done.stderr)
        self.assert_nowhere(done, "r")
        self.assertIn("command:printf [redacted]", json.loads((self.folder / "r" / "run.json").read_text())["command"])

    def test_a_key_in_the_query_is_not_repeated(self):
        done = run("load", "--target", f"{self.url}/?key={KEY}", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 2)
        self.assertIn("has a query or a fragment", done.stderr)
        self.assert_nowhere(done, "r")

    def test_it_is_not_in_ps(self):
        process = subprocess.Popen(
            [BINARY, "load", "--target", self.url, "--api-key", f"file:{self.key}", "--workload", "fixed-tiny", "--traffic",
             "hold(5/s,3s)", "--out", str(self.folder / "r")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1.5)
        self.assertNotIn(KEY.encode(), pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes())
        process.communicate(timeout=60)

    def test_a_refusal_that_quotes_the_key_is_redacted(self):
        Echo.refuse = True
        done = self.load("r", f"file:{self.key}")
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("not with Bearer [redacted]", done.stderr)
        self.assert_nowhere(done, "r")

    def test_a_key_that_others_can_read_is_refused(self):
        self.key.chmod(0o644)
        done = self.load("r", f"file:{self.key}")
        self.assertEqual(done.returncode, 2)
        self.assertIn("chmod 600", done.stderr)
        self.assert_nowhere(done, "r")

    def test_a_key_on_the_command_line_is_refused_and_not_repeated(self):
        done = self.load("r", KEY)
        self.assertEqual(done.returncode, 2)
        self.assert_nowhere(done, "r")


if __name__ == "__main__":
    unittest.main()
