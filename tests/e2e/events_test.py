"""Events of a run: faults of the target at a time or in a stage, what they do to the good rate, and how the run tells of them. In virtual
time: the same numbers on every machine."""

import json
import unittest

from support import TestCase, column, run, run_json

SIM = ("--target", "sim:laptop", "--quiet", "--seed", "1")
# From 20 s to 40 s of a minute at half of what the fleet can do.
TIMES = " at 20s until 40s"
IMPATIENT = {"schema": "dsbench.client/1", "connect_timeout": "30s", "first_token_timeout": "2s", "stall_timeout": "2s"}
LONG = {"schema": "dsbench.workload/1", "description": "prompts that need much of the KV cache",
        "prompt_tokens": {"law": "constant", "value": 1500}, "output_tokens": {"law": "constant", "value": 8}}


def start(summary):
    """Of the traffic, in seconds of the run: what events count from."""
    return summary["stages"][0]["start_ns"] / 1e9


def good_share(summary, begin, end):
    """Of the requests due in these seconds of the traffic."""
    points = [p for p in summary["timeline"] if begin <= p["second"] - start(summary) < end]
    return sum(p["good_of_due"] for p in points) / sum(p["offered"] for p in points)


class Events(TestCase):
    def load(self, *arguments, traffic="hold(8/s,60s)", code=0):
        self.number = getattr(self, "number", 0) + 1
        out = self.folder / f"r{self.number}"
        done = run("load", *SIM, "--traffic", traffic, "--out", out, *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        return run_json(out) if code == 0 else done.stderr

    def client(self):
        path = self.folder / "client.json"
        path.write_text(json.dumps(IMPATIENT))
        return str(path)

    def test_every_fault_costs_good_requests_while_it_lasts_and_none_before_and_after(self):
        for fault, most in (("latency:delay=3s,share=0.5", 0.65), ("stall:share=0.5", 0.65), ("close:share=0.5", 0.65),
                            ("error-frame:share=0.5", 0.65), ("truncate:share=0.5", 0.65), ("refuse:share=0.5", 0.65),
                            ("crash", 0.01), ("cores:left=0.2", 0.5), ("hot-experts:factor=6", 0.5)):
            with self.subTest(fault):
                summary = self.load("--client", self.client(), "--event", fault + TIMES)
                self.assertGreater(good_share(summary, 0, 18), 0.97)
                self.assertLess(good_share(summary, 20, 40), most)
                self.assertGreater(good_share(summary, 50, 60), 0.97)
                begin = summary["stages"][0]["start_ns"]
                self.assertEqual(summary["events"], [{"at_ns": begin + 20 * 10**9, "until_ns": begin + 40 * 10**9, "what": fault, "target": 0}])

    def test_a_cut_of_the_kv_costs_what_does_not_fit_any_more(self):
        workload = self.folder / "long.json"
        workload.write_text(json.dumps(LONG))
        arguments = ("--workload", workload, "--slo", "e2e=20s", "--client", self.client())
        summary = self.load(*arguments, "--event", "kv:left=0.05" + TIMES, traffic="hold(1/s,60s)")
        self.assertGreater(good_share(summary, 0, 18), 0.97)
        self.assertLess(good_share(summary, 20, 40), 0.1)
        self.assertGreater(good_share(summary, 42, 60), 0.97)

    def test_reasons_are_those_of_the_wire(self):
        for fault, reason in (("latency:delay=3s", "first_token_timeout"), ("stall:after=2", "stall_timeout"), ("close:after=2", "closed_early"),
                              ("error-frame:after=2", "error_frame"), ("truncate:after=2", "closed_early"), ("refuse:status=429", "http_429"),
                              ("crash", "http_503")):
            with self.subTest(fault):
                summary = self.load("--client", self.client(), "--event", fault, traffic="hold(5/s,10s)")
                reasons = summary["stages"][0]["attempts_by_reason"]
                self.assertEqual(set(reasons), {reason}, reasons)

    def test_a_latency_of_a_share_shifts_only_that_share(self):
        self.load("--event", "latency:delay=700ms,jitter=100ms,share=0.3", traffic="hold(5/s,60s)")
        times = [t / 1e9 for t in column(self.folder / "r1", "first_token_ns - sent_ns", "reason = 'ok'")]
        late = sum(1 for t in times if t > 0.6)
        self.assertAlmostEqual(late / len(times), 0.3, delta=0.1)
        self.assertGreater(sum(1 for t in times if t < 0.4), len(times) / 2)

    def test_a_stall_that_ends_only_delays(self):
        summary = self.load("--event", "stall:after=3,for=900ms", traffic="hold(5/s,20s)")
        self.assertEqual(set(summary["stages"][0]["attempts_by_reason"]), {"ok"})
        self.assertGreater(min(column(self.folder / "r1", "done_ns - first_token_ns")), 0.9e9)

    def test_a_profile_has_events_in_its_stages_and_shows_them(self):
        path = self.folder / "drill.json"
        path.write_text(json.dumps({
            "schema": "dsbench.traffic/1", "pieces": [
                {"shape": "hold", "rate": "8/s", "duration": "2m", "stage": "calm"},
                {"shape": "hold", "rate": "8/s", "duration": "4m", "stage": "storm"}],
            "events": [{"fault": "crash", "stage": "storm", "at": "1m", "until": "2m"}, {"fault": "cores:left=0.9", "at": "10s", "until": "20s"}]}))
        shown = run("profile", "show", "traffic", path)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertRegex(shown.stdout, r"\n     fault  +━+ +crash at 60s in storm until 120s\n")
        dry = run("load", *SIM, "--traffic", path, "--compress", "10", "--dry-run")
        self.assertIn("Fault from 18.0 s to 24.0 s: crash at 6s in storm until 12s.", dry.stdout)
        plan = json.loads(run("load", *SIM, "--traffic", path, "--dry-run", "--json").stdout)
        self.assertEqual(plan["events"][0]["event"], "crash at 60s in storm until 120s")
        self.assertEqual((round(plan["events"][0]["start_s"], 6), round(plan["events"][0]["end_s"], 6)), (180, 240))
        summary = self.load("--compress", "10", traffic=path)
        self.assertEqual(start(summary), 1)
        self.assertEqual([(e["at_ns"] / 1e9, e["until_ns"] / 1e9, e["what"]) for e in summary["events"]],
                         [(2, 3, "cores:left=0.9"), (19, 25, "crash")])
        self.assertLess(good_share(summary, 18, 24), 0.01)
        page = (self.folder / "r1" / "report.html").read_text()
        self.assertIn('"events":[[2.0,3.0,"cores:left=0.9"],[19.0,25.0,"crash"]]', page)
        self.assertIn("What was made to happen", page)
        again = self.load("--compress", "10", traffic=path)
        for one in (summary, again):
            del one["started_at_ns"], one["ended_at_ns"], one["host"]
        self.assertEqual(summary, again)

    def test_the_shipped_drill_is_accepted(self):
        summary = self.load("--compress", "4", "--base-rate", "6/s", traffic="fault-drill")
        self.assertEqual([e["what"] for e in summary["events"]], ["cores:left=0.4", "crash", "error-frame:after=4,share=0.3"])
        by_name = {s["name"]: s["good_share"] for s in summary["stages"]}
        self.assertGreater(by_name["after"], 0.97)
        self.assertLess(by_name["crash"], 0.9)
        self.assertLess(by_name["broken answers"], 0.95)

    def test_one_target_of_several(self):
        out = self.folder / "two"
        done = run("load", "--target", "sim:laptop", "--target", "sim:laptop", "--route", "round-robin", "--quiet", "--traffic", "hold(10/s,30s)",
                   "--event", "refuse of target 1 at 10s until 20s", "--out", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({p for p in column(out, "provider", "reason = 'http_503'")}, {1})
        self.assertEqual(run_json(out)["events"][0]["target"], 1)

    def test_a_rehearsal_has_events_in_its_stages(self):
        arguments = ("rehearse", *SIM, "--budget", "5m", "--engine-max-queued", "20")
        plain = run(*arguments, "--out", self.folder / "plain")
        done = run(*arguments, "--out", self.folder / "cut", "--event", "cores:left=0.2 in recovery until 1h")
        self.assertIn(plain.returncode, (0, 5), plain.stderr)
        self.assertIn(done.returncode, (3, 5), done.stderr)
        cut = run_json(self.folder / "cut")
        recovery = cut["stages"][-1]
        self.assertEqual(recovery["kind"], "recovery")
        self.assertEqual(cut["events"][0]["at_ns"], recovery["start_ns"])
        self.assertLess(recovery["good_share"], 0.5)
        self.assertEqual(run_json(self.folder / "plain")["recovery"]["verdict"], "recovered")
        self.assertNotEqual(cut["recovery"]["verdict"], "recovered")

    def test_an_event_in_a_stage_that_is_cut_short_ends_with_it_and_one_that_never_came_is_told(self):
        out = self.folder / "cut"
        run("rehearse", *SIM, "--budget", "5m", "--engine-max-queued", "20", "--out", out, "--event", "cores:left=0.9 in hold",
            "--event", "crash at 1h")
        summary = run_json(out)
        hold = next(s for s in summary["stages"] if s["kind"] == "hold")
        self.assertEqual((summary["events"][0]["at_ns"], summary["events"][0]["until_ns"]), (hold["start_ns"], hold["end_ns"]))
        self.assertIn("the event 'crash at 3600s' did not happen: the run was over, or its stage cut short, before it", summary["warnings"])

    def test_says_what_cannot_be(self):
        for arguments, sentence in (
                (("--event", "meteor at 5s"), "no fault is called 'meteor'"),
                (("--event", "crash in nowhere"), "is in no stage of the traffic; its stages are: hold 8/s"),
                (("--event", "crash at 2m"), "would begin when the traffic is over, after 60s"),
                (("--event", "crash of target 3"), "is of a target that is not there; accepted: 0 to 0"),
                (("--event", "keep-alive-flood at 5s"), "is made of bytes on a connection, and sim:laptop has none"),
                (("--admin-url", "http://127.0.0.1:9"), "--admin-url has no effect without events")):
            with self.subTest(arguments):
                self.assertIn(sentence, self.load(*arguments, code=2))
        wrong = run("load", "--target", "http://127.0.0.1:9", "--event", "crash at 5s", "--quiet")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("nobody said where that takes faults; give --admin-url", wrong.stderr)
        wrong = run("rehearse", *SIM, "--event", "crash in storm")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("is in no stage of a rehearsal; accepted: warm_up, probe, step, hold, descent, recovery", wrong.stderr)
        wrong = run("rehearse", *SIM, "--events", "steady")
        self.assertIn("the traffic 'steady' has no events", wrong.stderr)


if __name__ == "__main__":
    unittest.main()
