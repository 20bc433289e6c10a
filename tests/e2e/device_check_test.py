"""scripts/device_check against a stand-in for dsbench: what it writes, and that it writes nothing when kernels are wrong."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STAND_IN = """#!/usr/bin/env bash
case "$*" in
  *"--suite corner"*) if [ -n "${WRONG:-}" ]; then echo "a wrong row"; exit 3; fi ;;
  *--check-only*) if [ -n "${NO_DEVICE:-}" ]; then echo "there is no CUDA device: no driver" >&2; exit 2; fi ;;
  *"--suite standard --out"*) echo '{"context": {"gpu": "NVIDIA H200"}}' > "${@: -1}"; echo "a table" ;;
esac
"""


class DeviceCheck(unittest.TestCase):
    def run_it(self, *args, **environment):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        build = pathlib.Path(folder.name)
        (build / "dsbench").write_text(STAND_IN)
        (build / "dsbench").chmod(0o755)
        self.out = build / "measured"
        return subprocess.run([ROOT / "scripts/device_check", "--build", build, "--out", self.out, *args], capture_output=True, text=True,
                              env={**os.environ, **environment}, timeout=60)

    def test_writes_the_table_under_the_name_of_the_gpu(self):
        done = self.run_it()
        self.assertEqual(done.returncode, 0, done.stderr)
        names = sorted(file.name for file in self.out.iterdir())
        self.assertEqual(len(names), 2)
        self.assertRegex(names[0], r"^nvidia-h200-\d{4}-\d\d-\d\d\.json$")
        self.assertEqual(json.loads((self.out / names[0]).read_text())["context"]["gpu"], "NVIDIA H200")
        text = (self.out / names[1]).read_text()
        self.assertIn("a table", text)
        self.assertIn("Correctness and corner lists: passed.", text)

    def test_wrong_kernels_are_not_timed(self):
        done = self.run_it(WRONG="1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("a wrong row", done.stderr)
        self.assertIn("nothing is timed and no table is written", done.stderr)
        self.assertFalse(self.out.exists())

    def test_without_a_device_it_ends_with_2(self):
        done = self.run_it(NO_DEVICE="1")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no CUDA device", done.stderr)

    def test_refuses_an_unknown_argument(self):
        done = self.run_it("--quickly")
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown argument '--quickly'; accepted:", done.stderr)


if __name__ == "__main__":
    unittest.main()
