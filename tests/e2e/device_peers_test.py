"""scripts/device_peers without a GPU: what it makes of dsbench's results, of others' times and of packages that are missing."""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
loader = importlib.machinery.SourceFileLoader("device_peers", str(ROOT / "scripts/device_peers"))
device_peers = importlib.util.module_from_spec(importlib.util.spec_from_loader("device_peers", loader))
loader.exec_module(device_peers)


def cell(name, kernel, seconds, **more):
    return {"name": name, "op": name.split("/")[0], "kernel": kernel, "role": "kernel", "state": "ok", "time_s": seconds,
            "problem": {"op": name.split("/")[0], "dtype": "fp8", "params": {}, "words": {}}, **more}


def torch_with(gpu):
    return types.SimpleNamespace(cuda=types.SimpleNamespace(is_available=lambda: gpu))


class Peers(unittest.TestCase):
    def test_ours_is_the_fastest_that_is_right(self):
        document = {"dsbench": {"cells": [cell("fp8_gemm/m=1", "mma", 3e-6), cell("fp8_gemm/m=1", "wgmma", 2e-6),
                                          cell("fp8_gemm/m=1", "wrong", 1e-6, state="incorrect"),
                                          cell("fp8_gemm/m=1", "cublaslt", 1e-6, role="baseline"),
                                          cell("mla_decode/b=1", "mma", None), cell("control/copy", "copy", 1e-6, op="control")]}}
        best = device_peers.our_times(document)
        self.assertEqual({case: found[:2] for case, found in best.items()}, {"fp8_gemm/m=1": ("wgmma", 2e-6)})

    def test_sides_take_turns_and_the_median_of_the_rounds_counts(self):
        order = []
        our_seconds, their_seconds = iter([2.0, 4.0, 2.0]), iter([3.0, 8.0, 2.0])

        def ours():
            order.append("ours")
            return {"a": ("wgmma", next(our_seconds), {"op": "a"}), "b": ("mma", 1.0, {"op": "b"})}

        def theirs(problems):
            order.append("theirs")
            self.assertEqual(problems["a"], {"op": "a"})
            return {("Other", "a"): next(their_seconds)}

        rows = device_peers.ratios(device_peers.in_turns(3, ours, theirs))
        self.assertEqual(order, ["ours", "theirs", "theirs", "ours", "ours", "theirs"])
        self.assertEqual(len(rows), 1)  # nobody else did b
        self.assertEqual((rows[0]["ratio"], rows[0]["least"], rows[0]["most"], rows[0]["rounds"]), (1.5, 1.0, 2.0, 3))
        self.assertEqual((rows[0]["ours_s"], rows[0]["peer_s"]), (2.0, 3.0))
        text = device_peers.table(rows, ["FlashMLA: not installed."])
        self.assertIn("1.50×  3 (1.00 to 2.00)", text)
        self.assertIn("FlashMLA: not installed.", text)

    def test_rounds_end_when_the_time_does(self):
        rounds = device_peers.in_turns(5, lambda: {}, lambda problems: {}, lambda: False)
        self.assertEqual(len(rounds), 1)

    def test_packages_that_are_missing_are_named(self):
        def load(name):
            if name == "torch":
                return torch_with(True)
            if name == "flashinfer":
                return "the package"
            raise ImportError(f"No module named {name!r}")

        _, found, missing = device_peers.find_peers(device_peers.PEERS, load)
        self.assertEqual([name for name, _, _ in found], ["FlashInfer", "PyTorch SDPA"])
        self.assertEqual(missing, ["DeepGEMM: not installed (No module named 'deep_gemm').", "FlashMLA: not installed (No module named 'flash_mla')."])

    def test_without_pytorch_or_a_gpu_nobody_is_run(self):
        def nothing(name):
            raise ImportError(f"No module named {name!r}")

        self.assertIn("PyTorch is not installed (No module named 'torch')", device_peers.find_peers(device_peers.PEERS, nothing)[2][0])
        self.assertIn("no GPU", device_peers.find_peers(device_peers.PEERS, lambda name: torch_with(False))[2][0])

    def test_a_peer_declines_what_it_does_not_do(self):
        problem = {"op": "rmsnorm", "dtype": "bf16", "params": {"queries": 1, "context": 2}, "words": {}}
        for _, _, make in device_peers.PEERS:
            with self.assertRaises(device_peers.NotDone):
                make(None, None, problem)

    def test_the_cases_are_of_the_standard_suite(self):
        listed = subprocess.run([os.environ.get("DSBENCH", ROOT / "build/release/dsbench"), "kernels", "--device", "cuda", "--suite", "standard",
                                 "--list"], capture_output=True, text=True, timeout=60).stdout.split()
        for case in device_peers.CASES:
            self.assertIn(case, listed)

    def test_the_script_says_what_is_missing_and_writes_it_down(self):
        with tempfile.TemporaryDirectory() as folder:
            hidden = pathlib.Path(folder) / "torch.py"  # whatever is installed here
            hidden.write_text("raise ImportError('hidden from this test')\n")
            (pathlib.Path(folder) / "dsbench").write_text("#!/bin/sh\nexit 3\n")
            (pathlib.Path(folder) / "dsbench").chmod(0o755)
            done = subprocess.run([ROOT / "scripts/device_peers", "--build", folder, "--out", folder], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("no peer was timed", done.stdout)
            self.assertIn("PyTorch is not installed (hidden from this test)", done.stdout)
            self.assertEqual(json.loads((pathlib.Path(folder) / "peers.json").read_text())["rows"], [])


if __name__ == "__main__":
    unittest.main()
