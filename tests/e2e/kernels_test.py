"""dsbench kernels and calibrate, as a user meets them."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from support import BINARY as DSBENCH

ROOT = pathlib.Path(__file__).resolve().parents[2]

PLUGINS = pathlib.Path(os.environ["DSBENCH_PLUGINS"])
NORM = ["--filter", "rmsnorm/*/f32", "--filter", "rmsnorm/*tokens*", "--quick"]
FAST = ["--quick", "--time", "5ms", "--repetitions", "2"]


def kernels(*args, **more):
    return subprocess.run([DSBENCH, "kernels", *args], capture_output=True, text=True, timeout=120, **more)


class Kernels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp())
        cls.out = cls.dir / "quick.json"
        cls.quick = kernels("--quick", "--repetitions", "9", "--json", "--out", str(cls.out))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def cells(self):
        return json.loads(self.out.read_text())["dsbench"]["cells"]

    def test_quick_checks_and_times_everything(self):
        self.assertEqual(self.quick.returncode, 0, self.quick.stderr)
        self.assertEqual(json.loads(self.quick.stdout), json.loads(self.out.read_text()))
        cells = self.cells()
        bad = [(c["name"], c["kernel"], c.get("why")) for c in cells if c["state"] not in ("ok", "throttled", "unsupported")]
        self.assertEqual(bad, [])
        timed = [c for c in cells if "time_s" in c]
        self.assertGreater(len({c["op"] for c in timed}), 10)
        for c in timed:
            if c["name"] == "control/copy":
                continue
            self.assertTrue(c["check"]["passed"], c["name"])
            self.assertTrue(c["check"]["again_after_timing"], c["name"])
            self.assertGreater(c["roofline"]["percent"], 0, c["name"])

    def test_skip_leaves_kernels_of_cases_out(self):
        of = ["--suite", "correctness", "--filter", "rmsnorm/*", "--json", "--quiet"]
        everyone = {c["kernel"] for c in json.loads(kernels(*of).stdout)["dsbench"]["cells"]}
        self.assertGreater(len(everyone), 0)
        done = kernels(*of, *[flag for kernel in everyone for flag in ("--skip", f"*/{kernel}")])
        self.assertEqual(done.returncode, 2)
        self.assertIn("no kernel of device cpu is left", done.stderr)
        self.assertEqual(kernels(*of, "--skip", "rmsnorm").returncode, 0)  # a whole name, not a part of one

    def test_the_result_names_no_host(self):
        document = json.loads(self.out.read_text())
        self.assertNotIn("host_name", document["context"])
        self.assertNotIn(os.uname().nodename, self.out.read_text())
        self.assertGreater(document["dsbench"]["ceilings"]["copy_bytes_per_s"], 1e8)

    def test_google_benchmarks_compare_reads_it(self):
        document = json.loads(self.out.read_text())
        runs = [b for b in document["benchmarks"] if b["run_type"] == "iteration"]
        # What compare.py needs of a file: names, repetitions, times and their unit, aggregates by name.
        for b in runs:
            self.assertIn(b["time_unit"], ("ns", "us", "ms", "s"))
            self.assertGreater(b["real_time"], 0, b["name"])
            self.assertIn("repetition_index", b)
        self.assertTrue(any(b["run_type"] == "aggregate" and b["aggregate_name"] == "median" for b in document["benchmarks"]))
        script = pathlib.Path("/usr/share/benchmark/compare.py")
        python = ROOT / "build/test-venv/bin/python"
        if not script.exists() or not python.exists():
            self.skipTest("compare.py (libbenchmark-tools) or the test's Python packages are not installed: scripts/setup --test")
        run = subprocess.run([python, script, "--no-color", "benchmarks", self.out, self.out], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("control/copy", run.stdout)

    def test_a_run_compared_with_itself_is_the_same(self):
        run = kernels("--compare", str(self.out), str(self.out), "--gate")
        # On a busy machine cells may be throttled, which decides nothing; none may differ from itself.
        self.assertIn(run.returncode, (0, 5), run.stdout + run.stderr)
        for state in ("SLOW", "FAST", "AMBIGUOUS"):
            self.assertNotIn(state, run.stdout)

    def test_a_slower_candidate_fails_the_gate(self):
        document = json.loads(self.out.read_text())
        slow = next(c for c in document["dsbench"]["cells"] if "time_s" in c and c["time_s"] > 2e-5 and c["name"] != "control/copy")
        # Tight samples on both sides, so that the noise of this machine decides nothing.
        for factor, name in ((1.0, "base"), (1.3, "cand")):
            t = slow["repetitions_s"][0] = document["dsbench"]["cells"][0].get("none", 1e-4) * factor
            slow.update(repetitions_s=[t * (1 + i * 1e-4) for i in range(9)], time_s=t, p10_s=t * 0.99, p90_s=t * 1.01, mad_s=t * 1e-3, state="ok")
            (self.dir / f"{name}.json").write_text(json.dumps(document))
        run = kernels("--compare", str(self.dir / "base.json"), str(self.dir / "cand.json"), "--gate")
        self.assertEqual(run.returncode, 4, run.stdout + run.stderr)
        self.assertIn("SLOW", run.stdout)
        self.assertIn("+30.0 %", run.stdout)
        only_shown = kernels("--compare", str(self.dir / "base.json"), str(self.dir / "cand.json"))
        self.assertEqual(only_shown.returncode, 0)

    def test_another_machine_is_not_comparable(self):
        document = json.loads(self.out.read_text())
        document["dsbench"]["facts"]["threads"] = "77"
        other = self.dir / "other.json"
        other.write_text(json.dumps(document))
        run = kernels("--compare", str(self.out), str(other))
        self.assertEqual(run.returncode, 2)
        self.assertIn("threads: baseline", run.stderr)
        self.assertEqual(kernels("--compare", str(self.out), str(other), "--allow-mismatch", "threads").returncode, 0)

    def test_min_roofline(self):
        limits = self.dir / "limits.json"
        limits.write_text(json.dumps({"schema": "dsbench.min-roofline/1", "limits": [{"cell": "rmsnorm/*", "percent": 100}]}))
        run = kernels("--compare", str(self.out), str(self.out), "--min-roofline", str(limits))
        self.assertEqual(run.returncode, 3, run.stdout + run.stderr)
        self.assertIn("100.0 % is the least", run.stdout)

    def test_list_shows_ops_kernels_and_cases(self):
        run = kernels("--list")
        self.assertEqual(run.returncode, 0)
        for word in ("mla_decode", "moe_gate", "fp8_gemm", "Cases of suite standard"):
            self.assertIn(word, run.stdout)

    def test_wrong_words_are_refused(self):
        self.assertEqual(kernels("--filter", "nosuchcase").returncode, 2)
        self.assertEqual(kernels("--device", "tpu").returncode, 2)
        self.assertEqual(kernels("--gate").returncode, 2)
        self.assertEqual(kernels("--quick", "--full").returncode, 2)
        self.assertIn("dsbench kernels --list", kernels("--filter", "nosuchcase").stderr)
        missing = kernels("--baseline", str(self.dir / "none.json"), "--quick")
        self.assertNotEqual(missing.returncode, 0)
        self.assertIn("none.json", missing.stderr)

    def test_no_cuda_device_is_said(self):
        if shutil.which("nvidia-smi"):
            self.skipTest("there is a device")
        run = kernels("--device", "cuda", "--quick")
        self.assertEqual(run.returncode, 2)
        self.assertIn("no CUDA device", run.stderr)

    # --- plug-ins
    def plugin(self, name, *more):
        run = kernels(*FAST, "--filter", "rmsnorm/", "--plugin", str(PLUGINS / f"{name}.so"), "--json", *more)
        try:
            cells = json.loads(run.stdout)["dsbench"]["cells"]
        except json.JSONDecodeError:
            cells = []
        return run, [c for c in cells if c["author"] in ("test", "you")], [c for c in cells if c["author"] not in ("test", "you")]

    def others_are_whole(self, others):
        self.assertTrue(others)
        self.assertTrue(all(c["state"] in ("ok", "throttled") for c in others), others)

    def test_the_example_plugin_stands_beside_ours(self):
        run, mine, others = self.plugin("example")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertTrue(any(c["state"] in ("ok", "throttled") and c["check"]["passed"] for c in mine))
        self.others_are_whole(others)

    def test_a_crash_is_a_row(self):
        run, mine, others = self.plugin("crash")
        self.assertEqual(run.returncode, 3, run.stderr)
        f32 = [c for c in mine if c["state"] != "unsupported"]
        self.assertTrue(f32 and all(c["state"] == "failed" and "signal 11" in c["why"] for c in f32), mine)
        self.others_are_whole(others)

    def test_a_crash_while_timed_is_a_row(self):
        run, mine, others = self.plugin("late_crash")
        self.assertEqual(run.returncode, 3, run.stderr)
        self.assertTrue(any(c["state"] == "failed" and "signal 6" in c["why"] for c in mine), mine)
        self.others_are_whole(others)

    def test_a_hang_is_a_row(self):
        begin = time.monotonic()
        run, mine, others = self.plugin("hang", "--plugin-timeout", "1s")
        self.assertEqual(run.returncode, 3, run.stderr)
        self.assertLess(time.monotonic() - begin, 60)
        self.assertTrue(any(c["state"] == "failed" and "hung" in c["why"] for c in mine), mine)
        self.others_are_whole(others)

    def test_a_wrong_answer_is_a_row_and_not_timed(self):
        run, mine, others = self.plugin("wrong")
        self.assertEqual(run.returncode, 3, run.stderr)
        wrong = [c for c in mine if c["state"] == "incorrect"]
        self.assertTrue(wrong and all("time_s" not in c and c["why"] for c in wrong), mine)
        self.others_are_whole(others)

    def test_a_quiet_exit_is_a_row(self):
        _, mine, others = self.plugin("exit")
        self.assertTrue(any("exit code 3" in c.get("why", "") for c in mine), mine)
        self.others_are_whole(others)

    def test_what_a_plugin_prints_does_not_reach_our_results(self):
        run, mine, _ = self.plugin("chatty")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertTrue(any(c["state"] in ("ok", "throttled") for c in mine), mine)

    def test_what_cannot_be_a_plugin_is_refused(self):
        for name, words in (("abi", "ABI version 99"), ("op", "'rmsnrom'"), ("empty", "no kernels")):
            run, _, _ = self.plugin(name)
            self.assertEqual(run.returncode, 2, name)
            self.assertIn(words, run.stderr)
        run = kernels(*FAST, "--plugin", "/nonexistent.so")
        self.assertEqual(run.returncode, 2)
        self.assertIn("does not load", run.stderr)

    def test_the_example_builds_on_its_own(self):
        build = self.dir / "example"
        subprocess.run(["cmake", "-S", str(ROOT / "kernelbench/examples"), "-B", str(build)], check=True, capture_output=True)
        subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
        run = kernels(*FAST, "--filter", "rmsnorm/", "--plugin", str(build / "libexample_rmsnorm.so"))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("example_c", run.stdout)

    def test_ctrl_c_keeps_what_was_measured(self):
        out = self.dir / "cut.json"
        run = subprocess.Popen([DSBENCH, "kernels", "--suite", "standard", "--out", str(out), "--repetitions", "50"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(3)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 130, err)
        self.assertTrue(json.loads(out.read_text())["dsbench"]["interrupted"])

    # --- calibrate
    def calibrate(self, *args):
        return subprocess.run([DSBENCH, "calibrate", *args], capture_output=True, text=True, timeout=60)

    def test_a_step_log_becomes_a_law_that_serve_and_sim_accept(self):
        log = self.dir / "steps.csv"
        lines = ["step,start_ns,duration_ns,prefill_tokens,decode_tokens,kv_tokens,sequences"]
        for i in range(300):
            p, d = (i * 37 % 500 if i % 4 == 0 else 0), i * 13 % 64
            k = d * (20 + i * 29 % 900)
            lines.append(f"{i + 1},0,{2_000_000 + 400_000 * p + 1_000_000 * d + 1000 * k},{p},{d},{k},{d}")
        log.write_text("\n".join(lines) + "\n")
        out = self.dir / "law.json"
        run = self.calibrate("--from-steps", str(log), "--out", str(out))
        self.assertEqual(run.returncode, 0, run.stderr)
        law = json.loads(out.read_text())
        self.assertAlmostEqual(law["step_time"]["decode_token_s"]["value"], 1e-3, places=8)
        self.assertEqual(law["step_time"]["decode_token_s"]["provenance"], "measured")
        self.assertIn("median 0.0 %", run.stdout)
        self.assertEqual(subprocess.run([DSBENCH, "serve", "--executor", f"cost:{out}", "--dry-run"], capture_output=True).returncode, 0)

    def test_kernel_results_become_a_law(self):
        out = self.dir / "kernels-law.json"
        run = self.calibrate("--from-kernels", str(self.out), "--model", "tiny", "--out", str(out))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("where a full decode step goes", run.stdout)
        fleet = self.dir / "fleet.json"
        fleet.write_text(json.dumps({
            "schema": "dsbench.fleet/1", "name": "mine", "description": "one replica of it", "hardware": str(out),
            "replicas": {"value": 1, "provenance": "assumed", "source": "one"},
            "router": {"value": "round_robin", "provenance": "assumed", "source": "one"},
            "network_rtt": {"value": "100us", "provenance": "assumed", "source": "loopback"}}))
        load = subprocess.run([DSBENCH, "load", "--target", f"sim:{fleet}", "--traffic", "steady", "--out", str(self.dir / "run")],
                              capture_output=True, text=True, timeout=60)
        self.assertIn(load.returncode, (0, 3), load.stderr)

    def test_calibrate_refuses_what_it_cannot_use(self):
        self.assertEqual(self.calibrate().returncode, 2)
        bad = self.dir / "bad.csv"
        bad.write_text("step,duration_ns,prefill_tokens,decode_tokens,kv_tokens,sequences\n1,12,x,0,0,1\n")
        run = self.calibrate("--from-steps", str(bad))
        self.assertEqual(run.returncode, 2)
        self.assertIn("line 2: prefill_tokens is 'x'", run.stderr)
        run = self.calibrate("--from-kernels", str(bad))
        self.assertEqual(run.returncode, 2)


if __name__ == "__main__":
    unittest.main()
