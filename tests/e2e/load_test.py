"""dsbench load against a server of our own: what is recorded must be what happened."""

import json
import os
import signal
import subprocess
import time
import unittest

from support import BINARY, Server, TestCase, column, count, quantile, run, run_json


class Load(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.__exit__)

    def load(self, *arguments, **options):
        return run("load", "--target", self.server.url, "--out", self.folder / "r", "--workload", "fixed-tiny", *arguments, **options)

    def test_everything_offered_is_recorded(self):
        done = self.load("--traffic", "hold(20/s,3s)", "--arrivals", "constant", "--json")
        self.assertIn(done.returncode, (0, 3), done.stderr)
        summary = run_json(self.folder / "r")
        self.assertEqual(json.loads(done.stdout), summary)
        self.assertEqual(summary["requests"], 60)
        self.assertEqual(count(self.folder / "r"), summary["attempts"])
        self.assertEqual(count(self.folder / "r", where="reason = 'ok'"), 60)
        self.assertTrue((self.folder / "r" / "report.html").exists())
        self.assertTrue((self.folder / "r" / "latency.hlog").read_text().startswith("#"))

    def test_one_seed_one_schedule(self):
        dues = []
        for name in ("a", "b"):
            done = run("load", "--target", self.server.url, "--out", self.folder / name, "--workload", "fixed-tiny",
                       "--traffic", "hold(30/s,2s)", "--seed", "5")
            self.assertIn(done.returncode, (0, 3, 7), done.stderr)
            dues.append(column(self.folder / name, "due_ns", "attempt = 0"))
        self.assertEqual([d - dues[0][0] for d in dues[0]], [d - dues[1][0] for d in dues[1]])

    def test_a_pause_of_the_generator_is_its_own_lag(self):
        process = subprocess.Popen(
            [BINARY, "load", "--target", self.server.url, "--out", str(self.folder / "r"), "--traffic", "hold(80/s,5s)",
             "--arrivals", "constant", "--workload", "fixed-tiny", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(2.5)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
        where = "reason = 'ok'"
        lag = column(self.folder / "r", "sent_ns - due_ns", where)
        response = column(self.folder / "r", "done_ns - due_ns", where)
        service = column(self.folder / "r", "done_ns - sent_ns", where)
        # 40 of 400 requests fell due in the pause, spread over its 500 ms: the slowest tenth, and half of it beyond 250 ms.
        self.assertGreater(quantile(lag, 0.96), 200e6)
        self.assertGreater(quantile(response, 0.96), 200e6)
        self.assertLess(quantile(service, 0.90), quantile(response, 0.96))
        # and the run says so itself
        self.assertEqual(process.returncode, 7)
        self.assertIn("send lag", " ".join(run_json(self.folder / "r")["validity"]["invalid_causes"]))

    def in_the_middle(self):
        """A run of a minute, after three seconds."""
        process = subprocess.Popen(
            [BINARY, "load", "--target", self.server.url, "--out", str(self.folder / "r"), "--workload", "fixed-tiny",
             "--traffic", "hold(20/s,60s)"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(3)
        return process

    def test_ctrl_c_leaves_whole_results(self):
        process = self.in_the_middle()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, err)
        summary = run_json(self.folder / "r")
        self.assertEqual(summary["ended"], "interrupted")
        self.assertEqual(count(self.folder / "r"), summary["attempts"])
        self.assertGreater(summary["attempts"], 10)
        self.assertTrue((self.folder / "r" / "report.html").exists())

    def test_a_terminal_that_goes_away_leaves_whole_results(self):
        process = self.in_the_middle()
        process.send_signal(signal.SIGHUP)  # from the kernel
        process.send_signal(signal.SIGHUP)  # and from the shell
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 143, err)
        summary = run_json(self.folder / "r")
        self.assertEqual(summary["ended"], "interrupted")
        self.assertEqual(count(self.folder / "r"), summary["attempts"])
        self.assertTrue((self.folder / "r" / "report.html").exists())

    def test_nohup_is_obeyed(self):
        process = subprocess.Popen(
            [BINARY, "load", "--target", self.server.url, "--out", str(self.folder / "r"), "--workload", "fixed-tiny",
             "--traffic", "hold(20/s,2s)"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        time.sleep(1)
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=30)
        self.assertIn(process.returncode, (0, 7), err)
        self.assertEqual(run_json(self.folder / "r")["ended"], "complete")

    def test_a_full_disk_is_said(self):
        def small_files():
            import resource
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        done = self.load("--traffic", "hold(50/s,3s)", preexec_fn=small_files)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"records\.sqlite|run\.json|report\.html")


class LoadRefusals(TestCase):
    def test_an_unreachable_target(self):
        done = run("load", "--target", "http://127.0.0.1:1", "--traffic", "hold(1/s,1s)", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 8)
        self.assertIn("127.0.0.1:1", done.stderr)

    def test_a_bare_number_is_refused_with_an_example(self):
        done = run("load", "--target", "http://127.0.0.1:1", "--duration", "30")
        self.assertEqual(done.returncode, 2)

    def test_a_run_without_a_request_has_measured_nothing(self):
        done = run("load", "--traffic", "hold(0.1/s,1s)", "--workload", "fixed-tiny", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("INCONCLUSIVE", done.stdout)
        self.assertIn("Nothing was measured: the schedule has no request; give it more time", done.stdout)

    def test_a_used_run_directory_is_kept(self):
        (self.folder / "r").mkdir()
        (self.folder / "r" / "precious").write_text("x")
        done = run("load", "--target", "sim:laptop", "--traffic", "hold(1/s,1s)", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual((self.folder / "r" / "precious").read_text(), "x")


if __name__ == "__main__":
    unittest.main()
