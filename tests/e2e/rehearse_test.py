"""The main job: find the knee, drive past it, watch the recovery."""

import json
import os
import signal
import subprocess
import time
import unittest

from support import BINARY, TestCase, count, run, run_json


def without_stamps(summary):
    return {k: v for k, v in summary.items() if k not in ("started_at_ns", "ended_at_ns")}


class Simulated(TestCase):
    def test_one_seed_one_result(self):
        summaries = []
        for name in ("a", "b"):
            done = run("rehearse", "--target", "sim:laptop", "--seed", 7, "--out", self.folder / name)
            self.assertIn(done.returncode, (0, 3, 5), done.stderr)
            summaries.append(without_stamps(run_json(self.folder / name)))
        self.assertEqual(summaries[0], summaries[1])
        self.assertTrue(summaries[0]["simulated"])
        self.assertEqual(count(self.folder / "a"), summaries[0]["attempts"])

    def test_an_unbounded_queue_collapses_and_a_bounded_one_does_not(self):
        done = run("rehearse", "--target", "sim:laptop", "--out", self.folder / "unbounded")
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        unbounded = run_json(self.folder / "unbounded")
        self.assertEqual(unbounded["verdict"], "NOT READY")
        self.assertEqual(unbounded["collapse"]["verdict"], "collapsed")
        # Two places only: with eight, those who wait come so late that retries eat up to a fifth, and the seed decides.
        done = run("rehearse", "--target", "sim:laptop", "--engine-max-queued", 2, "--out", self.folder / "bounded")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        bounded = run_json(self.folder / "bounded")
        self.assertEqual(bounded["collapse"]["verdict"], "none")
        # both curves in one picture
        both = self.folder / "both.html"
        done = run("report", self.folder / "unbounded", self.folder / "bounded", "--out", both)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("<svg", both.read_text())

    def test_forecast_beyond_the_knee_is_not_ready(self):
        done = run("rehearse", "--target", "sim:laptop", "--engine-max-queued", 8, "--forecast", "100000/s", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 3, done.stderr)


class Embedded(TestCase):
    def test_quick(self):
        began = time.monotonic()
        done = run("rehearse", "--quick", "--out", self.folder / "r", "--json", timeout=150)
        took = time.monotonic() - began
        self.assertIn(done.returncode, (0, 3, 5, 7), done.stdout + done.stderr)
        summary = run_json(self.folder / "r")
        self.assertEqual(json.loads(done.stdout), summary)
        for key in ("schema", "verdict", "validity", "collapse", "recovery"):
            self.assertIn(key, summary)
        self.assertIn("offered_rps", summary["knee"])
        self.assertEqual(count(self.folder / "r"), summary["attempts"])
        for name in ("run.json", "records.sqlite", "latency.hlog", "report.html"):
            self.assertTrue((self.folder / "r" / name).exists(), name)
        print(f"rehearse --quick took {took:.1f} s: {summary['verdict']}: {summary['sentence']}")

    def test_ctrl_c_leaves_whole_results_and_no_engine(self):
        process = subprocess.Popen([BINARY, "rehearse", "--quick", "--out", str(self.folder / "r")],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(6)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)
        self.assertEqual(process.returncode, 130, err)
        summary = run_json(self.folder / "r")
        self.assertEqual(summary["ended"], "interrupted")
        self.assertEqual(count(self.folder / "r"), summary["attempts"])
        left = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout
        self.assertEqual(left, "")


class Refusals(TestCase):
    def test_an_unreachable_target_is_8(self):
        done = run("rehearse", "--target", "http://127.0.0.1:1", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("http://127.0.0.1:1", done.stderr)
        self.assertFalse((self.folder / "r").exists())

    def test_an_unknown_fleet_is_2(self):
        done = run("rehearse", "--target", "sim:laptopp", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 2)
        self.assertIn("did you mean 'laptop'?", done.stderr)

    def test_a_flag_without_effect_is_2(self):
        done = run("rehearse", "--target", "sim:laptop", "--engine-threads", "2", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--engine-threads has no effect on --target sim:laptop", done.stderr)
        self.assertFalse((self.folder / "r").exists())

    def test_a_wrong_flag_and_a_wrong_verb_are_2(self):
        self.assertEqual(run("rehearse", "--quik").returncode, 2)
        done = run("reherse")
        self.assertEqual(done.returncode, 2)
        self.assertIn("did you mean 'rehearse'?", done.stderr)
        self.assertTrue(run("gate", "check").stderr.endswith("See: dsbench gate check --help\n"))
        self.assertTrue(run("merge").stderr.endswith("See: dsbench merge --help\n"))


if __name__ == "__main__":
    unittest.main()
