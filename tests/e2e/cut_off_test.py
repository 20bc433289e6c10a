"""A run that was killed has no run.json: dsbench report makes one of its records."""

import contextlib
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import time
import unittest

from support import BINARY, Server, TestCase, count, run, run_json

# What only the run itself knows.
NOT_KNOWN = {"ended", "ended_at_ns", "started_at_ns", "verdict", "sentence", "warnings", "ledger", "duration_ns",
             "engine_running", "engine_waiting", "engine_kv_used_share", "computed_tokens", "computed_per_token", "valid"}


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
        self.assertIn("The run was cut off, and how its generator was went with it.", page)
        self.assertIsNone(summary["validity"]["valid"])
        self.assertIsNone(json.loads(run("report", killed, "--export", "vllm", "--stage", "0").stdout)["dsbench"]["valid"])
        self.assertIn("\ndsbench_run_valid NaN\n", run("report", killed, "--export", "prometheus").stdout)
        self.assertIn('"dsbench.valid"', run("report", killed, "--export", "otel").stdout + run("report", killed, "--export", "mlflow").stdout)
        beside = run("report", killed, whole, "--out", "-").stdout
        self.assertTrue(re.search(r">◇<.*?not known", beside[beside.index("fit to measure</th>"):][:400]), "of two runs side by side")
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
        self.assertEqual(without["verdict"], "INCONCLUSIVE", "whose failure it was nobody knows")
        self.assertRegex(without["sentence"], "^1 of 1 criteria would be missed, if the generator was fit to measure, which nobody knows: ")
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

    def test_a_generator_that_was_late_is_told_by_the_records(self):
        done = run("load", "--target", "sim:laptop", "--workload", "fixed-tiny", "--quiet", "--traffic", "hold(20/s,20s)", "--slo", "interactive",
                   "--out", self.folder / "whole")
        self.assertIn(done.returncode, (0, 3), done.stderr)
        late = self.rebuilt(self.lose("late", "whole", "update attempts set sent_ns = sent_ns + 3000000000, first_byte_ns = first_byte_ns + "
                                                       "3000000000 where sent_ns is not null;"))
        self.assertIs(late["validity"]["valid"], False)
        self.assertRegex(" ".join(late["validity"]["invalid_causes"]), "requests left late: .*whether the machine was late or dsbench is not known")
        self.assertEqual(late["verdict"], "INVALID")

    def test_a_rehearsal_is_judged_again_by_the_stages_that_were_whole(self):
        done = run("rehearse", "--target", "sim:laptop", "--quiet", "--out", self.folder / "whole")
        self.assertEqual(done.returncode, 3, done.stderr)
        whole, again = run_json(self.folder / "whole"), self.rebuilt(self.lose("lost", "whole"))
        self.assertEqual((whole["collapse"]["verdict"], whole["recovery"]["verdict"]), ("collapsed", "recovered"))
        for key in ("knee", "collapse", "recovery", "criteria"):
            self.assertEqual(again[key], whole[key])
        self.assertEqual(known(again["stages"]), known(whole["stages"]))
        self.assertEqual((again["verdict"], again["validity"]["valid"]), ("INCONCLUSIVE", None))
        stages = {s["name"]: s for s in whole["stages"]}

        def cut(name, at):
            """As if it had been killed then: nothing of what came later is there."""
            return self.rebuilt(self.lose(name, "whole", f"delete from meta where key = 'closed'; delete from stages where start_ns > {at};"
                                                         f"delete from requests where done_ns > {at}; delete from attempts where done_ns > {at};"
                                                         f"delete from decisions where at_ns > {at};"))
        hold, recovery = stages["hold 1.5 × knee"], stages["recovery"]
        # In the hold: the search was over, and what it found stands.
        in_hold = cut("in-hold", (hold["start_ns"] + hold["end_ns"]) // 2)
        self.assertEqual(in_hold["knee"], whole["knee"])
        self.assertEqual((in_hold["collapse"]["verdict"], in_hold["collapse"]["at_rps"]), ("undecided", hold["planned_rps"]))
        self.assertEqual(in_hold["collapse"]["sentence"], "not decided: the run was cut off within the hold")
        self.assertEqual(in_hold["recovery"]["verdict"], "not_tested")
        self.assertIn("and 'hold 1.5 × knee' not at all", " ".join(in_hold["warnings"]))
        # In the recovery: the hold stands, too.
        in_recovery = cut("in-recovery", recovery["start_ns"] + 3_000_000_000)
        self.assertEqual((in_recovery["knee"], in_recovery["collapse"]), (whole["knee"], whole["collapse"]))
        self.assertEqual(in_recovery["recovery"]["verdict"], "undecided")
        self.assertEqual(in_recovery["recovery"]["sentence"], "not decided: the run was cut off within the recovery")
        # In the search: as far as it had come.
        third = stages["step 3"]
        early = cut("early", third["end_ns"] - 1_000_000_000)
        self.assertEqual(early["knee"]["offered_rps"], stages["step 1"]["planned_rps"])
        self.assertTrue(early["knee"]["sentence"].endswith("the run's end ended the search"), early["knee"]["sentence"])
        self.assertEqual(early["collapse"]["sentence"], "not tested: the run was cut off before the hold")
        before = cut("before", stages["probe"]["end_ns"])
        self.assertEqual(before["knee"]["sentence"], "not known: the run was cut off before the search")
        page = (self.folder / "in-hold" / "report.html").read_text()
        self.assertIn("not decided: the run was cut off within the hold", page)
        older = self.rebuilt(self.lose("older", "whole", "delete from meta where key = 'run';"))
        self.assertIn("not known: knee, collapse and recovery; the records are of a dsbench that did not keep", " ".join(older["warnings"]))

    def test_a_rehearsal_that_is_killed_in_its_search_says_how_far_it_came(self):
        killed = self.folder / "killed"
        with Server("--executor", "fixed") as server:
            process = subprocess.Popen([BINARY, "rehearse", "--target", server.url, "--workload", "fixed-tiny", "--quiet", "--budget", "120s",
                                        "--out", str(killed)], stdout=subprocess.DEVNULL)
            deadline = time.monotonic() + 90
            while not (killed / "records.sqlite").exists() or count(killed, "stages", "kind = 'step'") < 3:
                self.assertLess(time.monotonic(), deadline)
                self.assertIsNone(process.poll())
                time.sleep(0.2)
            process.send_signal(signal.SIGKILL)
            process.wait()
        summary = self.rebuilt(killed)
        steps = [s for s in summary["stages"] if s["kind"] == "step"]
        self.assertGreaterEqual(len(steps), 3)
        self.assertIsNone(summary["validity"]["valid"])
        self.assertEqual(summary["verdict"], "INCONCLUSIVE")
        self.assertTrue(summary["ended"].startswith("cut off"))
        self.assertIn("the run's end ended the search", summary["knee"]["sentence"])
        self.assertEqual(summary["collapse"]["verdict"], "not_tested")
        self.assertEqual(summary["collapse"]["sentence"], "not tested: the run was cut off before the hold")
        self.assertEqual([c["name"] for c in summary["criteria"]][:1], ["some load meets the objectives"])
        self.assertIn(f"'{steps[-1]['name']}' not at all", " ".join(summary["warnings"]))
        gate = run("gate", "check", "--baseline", *[killed] * 6, "--candidate", *[killed] * 6)
        self.assertEqual(gate.returncode, 7, gate.stdout + gate.stderr)
        self.assertIn("not a whole run: cut off", gate.stdout)


if __name__ == "__main__":
    unittest.main()
