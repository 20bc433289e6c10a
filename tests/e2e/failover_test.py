"""Several targets: what happens to requests when one of them is killed, stalled and healed."""

import http.server
import json
import threading
import unittest

from support import TestCase, column, count, run, run_json

# Two engines that answer on a schedule and need no compute, so that a slow machine does not fail for them.
FIXED = ["--target", "embedded", "--target", "embedded", "--engine-executor", "fixed", "--engine-ttft", "20ms",
         "--engine-itl", "2ms", "--client", "failover", "--workload", "fixed-tiny"]


class Failover(TestCase):
    def load(self, *arguments, code=(0, 3, 5, 7)):
        done = run("load", "--out", self.folder / "r", "--json", *arguments)
        self.assertIn(done.returncode, code, done.stderr)
        return run_json(self.folder / "r")

    def test_a_killed_engine(self):
        run_ = self.load(*FIXED, "--traffic", "hold(20/s,16s)", "--arrivals", "constant",
                         "--fault", "kill 0 at 4s heal 9s", "--recovery-objective", "10s")
        self.assertEqual(run_["requests"], 320, "all requests ended")
        self.assertEqual(count(self.folder / "r", "requests"), 320)
        first, second = run_["providers"]
        self.assertGreater(second["requests"], 0, "requests went to the other engine")
        self.assertEqual(first["requests"] + second["requests"], 320)
        fault = run_["faults"][0]
        self.assertEqual((fault["provider"], fault["kind"]), (0, "kill"))
        self.assertGreaterEqual(fault["at_ns"], 4e9)
        self.assertGreaterEqual(fault["heal_ns"], 9e9)
        incident = run_["failover"]["incidents"][0]
        self.assertEqual(incident["cause"], "kill")
        self.assertIsNotNone(incident["detection_ns"])
        self.assertIsNotNone(incident["failover_ns"])
        # While it was dead nothing that was sent to it came back.
        dead = f"provider = 0 and sent_ns > {fault['at_ns']} and done_ns < {fault['heal_ns'] - 1e9}"
        self.assertEqual(count(self.folder / "r", "attempts", dead + " and reason = 'ok'"), 0)
        # Those that were under way, and those that found nobody.
        self.assertGreater(count(self.folder / "r", "attempts", f"provider = 0 and reason in ('closed_early', "
                                 f"'send_failed', 'connect_failed') and done_ns >= {fault['at_ns']}"), 0)
        # A request that failed on the first was tried on the second.
        again = column(self.folder / "r", "provider", "attempt > 0")
        self.assertIn(1, again)
        changes = {row for row in self.decisions()}
        self.assertIn((0, "ejected"), changes)
        # Healed, probed and used again: there are five seconds and a probe every five.
        self.assertIn((0, "probed"), changes)
        report = (self.folder / "r" / "report.html").read_text()
        self.assertIn("Targets and failover", report)
        self.assertIn("detected after", report)
        self.assertIn("good rate back after", report)
        self.assertIn("failover", [c["name"].split()[0] for c in run_["criteria"]])

    def test_a_stalled_engine(self):
        run_ = self.load(*FIXED, "--traffic", "hold(20/s,14s)", "--arrivals", "constant",
                         "--fault", "stall 0 at 3s heal 9s")
        self.assertEqual(run_["requests"], 280)
        fault = run_["faults"][0]
        self.assertEqual(fault["kind"], "stall")
        timeouts = count(self.folder / "r", "attempts", "provider = 0 and reason in ('first_token_timeout', 'stall_timeout')")
        self.assertGreater(timeouts, 0, "its clients waited in vain")
        incident = run_["failover"]["incidents"][0]
        self.assertEqual(incident["cause"], "stall")
        self.assertIsNotNone(incident["detection_ns"])
        self.assertIsNotNone(incident["failover_ns"])
        self.assertGreater(run_["providers"][1]["requests"], 0)

    def decisions(self):
        import contextlib
        import sqlite3
        with contextlib.closing(sqlite3.connect(self.folder / "r" / "records.sqlite")) as db:
            return db.execute("select provider, change from decisions").fetchall()


