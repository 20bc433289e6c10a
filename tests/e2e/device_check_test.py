"""scripts/device_check against a stand-in for dsbench: what it writes, and what it makes of kernels that are wrong, hang or break the
device; and against dsbench itself on the CPU."""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
loader = importlib.machinery.SourceFileLoader("device_check", str(ROOT / "scripts/device_check"))
spec = importlib.util.spec_from_loader("device_check", loader)
device_check = importlib.util.module_from_spec(spec)
loader.exec_module(device_check)

# Three ops with a kernel or two; WRONG, HANGS and BREAKS name a kernel. BREAKS takes those behind it along.
STAND_IN = r"""#!/usr/bin/env python3
import fnmatch, json, os, sys, time
args = sys.argv[1:]
if "--list" in args:
    if os.environ.get("NO_DEVICE"):
        sys.exit("there is no list either")
    print("Ops\n  gemm  a product\n\nKernels on cuda\n  gemm        slabs\n  gemm        tma\n  rmsnorm     rows\n"
          "  gemm        lt (baseline)\n\nCases of suite standard (1)\n  gemm/m=1")
    sys.exit(0)
if os.environ.get("NO_BOARD"):
    print("there is no CUDA device: no driver", file=sys.stderr)
    sys.exit(2)
skip = [args[i + 1] for i, a in enumerate(args) if a == "--skip"]
suite = args[args.index("--suite") + 1]
cells, broken, status = [], False, 0
for op, kernel, role in (("gemm", "slabs", "kernel"), ("gemm", "tma", "kernel"), ("gemm", "lt", "baseline"), ("rmsnorm", "rows", "kernel")):
    name = op + "/m=1"
    if any(fnmatch.fnmatchcase(name + "/" + kernel, p) for p in skip):
        continue
    cell = {"name": name, "op": op, "kernel": kernel, "role": role, "state": "ok", "time_s": {"slabs": 4e-6, "tma": 2e-6}.get(kernel, 3e-6),
            "roofline": {"percent": 61.0}}
    if kernel == os.environ.get("HANGS"):
        time.sleep(600)
    if broken:
        cell.update(state="skipped", why="an earlier cell broke the device")
    if kernel == os.environ.get("WRONG"):
        cell.update(state="incorrect", why="row 3 is off")
    if kernel == os.environ.get("BREAKS") and suite == os.environ.get("IN", suite):
        broken = True
        cell.update(state="failed", why="an illegal memory access")
    status = status or (3 if cell["state"] in ("incorrect", "failed") else 0)
    cells.append(cell)
if suite == "standard":
    cells.append({"name": "control/copy", "op": "control", "kernel": "copy", "role": "kernel", "state": "ok"})
facts = {"gpu": "NVIDIA H200", "driver": "1.2", "sm_mhz": "1980"}
document = {"context": {}, "benchmarks": [{"name": c["name"]} for c in cells],
            "dsbench": {"interrupted": False, "facts": facts, "cells": cells}}
with open(args[args.index("--out") + 1], "w") as out:
    json.dump(document, out)
print("a table of", suite, " ".join(c["kernel"] for c in cells))
sys.exit(status)
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
                              env={**os.environ, **environment}, timeout=100)

    def table(self):
        return next(self.out.glob("*.md")).read_text()

    def cells(self):
        return json.loads(next(self.out.glob("*.json")).read_text())["dsbench"]["cells"]

    def test_writes_the_table_under_the_name_of_the_gpu(self):
        done = self.run_it()
        self.assertEqual(done.returncode, 0, done.stderr)
        names = sorted(file.name for file in self.out.iterdir())
        self.assertEqual(len(names), 2)
        self.assertRegex(names[0], r"^nvidia-h200-\d{4}-\d\d-\d\d\.json$")
        text = self.table()
        self.assertIn("driver 1.2", text)
        self.assertIn("at 1980 of", text)
        self.assertIn("Correctness and corner lists: passed.", text)
        self.assertIn("a table of standard slabs tma lt", text)
        self.assertIn("a table of standard rows", text)
        self.assertRegex(text, r"gemm/m=1 +tma +2\.0 µs +61 % of roof  1\.50× base")
        self.assertRegex(done.stdout, r"rmsnorm/m=1 +rows +3\.0 µs")
        # One document of all that was timed, with one control.
        self.assertEqual([c["kernel"] for c in self.cells()], ["slabs", "tma", "lt", "copy", "rows"])

    def test_a_wrong_kernel_is_named_and_left_out(self):
        done = self.run_it(WRONG="tma")
        self.assertEqual(done.returncode, 1)
        self.assertIn("- **Wrong: gemm `tma`** (correctness: gemm/m=1: incorrect: row 3 is off)", self.table())
        self.assertNotIn("lists: passed", self.table())
        self.assertIn("a table of standard slabs lt", self.table())
        self.assertIn("a table of standard rows", self.table())

    def test_a_wrong_baseline_is_no_reason_to_stop(self):
        done = self.run_it(WRONG="lt")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("a table of standard slabs tma lt", self.table())

    def test_who_breaks_the_device_is_found_by_trying_each_alone(self):
        done = self.run_it(BREAKS="slabs")
        self.assertEqual(done.returncode, 1)
        self.assertIn("gemm slabs by itself", done.stderr)
        self.assertIn("rmsnorm rows by itself", done.stderr)
        self.assertEqual(self.table().count("**Wrong:"), 1)
        self.assertIn("- **Wrong: gemm `slabs`** (correctness: gemm/m=1: failed: an illegal memory access)", self.table())
        self.assertIn("a table of standard tma lt", self.table())

    def test_who_breaks_the_device_in_the_larger_suite_is_found_and_the_others_timed_again(self):
        done = self.run_it(BREAKS="slabs", IN="standard")
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard: gemm tma by itself", done.stderr)
        self.assertEqual(self.table().count("**Wrong:"), 1, self.table())
        self.assertIn("- **Wrong: gemm `slabs`** (standard: gemm/m=1: failed: an illegal memory access)", self.table())
        self.assertIn("a table of standard tma lt", self.table())
        self.assertNotIn("a table of standard slabs", self.table())

    def test_what_hangs_is_ended_and_found_and_the_rest_is_timed(self):
        done = self.run_it("--seconds", "90", HANGS="rows")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.table().count("**Wrong:"), 1, self.table())
        self.assertIn("Wrong: rmsnorm `rows`", self.table())
        self.assertIn("a table of standard slabs tma lt", self.table())

    def test_without_a_device_it_ends_with_2(self):
        done = self.run_it(NO_BOARD="1")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no CUDA device", done.stderr)
        self.assertFalse(self.out.exists())

    def test_refuses_an_unknown_argument(self):
        done = self.run_it("--quickly")
        self.assertEqual(done.returncode, 2)
        self.assertIn("unrecognized arguments: --quickly", done.stderr)

    def test_a_run_that_is_interrupted_still_has_its_status_and_one_that_hangs_has_none(self):
        run = device_check.run
        self.assertEqual(run(["sh", "-c", "trap 'echo partial; exit 130' INT; sleep 60 & wait"], 1, os.environ, signal.SIGINT)[:2],
                         (130, "partial\n"))
        self.assertEqual(run(["sleep", "60"], 1, os.environ)[0], None)
        self.assertEqual(run(["sh", "-c", "exit 3"], 5, os.environ)[0], 3)

    def test_packs_what_another_machine_may_lack(self):
        binary = os.environ.get("DSBENCH")
        if not binary:
            self.skipTest("DSBENCH names no program")
        with tempfile.TemporaryDirectory() as to:
            done = subprocess.run([ROOT / "scripts/device_check", "--build", pathlib.Path(binary).parent, "--pack", to],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            libraries = [file.name for file in (pathlib.Path(to) / "lib").iterdir()]
            self.assertTrue(any(name.startswith("libfmt.so") for name in libraries), libraries)
            self.assertFalse([name for name in libraries if name.startswith(("libc.so", "libstdc++", "ld-linux"))], libraries)
            listed = subprocess.run([pathlib.Path(to) / "dsbench", "kernels", "--list"], capture_output=True, text=True, timeout=60)
            self.assertEqual(listed.returncode, 0, listed.stderr)


if __name__ == "__main__":
    unittest.main()
