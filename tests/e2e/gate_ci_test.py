"""The CI snippets of docs/ci, each executed: their commands taken out of the files and run against a simulated target."""

import json
import os
import pathlib
import re
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

from gate_test import fleet
from support import BINARY, TestCase

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = "load --target sim:laptop --traffic 'hold(4/s,20s)'"


def blocks(text, opening):
    """The indented block behind each line `opening`: what a runner gives to a shell."""
    lines = text.splitlines()
    found = []
    for i, line in enumerate(lines):
        if line.strip() != opening:
            continue
        indent = len(line) - len(line.lstrip())
        block = []
        for inner in lines[i + 1:]:
            if inner.strip() and len(inner) - len(inner.lstrip()) <= indent:
                break
            block.append(inner)
        found.append("\n".join(block))
    return found


class Snippets(TestCase):
    def setUp(self):
        super().setUp()
        (self.folder / "bin").mkdir()
        (self.folder / "bin/dsbench").symlink_to(BINARY)
        self.slow = f"load --target sim:{fleet(self.folder, 1.2)} --traffic 'hold(4/s,20s)'"

    def shell(self, script, cand, name="work", **environment):
        work = self.folder / name
        work.mkdir(exist_ok=True)
        return subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=work, capture_output=True, text=True, timeout=120, env={
            **{k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}, "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(self.folder / "cache"), "GATE_BASE": BASE, "GATE_CAND": cand, **environment})

    def test_github_actions(self):
        text = (ROOT / "docs/ci/github-actions.yml").read_text()
        steps = blocks(text, "run: |")
        self.assertEqual(len(steps), 2)
        self.assertEqual(len(steps), len(re.findall(r"^\s*run:", text, re.M)), "every command is one of these blocks")
        for name, cand, code in (("green", BASE, 0), ("red", self.slow, 4)):
            summary = self.folder / f"{name}.md"
            done = self.shell(steps[0], cand, name, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertIn("### dsbench gate: " + ("PASSED" if code == 0 else "REGRESSED"), summary.read_text())
            self.assertEqual("::error" in done.stderr, code != 0)
            self.assertEqual(self.shell(steps[1], cand, name).returncode, 0)
            self.assertTrue((self.folder / name / "gate-runs.tar.gz").exists())
            ElementTree.parse(self.folder / name / "gate.xml")
            json.loads((self.folder / name / "gate-bencher.json").read_text())
            json.loads((self.folder / name / "gate-benchmark.json").read_text())

    def test_gitlab(self):
        text = (ROOT / "docs/ci/gitlab-ci.yml").read_text()
        [script] = blocks(text, "script:")
        commands = [line.strip()[2:] for line in script.splitlines() if line.strip().startswith("- ")]
        self.assertEqual(len(commands), 1)
        self.assertIn("exit_codes: [5]", text)
        for name, cand, code in (("green", BASE, 0), ("red", self.slow, 4)):
            done = self.shell("\n".join(commands), cand, name)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertTrue((self.folder / name / "gate.md").exists())
            failures = ElementTree.parse(self.folder / name / "gate.xml").findall("testcase/failure")
            self.assertEqual(bool(failures), code != 0)

    def test_plain_shell(self):
        script = f"exec {ROOT}/docs/ci/gate.sh"
        done = self.shell(script, BASE, "green", GATE_ID="c1")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("gate: green", done.stdout)
        self.assertEqual(len((self.folder / "green/gate-history.jsonl").read_text().splitlines()), 1)
        done = self.shell(script, self.slow, "red", GATE_ID="c2", GATE_HISTORY="../green/gate-history.jsonl")
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        self.assertIn("gate: the candidate is slower", done.stdout)
        self.assertIn("p50 ttft: 2 runs; baseline", done.stdout)
        done = self.shell(script, "load --target sim:nowhere", "broken")
        self.assertEqual(done.returncode, 2)
        self.assertIn("gate: it could not run (status 2)", done.stdout)
        self.assertNotEqual(self.shell(script, "", "empty").returncode, 0)


if __name__ == "__main__":
    unittest.main()