class FailoverInVirtualTime(TestCase):
    def simulate(self, name, *arguments):
        done = run("load", "--out", self.folder / name, "--target", "sim:laptop", "--target", "sim:laptop",
                   "--client", "failover", "--workload", "fixed-tiny", "--traffic", "hold(5/s,30s)",
                   "--arrivals", "constant", "--json", *arguments)
        self.assertIn(done.returncode, (0, 3, 5), done.stderr)
        return run_json(self.folder / name)

    def test_a_kill_is_exact_and_the_same_again(self):
        runs = [self.simulate(name, "--fault", "kill 0 at 10100ms heal 15s") for name in "ab"]
        for r in runs:
            for key in ("started_at_ns", "ended_at_ns"):
                r.pop(key)
        self.assertEqual(*runs)
        incident = runs[0]["failover"]["incidents"][0]
        self.assertEqual(incident["start_ns"], 10_100_000_000)
        self.assertEqual(incident["end_ns"], 15_000_000_000)
        self.assertEqual(runs[0]["faults"], [{"provider": 0, "kind": "kill", "at_ns": 10_100_000_000, "heal_ns": 15_000_000_000}])
        # Requests come every 200 ms, the first half way: 10.1 s, 10.3 s, 10.5 s find nobody. The third failure
        # in a row opens the breaker; what was under way at the fault may be the first of the three.
        self.assertIn(incident["detection_ns"], (200_000_000, 400_000_000))
        self.assertEqual(incident["requests_lost"], 0, "every one was tried again elsewhere")
        self.assertEqual(runs[0]["requests"], 150)
        self.assertEqual(count(self.folder / "a", "requests", "reason = 'ok'"), 150)
        # From the ejection to the first probe 5 s later, everything is the second's.
        out = incident["start_ns"] + incident["detection_ns"]
        self.assertEqual(count(self.folder / "a", "attempts", f"provider = 0 and sent_ns > {out} and sent_ns < {out + 5_000_000_000}"), 0)

    def test_weights(self):
        r = self.simulate("w", "--route", "weighted:80,20")
        first, second = (p["requests"] for p in r["providers"])
        self.assertEqual(first + second, 150)
        self.assertTrue(95 <= first <= 142, first)  # 120 ± 4.5 σ

    def test_a_shift(self):
        self.simulate("s", "--route", "shift:100..0@10s..20s")
        early = column(self.folder / "s", "provider", "due_ns < 10e9")
        late = column(self.folder / "s", "provider", "due_ns >= 20e9")
        self.assertEqual((set(early), set(late)), ({0}, {1}))


class Refusals(TestCase):
    def said(self, *arguments):
        done = run("load", "--traffic", "hold(1/s,1s)", "--out", self.folder / "r", *arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertFalse((self.folder / "r").exists())
        return done.stderr

    def test_what_makes_no_sense(self):
        self.assertIn("of two worlds", self.said("--target", "sim:laptop", "--target", "embedded"))
        self.assertIn("--route has no effect with one target", self.said("--target", "sim:laptop", "--route", "round-robin"))
        self.assertIn("3 weights", self.said("--target", "sim:laptop", "--target", "sim:laptop", "--route", "weighted:1,2,3"))
        self.assertIn("process is not ours", self.said("--target", "http://127.0.0.1:1", "--fault", "kill 0 at 1s"))
        self.assertIn("cannot be read", self.said("--target", "sim:laptop", "--fault", "kill 1 at 1s"))
        self.assertIn("no service should be sent another's key",
                      self.said("--target", "http://127.0.0.1:1", "--target", "http://127.0.0.1:2", "--api-key", "env:KEY"))


class Retries(TestCase):
    """The SDKs' law on the wire: what is between the end of an attempt and the next is the formula's."""

    def test_delays_against_a_503(self):
        answers = []

        class Overloaded(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.reply(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                answers.append(1)
                if len(answers) == 1:  # the question whether anybody is there
                    chunk = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}
                    self.reply(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", "text/event-stream")
                else:
                    self.reply(503, {"error": {"message": "overloaded"}})

            def reply(self, status, body, kind="application/json"):
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Overloaded)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        for client in ("openai-sdk", "anthropic-sdk"):
            answers.clear()
            done = run("load", "--target", f"http://127.0.0.1:{server.server_address[1]}", "--client", client,
                       "--traffic", "hold(10/s,2s)", "--arrivals", "constant", "--workload", "fixed-tiny",
                       "--out", self.folder / client)
            self.assertIn(done.returncode, (0, 3, 7), done.stderr)
            self.assertEqual(count(self.folder / client), 60, "three attempts for each of twenty requests")
            waits = self.waits(self.folder / client)
            for n, base in ((1, 0.5), (2, 1.0)):
                self.assertEqual(len(waits[n]), 20)
                self.assertGreater(min(waits[n]), 0.75 * base - 1e-6)
                self.assertLessEqual(max(waits[n]), base + 1e-6)
                self.assertGreater(len(set(waits[n])), 15, "jitter")

    def waits(self, folder):
        import contextlib
        import sqlite3
        with contextlib.closing(sqlite3.connect(folder / "records.sqlite")) as db:
            rows = db.execute("select b.attempt, b.due_ns - a.done_ns from attempts a join attempts b "
                              "on a.request = b.request and b.attempt = a.attempt + 1").fetchall()
        waits = {1: [], 2: []}
        for attempt, ns in rows:
            waits[attempt].append(ns / 1e9)
        return waits


if __name__ == "__main__":
    unittest.main()
