"""One load sent by several processes: their plans, their start, their merged run, and what is said when one of them is missing,
late or stopped."""

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import unittest
import urllib.request

from support import BINARY, Server, TestCase, column, run, run_json

SIM = ("load", "--target", "sim:laptop", "--quiet")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class SlowToAnswer:
    """Hands on to a server, and nothing before an instant."""

    def __init__(self, url, until):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(max(0.0, until - time.time()))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
                headers = {"Content-Type": "application/json"} if body else {}
                with urllib.request.urlopen(urllib.request.Request(url + self.path, body, headers), timeout=20) as answer:
                    content = answer.read()
                    self.send_response(200)
                    self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def rows(directory, query):
    with contextlib.closing(sqlite3.connect(directory / "records.sqlite")) as db:
        return db.execute(query).fetchall()


class Plans(TestCase):
    def plan(self, *arguments):
        file = self.folder / "plan"
        done = run("load", "--dry-run", "--plan", file, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return file.read_bytes()

    def assert_shares_are_the_whole(self, count, *what):
        whole = self.plan(*what)
        lines = []
        for k in range(count):
            lines += self.plan(*what, "--worker", f"{k}/{count}").splitlines(True)
        lines.sort(key=lambda line: int(re.match(rb'{"request":(\d+),', line).group(1)))
        self.assertEqual(b"".join(lines), whole)
        return whole.decode().splitlines()

    def test_the_plans_of_all_workers_are_the_plan_of_one_byte_for_byte(self):
        for what in (("--traffic", "hold(50/s,10s)", "--seed", "6"),
                     ("--traffic", "ramp(5/s..80/s,10s) hold(3/s,4s)", "--arrivals", "gamma(cv 2)", "--workload", "launch-mix-tiny"),
                     ("--traffic", "hold(20/s,10s)", "--arrivals", "constant", "--workload", "rag-prefix-tiny"),
                     ("--traffic", "hold(9/s,10s)", "--workload", "agents-tiny"),
                     ("--traffic", "march-29", "--base-rate", "2/s", "--compress", "2000")):
            for count in (2, 3, 8):
                lines = self.assert_shares_are_the_whole(count, *what)
                self.assertGreater(len(lines), 20, what)
                self.assertEqual([json.loads(line)["request"] for line in lines], list(range(len(lines))))

    def test_a_trace_is_shared_too(self):
        trace = self.folder / "t.jsonl"
        trace.write_text("".join(json.dumps({"timestamp": 100 * i + i % 7, "input_length": 50 + i, "output_length": 5, "hash_ids": [0, i]}) + "\n"
                                 for i in range(60)))
        # Laid over itself and thinned: a function of the seed, the same for all.
        self.assertGreater(len(self.assert_shares_are_the_whole(3, "--trace", trace, "--stage-length", "2s", "--rate-scale", "1.5")), 60)

    def test_more_workers_than_requests(self):
        self.assertLess(len(self.assert_shares_are_the_whole(40, "--traffic", "hold(10/s,2s)", "--arrivals", "constant")), 40)

    def test_another_seed_is_another_plan(self):
        self.assertNotEqual(self.plan("--traffic", "hold(50/s,2s)", "--seed", "1"), self.plan("--traffic", "hold(50/s,2s)", "--seed", "2"))

    def test_the_plan_is_what_is_sent(self):
        what = ("--traffic", "hold(20/s,10s)", "--seed", "4", "--workload", "chat-tiny")
        plan = [json.loads(line) for line in self.plan(*what).decode().splitlines()]
        self.assertEqual(run(*SIM, *what, "--out", self.folder / "r").returncode, 0)
        sent = rows(self.folder / "r", "select request, due_ns, stage, tenant, prompt_tokens_asked, output_tokens_asked from attempts "
                    "where attempt = 0 order by request")
        start = run_json(self.folder / "r")["stages"][0]["start_ns"]
        self.assertEqual([(p["request"], p["due_ns"] + start, p["stage"], p["tenant"], p["prompt_tokens"], p["output_tokens"]) for p in plan], sent)

    def test_a_plan_needs_a_dry_run(self):
        done = run(*SIM, "--plan", "x", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 2)
        self.assertIn("it needs --dry-run", done.stderr)


class InVirtualTime(TestCase):
    def worker(self, k, count, *what, **options):
        return run(*SIM, *what, "--worker", f"{k}/{count}", "--out", self.folder / "r", **options)

    def test_what_workers_record_is_what_one_process_records(self):
        what = ("--traffic", "hold(12/s,20s)", "--seed", "6", "--workload", "sessions-chat-tiny")
        self.assertEqual(run(*SIM, *what, "--out", self.folder / "whole").returncode, 0)
        for k in range(3):
            done = self.worker(k, 3, *what)
            self.assertEqual(done.returncode, 0, done.stderr)
        merged = run("merge", self.folder / "r", "--out", self.folder / "m", "--quiet")
        self.assertEqual(merged.returncode, 0, merged.stderr)
        first = "select request, due_ns, prompt_tokens_asked, output_tokens_asked from attempts where attempt = 0 and turn = 0 order by request"
        self.assertEqual(rows(self.folder / "m", first), rows(self.folder / "whole", first))
        # A session belongs whole to one worker, and its turns follow from its own answers.
        by_worker = rows(self.folder / "m", "select distinct request & ((1 << 40) - 1), worker / 256 from attempts")
        self.assertEqual(len(by_worker), len({session for session, _ in by_worker}))
        self.assertTrue(all(session % 3 == worker for session, worker in by_worker))
        self.assertGreater(rows(self.folder / "m", "select count(*) from attempts where turn > 0")[0][0], 0)
        self.assertIn("3 fleets with a share of the load each", " ".join(run_json(self.folder / "m")["warnings"]))

    def test_requirements_are_judged_on_the_whole(self):
        # 8 a second is 24 in all of three workers: none of them alone could say so.
        what = ("--traffic", "hold(24/s,20s)", "--arrivals", "constant", "--require", "offered_rate > 20/s", "--slo", "interactive")
        for k in range(3):
            done = self.worker(k, 3, *what)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(run_json(self.folder / "r" / f"worker-{k}")["criteria"], [])
        merged = run("merge", self.folder / "r", "--out", self.folder / "m", "--quiet")
        whole = run_json(self.folder / "m")
        self.assertEqual(len(whole["criteria"]), 1, merged.stderr)
        self.assertEqual(merged.returncode, {"READY": 0, "NOT READY": 3, "INCONCLUSIVE": 5}[whole["verdict"]])
        self.assertEqual(run_json(self.folder / "m")["verdict"], "READY")

    def test_providers_and_windows_are_judged_on_the_whole(self):
        what = ("--target", "sim:laptop", "--route", "ordered", "--fault", "kill 0 at 8s heal 16s", "--traffic", "hold(8/s,24s)",
                "--require", "good_share >= 50% over 5s")
        for k in range(2):
            done = self.worker(k, 2, *what)
            self.assertEqual(done.returncode, 0, done.stderr)
        run("merge", self.folder / "r", "--out", self.folder / "m", "--quiet")
        whole, parts = run_json(self.folder / "m"), [run_json(self.folder / "r" / f"worker-{k}") for k in range(2)]
        self.assertEqual([p["attempts"] for p in whole["providers"]],
                         [sum(part["providers"][i]["attempts"] for part in parts) for i in range(2)])
        # One incident of all workers' evidence; when it was over is told by all of them together, so that the counts do not add.
        self.assertEqual([i["cause"] for i in whole["failover"]["incidents"]], ["kill"])
        self.assertGreaterEqual(whole["failover"]["incidents"][0]["requests_lost"],
                                max(part["failover"]["incidents"][0]["requests_lost"] for part in parts))
        self.assertEqual(len(whole["criteria"]), 2)
        self.assertIn("over 5s", whole["criteria"][0]["name"])
        self.assertEqual(whole["ledger"]["computed_tokens"], sum(part["ledger"]["computed_tokens"] for part in parts))

    def test_a_merge_is_refused_for_what_is_no_one_load(self):
        self.worker(0, 2, "--traffic", "hold(5/s,4s)")
        self.worker(1, 2, "--traffic", "hold(5/s,4s)", "--seed", "9")
        done = run("merge", self.folder / "r", "--out", self.folder / "m")
        self.assertEqual(done.returncode, 2)
        self.assertIn("are not of one load: seeds 1 and 9", done.stderr)
        run(*SIM, "--traffic", "hold(5/s,4s)", "--out", self.folder / "alone")
        done = run("merge", self.folder / "alone", "--out", self.folder / "m")
        self.assertEqual(done.returncode, 2)
        self.assertIn("the run of one process and no worker's share", done.stderr)
        done = run("merge", self.folder / "nothing", "--out", self.folder / "m")
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot find a run at", done.stderr)
        # The folder that a refused merge was given is free for the next.
        self.assertFalse((self.folder / "m" / "records.sqlite").exists())

    def test_flags_that_cannot_be_meant(self):
        def refused(*arguments, environment=None, says):
            done = run("load", "--out", self.folder / "x", *arguments, env=dict(os.environ, **(environment or {})))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(says, done.stderr)
            self.assertFalse((self.folder / "x").exists())
        sim = ("--target", "sim:laptop")
        refused(*sim, "--worker", "4/4", says="'4/4' is no worker; write which of how many, from 0, as in 2/4")
        refused(*sim, "--worker", "auto", says="--worker auto: nothing says which worker this is; looked for OMPI_COMM_WORLD_RANK")
        refused(*sim, "--worker", "auto", environment={"JOB_COMPLETION_INDEX": "1"}, says="add --workers N")
        refused(*sim, "--workers", "3", says="add --worker K/3 or --worker auto")
        refused(*sim, "--start-at", "2099-01-01T00:00:00Z", says="--start-at has no effect in virtual time")
        refused(*sim, "--worker", "0/2", "--rendezvous", "a:1", says="--rendezvous has no effect in virtual time")
        refused("--worker", "0/2", says="--target embedded with 2 workers: each would start and load an engine of its own")
        url = ("--target", "http://127.0.0.1:9")
        refused(*url, "--rendezvous", "127.0.0.1:9", says="--rendezvous has no effect with one worker")
        refused(*url, "--worker", "0/2", "--rendezvous", "9", says="'9' is no meeting point; accepted: HOST:PORT")
        refused(*url, "--start-at", "2020-01-01T00:00:00Z", says="--start-at 2020-01-01T00:00:00Z has passed")
        refused(*url, "--start-at", "1577836800", says="--start-at 1577836800 has passed")
        refused(*url, "--start-at", "tomorrow", says="'tomorrow' is no instant; accepted: UTC, as in")
        refused(*url, "--start-at", "2099-01-01T00:00:00Z", says="within the next 24 hours")
        refused(*url, "--start-at", "2099-01-01T00:00:00Z", "--rendezvous", "a:1", says="give one of them")
        done = run(*SIM, "--worker", "0/2")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--out DIR is needed", done.stderr)

    def test_the_launcher_tells(self):
        done = run(*SIM, "--traffic", "hold(5/s,4s)", "--worker", "auto", "--workers", "3", "--out", self.folder / "r",
                   env=dict(os.environ, JOB_COMPLETION_INDEX="2"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(run_json(self.folder / "r" / "worker-2")["worker"]["found"], "JOB_COMPLETION_INDEX and --workers")


class OnTheWire(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.__exit__)

    def start(self, k, count, *arguments, environment=None, traffic="hold(40/s,2s)", target=None):
        process = subprocess.Popen(
            [BINARY, "load", "--target", target or self.server.url, "--workload", "fixed-tiny", "--slo", "tiny", "--traffic", traffic, "--quiet",
             "--rendezvous-margin", "1500ms",
             "--worker", f"{k}/{count}" if environment is None else "auto", "--out", str(self.folder / "r"), *map(str, arguments)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ, **(environment or {})))
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()

    def merge(self, *arguments, folder="m"):
        done = run("merge", self.folder / "r", "--out", self.folder / folder, "--quiet", *arguments)
        return done, run_json(self.folder / folder)

    def wait(self, processes):
        codes = []
        for p in processes:
            p.wait(60)
            codes.append(p.returncode)
        return codes

    def ready(self, k):
        """Worker k has everything but the start."""
        self.eventually(lambda: (self.folder / "r" / f"worker-{k}").exists(), what=f"worker {k}")

    def test_four_processes_meet_and_are_one_load(self):
        port = free_port()
        environments = ({"SLURM_PROCID": str(k), "SLURM_NTASKS": "4"} for k in range(4))
        codes = self.wait([self.start(k, 4, "--rendezvous", f"127.0.0.1:{port}", "--threads", "2", environment=e) for k, e in enumerate(environments)])
        self.assertTrue(set(codes) <= {0, 7}, codes)
        done, whole = self.merge()
        self.assertIn(done.returncode, (0, 7), done.stderr)
        self.assertEqual([w["index"] for w in whole["workers"]], [0, 1, 2, 3])
        self.assertEqual(len({w["start_at_ns"] for w in whole["workers"]}), 1)
        self.assertEqual(whole["requests"], sum(w["requests"] for w in whole["workers"]))
        self.assertEqual(whole["requests"], whole["workers"][0]["scheduled"])
        for w in whole["workers"]:
            # One clock: what is measured of it is an error of ours, and half the round trip bounds it.
            self.assertLessEqual(abs(w["clock_offset_ns"]), w["round_trip_ns"] / 2 + 1000)
            self.assertGreaterEqual(w["lateness_ns"], 0)
        # Both issuer threads of each have work, although a worker has every fourth request only.
        self.assertEqual(sorted(set(column(self.folder / "m", "worker"))), [256 * k + thread for k in range(4) for thread in (0, 1)])
        # Every worker's requests leave by the one schedule: due instants are the plan's, on one time axis.
        self.assertEqual(len(set(column(self.folder / "m", "request"))), whole["requests"])
        report = (self.folder / "m" / "report.html").read_text()
        self.assertIn("United from 4 of 4 workers, which met and agreed on the start.", report)
        self.assertNotIn("--worker", whole["command"])  # one process, if it can, sends the same
        self.assertIn("hold(40/s,2s)", whole["command"])
        text = run("report", self.folder / "m", "--format", "text").stdout
        self.assertIn("3 of 4", text)

    def test_a_worker_that_is_killed_is_missing_and_may_be_left_out(self):
        port = free_port()
        processes = [self.start(k, 3, "--rendezvous", f"127.0.0.1:{port}") for k in range(3)]
        self.eventually(lambda: (self.folder / "r" / "worker-1" / "records.sqlite").exists(), what="the start")
        time.sleep(1.5)
        processes[1].kill()
        codes = self.wait(processes)
        self.assertEqual(codes[1], -signal.SIGKILL)
        self.assertTrue({codes[0], codes[2]} <= {0, 7}, codes)  # the others have gone on
        done, whole = self.merge()
        self.assertEqual(done.returncode, 7)
        self.assertIn("worker 1 of 3 is missing", whole["sentence"])
        self.assertIn("its worker did not come to an end", whole["sentence"])
        done, whole = self.merge("--allow-missing", folder="allowed")
        self.assertIn("2 of 3 shares of the planned one", " ".join(whole["warnings"]))
        self.assertAlmostEqual(whole["stages"][0]["offered_rps"], whole["stages"][0]["requests"] / 2, places=3)
        self.assertEqual(whole["workers_expected"], 3)
        self.assertNotIn("missing", whole["sentence"])

    def test_a_worker_that_was_stopped_at_the_start_says_so(self):
        start = int(time.time()) + 4
        processes = [self.start(k, 2, "--start-at", start) for k in range(2)]
        self.ready(1)
        time.sleep(max(0.0, start - 0.4 - time.time()))
        processes[1].send_signal(signal.SIGSTOP)
        time.sleep(max(0.0, start + 0.5 - time.time()))
        processes[1].send_signal(signal.SIGCONT)
        codes = self.wait(processes)
        self.assertEqual(codes[1], 7)
        stopped = run_json(self.folder / "r" / "worker-1")
        self.assertGreater(stopped["worker"]["lateness_ns"], 400e6)
        self.assertRegex(" ".join(stopped["validity"]["invalid_causes"]), r"worker 1 of 2 was \d+ ms late at the agreed start, accepted 100 ms")
        # It has sent its share all the same, by the schedule, and what was due meanwhile has the lag.
        self.assertGreater(max(column(self.folder / "r" / "worker-1", "sent_ns - due_ns")), 300e6)
        done, whole = self.merge()
        self.assertEqual(done.returncode, 7)
        self.assertRegex(whole["sentence"], r"worker 1 of 2 was \d+ ms late at the agreed start")

    def test_a_worker_that_comes_too_late_sends_nothing(self):
        # Its target lets it wait, so that it is ready only after the start.
        start = int(time.time()) + 4
        with SlowToAnswer(self.server.url, start + 0.4) as slow:
            late = self.start(1, 2, "--start-at", start, target=slow.url)
            on_time = self.start(0, 2, "--start-at", start)
            said = late.communicate(timeout=60)[1]
        self.assertIn(self.wait([on_time])[0], (0, 7))
        self.assertEqual(late.returncode, 7, said)
        alone = run_json(self.folder / "r" / "worker-1")
        self.assertEqual(alone["requests"], 0)
        self.assertRegex(alone["sentence"], r"worker 1 of 2 was ready .* after the agreed start, accepted 100 ms; it sent nothing")
        done, whole = self.merge()
        self.assertEqual(done.returncode, 7)
        self.assertIn("worker 1 of 2 is missing; worker 1: worker 1 of 2 was ready", whole["sentence"])

    def test_a_worker_with_another_plan_is_sent_away(self):
        port = free_port()
        processes = [self.start(0, 2, "--rendezvous", f"127.0.0.1:{port}"),
                     self.start(1, 2, "--rendezvous", f"127.0.0.1:{port}", "--seed", "2")]
        said = [p.communicate(timeout=60)[1] for p in processes]
        self.assertEqual([p.returncode for p in processes], [2, 2], said)
        self.assertIn("worker 1 is about to send another plan", said[0])
        self.assertIn("traffic, workload, SLO, client or seed differ", said[1])
        self.assertFalse((self.folder / "r" / "worker-1").exists())  # nothing in the way of the next try

    def test_an_interruption_of_the_wait_leaves_nothing(self):
        waiting = self.start(0, 2, "--rendezvous", f"127.0.0.1:{free_port()}")
        self.ready(0)
        time.sleep(0.3)
        waiting.send_signal(signal.SIGINT)
        self.assertEqual(self.wait([waiting]), [130])
        self.assertFalse((self.folder / "r" / "worker-0").exists())

    def test_one_worker_may_be_told_when_to_begin(self):
        start = int(time.time()) + 2
        done = run("load", "--target", self.server.url, "--workload", "fixed-tiny", "--slo", "tiny", "--traffic", "hold(20/s,1s)", "--start-at", start,
                   "--require", "completed_share >= 50%", "--out", self.folder / "one", "--quiet")
        self.assertIn(done.returncode, (0, 7), done.stderr)
        summary = run_json(self.folder / "one")
        self.assertEqual((summary["worker"]["start"], summary["worker"]["start_at_ns"]), ("--start-at", start * 10**9))
        self.assertEqual(len(summary["criteria"]), 1)
        # The schedule begins at the instant, to what the two clocks differ by.
        first = rows(self.folder / "one", "select min(due_ns) from attempts")[0][0]
        self.assertGreaterEqual(first, summary["stages"][0]["start_ns"])
        self.assertEqual(summary["stages"][0]["start_ns"], 10**9)

    def test_who_does_not_come_is_named(self):
        done = run("load", "--target", self.server.url, "--workload", "fixed-tiny", "--traffic", "hold(5/s,2s)", "--worker", "0/3",
                   "--rendezvous", f"127.0.0.1:{free_port()}", "--rendezvous-timeout", "500ms", "--out", self.folder / "r", "--quiet")
        self.assertEqual(done.returncode, 8)
        self.assertIn("1 of 3 workers came to the rendezvous", done.stderr)
        self.assertIn("missing: 1, 2", done.stderr)

    def test_an_interruption_of_one_ends_the_judged_part_for_all(self):
        port = free_port()
        processes = [self.start(k, 2, "--rendezvous", f"127.0.0.1:{port}", traffic="hold(40/s,5s)") for k in range(2)]
        self.eventually(lambda: (self.folder / "r" / "worker-1" / "records.sqlite").exists(), what="the start")
        time.sleep(3.2)
        processes[1].send_signal(signal.SIGINT)
        codes = self.wait(processes)
        self.assertEqual(codes[1], 130)
        done, whole = self.merge()
        self.assertIn("worker 1: interrupted", whole["ended"])
        stage = whole["stages"][0]
        length = (stage["end_ns"] - stage["start_ns"]) / 1e9
        self.assertLess(length, 5)
        self.assertGreater(length, 0.5)
        # Up to there both have offered: about 40 a second, and not 20.
        self.assertGreater(stage["requests"] / length, 28)


if __name__ == "__main__":
    unittest.main()
