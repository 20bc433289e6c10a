"""A run that was killed has no run.json: dsbench report makes one of its records."""

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import time
import unittest

from support import BINARY, Server, TestCase, count, run, run_json

# What only the run itself knows.
NOT_KNOWN = {"ended", "ended_at_ns", "started_at_ns", "verdict", "sentence", "warnings", "ledger", "duration_ns",
             "engine_running", "engine_waiting", "engine_kv_used_share", "computed_tokens", "computed_per_token"}


def known(value):
    if isinstance(value, dict):
        return {key: known(inner) for key, inner in value.items() if key not in NOT_KNOWN}
    return [known(inner) for inner in value] if isinstance(value, list) else value


def close_to(one, other, least=2_000):
    """Percentiles of gaps: a microsecond on either side, and the width of a histogram's bucket."""
    return one == other or (one is not None and other is not None and abs(one - other) <= max(least, one / 400))


class CutOff(TestCase):
    def lose(self, name, of, change=None):
        """A copy of a run that has no run.json any more."""
        shutil.copytree(self.folder / of, self.folder / name)
        for file in ("run.json", "report.html"):
            (self.folder / name / file).unlink()
        if change:
            with contextlib.closing(sqlite3.connect(self.folder / name / "records.sqlite")) as db:
                db.executescript(change)
        return self.folder / name

    def rebuilt(self, folder, *more):
        done = run("report", folder, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"rebuilt: {folder}/run.json of what the run recorded before it was cut off\n", done.stderr)
        return run_json(folder)

    def test_figures_are_those_that_the_run_itself_wrote(self):
        for name, flags in {
            "sessions": ("--workload", "sessions-chat-tiny", "--traffic", "hold(8/s,15s) hold(14/s,15s)"),
            "tenants": ("--workload", "launch-mix-tiny", "--traffic", "ramp(2/s..9/s,40s)", "--client", "openai-sdk"),
            "failing": ("--workload", "fixed-tiny", "--traffic", "hold(30/s,20s)", "--fault", "kill 0 at 3s heal 9s"),
        }.items():
            with self.subTest(name):
                whole = self.folder / name
                done = run("load", "--target", "sim:laptop", "--quiet", "--require", "p50 ttft < 60s", "--out", whole, *flags)
                self.assertIn(done.returncode, (0, 3), done.stderr)
                summary, again = run_json(whole), self.rebuilt(self.lose(name + "-lost", name))
                for key in ("providers", "faults", "failover", "events"):  # as they were made
                    summary.pop(key), again.pop(key)
                summary["criteria"] = [c for c in summary["criteria"] if "ttft" in c["name"]]
                self.assertGreater(summary["requests"], 100)
                self.assertEqual(known(again), known(summary))
                self.assertEqual(again["verdict"], "INCONCLUSIVE")
                self.assertIn("no run without its end is a pass", again["sentence"])
                self.assertTrue((self.folder / (name + "-lost") / "report.html").exists())
                # Once made, it is a run.json like any other.
                self.assertNotIn("rebuilt", run("report", self.folder / (name + "-lost")).stderr)

    def test_a_killed_run_counts_up_to_its_last_record(self):
        with Server("--executor", "null") as server:
            killed = self.folder / "killed"
            process = subprocess.Popen([BINARY, "load", "--target", server.url, "--workload", "fixed-tiny", "--quiet", "--traffic",
                                        "hold(40/s,2s) hold(60/s,60s)", "--out", str(killed)], stdout=subprocess.DEVNULL)
            deadline = time.monotonic() + 60
            while not (killed / "records.sqlite").exists() or count(killed, "requests") < 150:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            alive = run("report", killed)
            self.assertEqual(alive.returncode, 2)
            self.assertIn("is open in another process: the run that writes it, or a reader", alive.stderr)
            process.send_signal(signal.SIGKILL)
            process.wait()
            whole = self.folder / "whole"
            self.assertEqual(run("load", "--target", server.url, "--workload", "fixed-tiny", "--quiet", "--traffic", "hold(40/s,2s)",
                                 "--out", whole).returncode, 0)
        self.assertTrue((killed / "records.sqlite-wal").exists())
        refused = run("gate", "check", "--baseline", killed, "--candidate", whole)
        self.assertIn("there is no run.json in it", refused.stderr)
        summary = self.rebuilt(killed)
        with contextlib.closing(sqlite3.connect(killed / "records.sqlite")) as db:
            rows, last = db.execute("select count(*), max(done_ns) from requests").fetchone()
        self.assertGreaterEqual(rows, 150)
        self.assertEqual(summary["requests"], rows)
        self.assertEqual((summary["duration_ns"], summary["stages"][1]["end_ns"]), (last, last))
        self.assertEqual(summary["stages"][0]["end_ns"] - summary["stages"][0]["start_ns"], 2_000_000_000)
        self.assertEqual(sum(s["completed"] for s in summary["stages"]), count(killed, "requests", "reason = 'ok'"))
        self.assertTrue(summary["ended"].startswith("cut off: rebuilt from records.sqlite up to the last record, at "), summary["ended"])
        self.assertTrue(any("under way at the end" in w for w in summary["warnings"]), summary["warnings"])
        self.assertEqual(summary["target"], server.url)
        self.assertIn("--traffic", summary["command"])
        page = (killed / "report.html").read_text()
        self.assertIn("cut off: rebuilt from records.sqlite", page)
        self.assertIn("not known: the requests that were under way", page)
        self.assertIn("Not known: how the generator was went with the end of the run.", page)
        self.assertNotIn("the generator kept its schedule", page)
        # A gate takes it for no run at all.
        gate = run("gate", "check", "--baseline", *[killed] * 6, "--candidate", *[whole] * 6, "--allow-mismatch", "arrivals,rates,workload")
        self.assertEqual(gate.returncode, 7, gate.stdout + gate.stderr)
        self.assertIn("not a whole run: cut off", gate.stdout)

    def test_on_the_wire_gaps_are_to_a_microsecond_and_all_else_is_the_same(self):
        with Server("--executor", "fixed") as server:
            done = run("load", "--target", server.url, "--workload", "fixed-tiny", "--quiet", "--traffic", "hold(15/s,4s)", "--threads", "2",
                       "--out", self.folder / "wire")
            self.assertEqual(done.returncode, 0, done.stderr)
        summary, again = run_json(self.folder / "wire"), self.rebuilt(self.lose("lost", "wire"))
        for one, other in zip(summary["stages"], again["stages"], strict=True):
            gaps, of_records = one.pop("itl"), other.pop("itl")
            self.assertEqual(gaps["count"], of_records["count"])
            for p, q in zip(gaps["percentiles"], of_records["percentiles"], strict=True):
                self.assertTrue(close_to(p["value_ns"], q["value_ns"]), (p, q))
            for key in ("min_ns", "mean_ns", "max_ns"):
                self.assertLessEqual(abs(gaps[key] - of_records[key]), 1_000)
        self.assertEqual(known(again), known(summary))

    def test_what_is_missing_is_told_and_what_failed_has_failed(self):
        done = run("load", "--target", "sim:laptop", "--workload", "fixed-tiny", "--quiet", "--traffic", "hold(20/s,20s)", "--arrivals",
                   "constant", "--require", "p50 e2e < 1ms", "--out", self.folder / "whole")
        self.assertEqual(done.returncode, 3, done.stderr)
        whole = run_json(self.folder / "whole")
        without = self.rebuilt(self.lose("without", "whole", "delete from requests where request in (7, 8, 100);"
                                                             "delete from attempts where request in (7, 8, 100);"))
        self.assertEqual(without["stages"][0]["requests"], whole["stages"][0]["requests"])
        self.assertEqual(without["stages"][0]["delivered"], whole["stages"][0]["delivered"] - 3)
        self.assertIn("3 requests were due and have no end: they count as offered, and their latencies are not known", without["warnings"])
        self.assertEqual(without["verdict"], "NOT READY", "what it showed is enough to fail")
        early = self.rebuilt(self.lose("early", "whole", "delete from meta where key in ('run', 'closed');"))
        self.assertTrue(any(w.startswith("not known: command, target, profile, seed and host") for w in early["warnings"]))
        self.assertEqual(early["stages"][0]["completed"], whole["stages"][0]["completed"])
        self.assertEqual(early["verdict"], "INCONCLUSIVE")
        unbegun = run("report", self.lose("unbegun", "whole", "delete from stages; delete from requests; delete from attempts;"))
        self.assertEqual(unbegun.returncode, 2)
        self.assertIn("has no stage: the run was cut off before it offered anything", unbegun.stderr)
        foreign = self.lose("foreign", "whole", "update meta set value = 'dsbench.records/9' where key = 'schema';")
        self.assertIn("has schema 'dsbench.records/9'; accepted: dsbench.records/1", run("report", foreign).stderr)
        self.assertFalse((foreign / "run.json").exists())


if __name__ == "__main__":
    unittest.main()
