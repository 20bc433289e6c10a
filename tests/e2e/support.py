"""What the end-to-end tests share: the binary, runs with a bound on time, and a server of our own on a free port."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

BINARY = os.environ.get("DSBENCH", str(pathlib.Path(__file__).resolve().parents[2] / "build/release/dsbench"))


def run(*arguments, timeout=120, **options):
    """Runs dsbench to its end; returns the CompletedProcess with text output."""
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **options)


def run_json(directory):
    return json.loads((pathlib.Path(directory) / "run.json").read_text())


def count(directory, table="attempts", where="1"):
    with contextlib.closing(sqlite3.connect(pathlib.Path(directory) / "records.sqlite")) as db:
        return db.execute(f"select count(*) from {table} where {where}").fetchone()[0]


def column(directory, expression, where="1"):
    with contextlib.closing(sqlite3.connect(pathlib.Path(directory) / "records.sqlite")) as db:
        return [row[0] for row in db.execute(f"select {expression} from attempts where {where} order by 1")]


def quantile(values, q):
    return values[min(len(values) - 1, int(q * len(values)))]


class Server:
    """`dsbench serve` on a port of the kernel's choosing; stopped on exit."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--port", "0", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = None
        self.said = []
        deadline = time.monotonic() + 60
        for line in self.process.stderr:
            self.said.append(line)
            found = re.search(r"http://[^\s/]+:\d+", line)
            if found:
                self.url = found.group(0)
                break
            if time.monotonic() > deadline:
                break
        if self.url is None:
            self.process.kill()
            raise RuntimeError("dsbench serve did not start: " + "".join(self.said))
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return response.read().decode()

    def post(self, path, body, timeout=30):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name):
        """The sum over label sets of a metric's samples."""
        values = [float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics").splitlines()
                  if re.match(re.escape(name) + r"(\{|\s)", line)]
        if not values:
            raise AssertionError(f"/metrics has no {name}")
        return sum(values)


class TestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dsbench-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def eventually(self, condition, seconds=20, what="the condition"):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"{what} did not come true within {seconds} s")
            time.sleep(0.05)
