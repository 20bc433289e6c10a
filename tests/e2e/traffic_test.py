"""What load does beyond one plain run: traces, guards, requirements, the dial, the dry run; in virtual time where it can be."""

import fcntl
import json
import os
import pathlib
import pty
import re
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest

from support import BINARY, TestCase, column, count, run, run_json

SIM = ("load", "--target", "sim:laptop", "--quiet")


class Traffic(TestCase):
    def load(self, *arguments, folder="r"):
        return run(*SIM, "--out", self.folder / folder, *arguments)

    def test_a_compressed_day_has_its_stages_and_its_shape(self):
        done = self.load("--traffic", "deepseek-day", "--compress", "288")
        self.assertEqual(done.returncode, 0, done.stderr)
        summary = run_json(self.folder / "r")
        self.assertEqual(len(summary["stages"]), 12)
        rates = [s["offered_rps"] for s in summary["stages"]]
        self.assertLess(rates[2], 0.5 * rates[10])
        self.assertLess(abs(summary["requests"] - 1500), 4 * 1500 ** 0.5)

    def test_a_guard_stops_early_and_says_so(self):
        done = self.load("--traffic", "hold(400/s,10m)", "--client", "interactive", "--stop", "failed(10%,5s) refused(20)")
        self.assertEqual(done.returncode, 6, done.stderr)
        summary = run_json(self.folder / "r")
        self.assertIn("stopped by a guard: ", summary["ended"])
        self.assertIn("the limit is 10 %", summary["ended"])
        self.assertLess(summary["duration_ns"], 300e9)
        self.assertEqual(count(self.folder / "r"), summary["attempts"])
        wrong = self.load("--stop", "fialed(10%,5s)", folder="w")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("did you mean 'failed'?", wrong.stderr)
        self.assertFalse((self.folder / "w").exists())

    def test_requirements_decide(self):
        shape = ("--traffic", "hold(5/s,3m)")
        met = self.load(*shape, "--require", "p50 ttft < 2s", "--require", "good_share > 50%", folder="a")
        self.assertEqual(met.returncode, 0, met.stderr)
        self.assertEqual(run_json(self.folder / "a")["verdict"], "READY")
        missed = self.load(*shape, "--require", "p50 ttft < 1us", folder="b")
        self.assertEqual(missed.returncode, 3, missed.stderr)
        nothing = self.load("--traffic", "hold(5/s,3s)", "--require", "p99.9 ttft < 1h", folder="c")
        self.assertEqual(nothing.returncode, 3, nothing.stderr)
        self.assertIn("needs 6636", json.dumps(run_json(self.folder / "c")["criteria"]))

    def test_a_dry_run_counts_what_a_run_sends(self):
        what = ("--traffic", "curve(0s 5/s,30s 60/s,60s 5/s)", "--seed", "4")
        dry = run(*SIM, *what, "--dry-run", "--json", "--price-input", "1", "--price-output", "2")
        self.assertEqual(dry.returncode, 0, dry.stderr)
        plan = json.loads(dry.stdout)
        done = self.load(*what)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(plan["requests"], run_json(self.folder / "r")["requests"])
        self.assertEqual(plan["input_tokens"], sum(column(self.folder / "r", "prompt_tokens")))
        self.assertEqual(plan["output_tokens"], sum(column(self.folder / "r", "output_tokens_asked")))
        self.assertAlmostEqual(plan["cost"], (plan["input_tokens"] + 2 * plan["output_tokens"]) / 1e6)
        text = run(*SIM, *what, "--dry-run")
        self.assertIn("Connections: about ", text.stdout)

    def test_what_was_recorded_is_replayed(self):
        first = self.load("--traffic", "hold(20/s,10s)", folder="a")
        self.assertEqual(first.returncode, 0, first.stderr)
        again = self.load("--trace", self.folder / "a" / "records.sqlite", "--stage-length", "5s", folder="b")
        self.assertEqual(again.returncode, 0, again.stderr)
        a, b = (run_json(self.folder / name) for name in ("a", "b"))
        self.assertEqual(a["requests"], b["requests"])
        self.assertEqual(len(b["stages"]), 2)
        self.assertEqual(column(self.folder / "a", "output_tokens_asked"), column(self.folder / "b", "output_tokens_asked"))
        dues = [column(self.folder / name, "due_ns") for name in ("a", "b")]
        self.assertEqual([d - dues[0][0] for d in dues[0]], [d - dues[1][0] for d in dues[1]])

    def test_a_trace_that_cannot_be_read_is_refused(self):
        bad = self.folder / "t.jsonl"
        bad.write_text('{"timestamp": 0, "input_length": 5, "output_length": 2}\n{"timestamp": 1\n')
        done = self.load("--trace", bad)
        self.assertEqual(done.returncode, 2)
        self.assertIn("line 2", done.stderr)
        self.assertFalse((self.folder / "r").exists())

    def test_a_dry_run_of_a_trace_counts_what_it_would_send(self):
        trace = self.folder / "t.csv"
        trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
            f"2023-11-16 18:{15 + i // 60}:{i % 60:02}.5,100,10\n" for i in range(120)))
        arguments = ["load", "--trace", trace, "--dry-run", "--stage-length", "1m", "--price-input", "1",
                     "--price-output", "2"]
        text = run(*arguments)
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn("t.csv: azure, 120 requests in", text.stdout)
        self.assertRegex(text.stdout, r"(?m)^trace \+0 s +60\.0 s +1\.00/s +60 +6,000 +600 +0\.01$")
        self.assertRegex(text.stdout, r"(?m)^Connections: about \d+ at once")
        found = json.loads(run(*arguments, "--json").stdout)
        self.assertEqual((found["requests"], found["input_tokens"], found["output_tokens"]), (120, 12000, 1200))
        self.assertEqual([s["requests"] for s in found["stages"]], [60, 60])
        self.assertLessEqual(found["connections_needed"], 120)

    def test_a_mix_names_the_workloads_that_have_it(self):
        done = run("load", "--traffic", "agents", "--dry-run")
        self.assertEqual(done.returncode, 2)
        self.assertIn("; --workload with all classes of the mix: launch-mix, launch-mix-tiny", done.stderr)

    def test_a_profile_is_found_by_what_the_list_says(self):
        listed = run("profile", "list").stdout.splitlines()
        self.assertRegex("\n".join(listed), r"(?m)^traffic/ramp +A launch in miniature")
        for line in listed:
            self.assertEqual(run("profile", "check", line.split()[0]).returncode, 0, line)
        by_kind = run("profile", "show", "traffic", "ramp").stdout
        self.assertEqual(run("profile", "show", "traffic/ramp").stdout, by_kind)
        self.assertEqual(run("profile", "show", "ramp").stdout, by_kind)
        rare = self.folder / "rare.json"
        rare.write_text(run("profile", "show", "traffic", "hold(1/h,10h)", "--rate-scale", "0.01", "--json").stdout)
        checked = run("profile", "check", rare)
        self.assertEqual(checked.stdout, f"traffic {rare}: accepted\n", checked.stderr)
        self.assertIn("'agents' is a name of several kinds: traffic, workload", run("profile", "show", "agents").stderr)
        self.assertIn("did you mean 'steady'?", run("profile", "show", "stedy").stderr)
        self.assertIn("which slo profile? accepted: interactive, tiny", run("profile", "show", "slo").stderr)

    def test_profiles_are_drawn(self):
        for name in ("release-week", "release-day", "deepseek-day", "march-29", "agents", "international-spike", "cold-cache", "soak"):
            shown = run("profile", "show", "traffic", name)
            self.assertEqual(shown.returncode, 0, shown.stderr)
            self.assertIn("█", shown.stdout)
            self.assertRegex(shown.stdout, r"about \d+ requests in ")
        scaled = run("profile", "show", "traffic", "soak", "--base-rate", "2/s", "--compress", "60", "--json")
        self.assertIn('["480s","2/s"]', scaled.stdout.replace(" ", ""))

    def test_a_dry_run_counts_turns_by_when_the_turn_before_was_due(self):
        workload = self.folder / "talk.json"
        workload.write_text(json.dumps({"schema": "dsbench.workload/1", "prompt_tokens": 10, "output_tokens": 5, "session": {
            "turns": 3, "turn_gap": "10s", "user_tokens": 4}}))
        # One a second, at 0.5 s, 1.5 s …: the second turns of the first ten are due before the end, whether the answer takes 4 s
        # or 9 s. After 12 s it is the answer that they wait for.
        for latency, follow_ups in (("4s", 10), ("9s", 10), ("12s", 8)):
            dry = run("load", "--traffic", "hold(1/s,20s)", "--arrivals", "constant", "--workload", workload, "--dry-run",
                      "--assume-latency", latency)
            self.assertEqual(dry.returncode, 0, dry.stderr)
            self.assertIn(f"\n{follow_ups} of the requests follow from others", dry.stdout, latency)

    def test_profiles_are_drawn_as_wide_as_the_terminal(self):
        def drawn(name, columns, environment):
            """On a terminal of so many columns; none: into a pipe."""
            command = [BINARY, "profile", "show", "traffic", name]
            if columns is None:
                return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
            leader, follower = pty.openpty()
            fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            process = subprocess.Popen(command, stdout=follower, stderr=subprocess.PIPE, env=environment)
            os.close(follower)
            text = b""
            while True:
                try:
                    piece = os.read(leader, 65536)
                except OSError:  # its other end is closed
                    break
                if not piece:
                    break
                text += piece
            os.close(leader)
            self.assertEqual(process.wait(), 0, process.stderr.read())
            process.stderr.close()
            return text.decode().replace("\r\n", "\n")

        environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
        widest = lambda text: max(len(line) for line in text.splitlines())
        chart = lambda text: max(len(line) - 11 for line in text.splitlines() if "█" in line)
        for name in ("release-week", "march-29", "deepseek-day"):
            for columns, width in ((80, 80), (131, 131), (60, 60), (20, 60), (500, 200)):
                with self.subTest(name=name, columns=columns):
                    text = drawn(name, columns, environment)
                    self.assertLessEqual(widest(text), width)
                    self.assertEqual(chart(text), max(width - 28, width * 72 // 100))
            plain = drawn(name, None, environment)
            self.assertEqual(chart(plain), 72)
            self.assertEqual(drawn(name, 100, environment), plain)
            self.assertEqual(drawn(name, None, environment | {"COLUMNS": "80"}), drawn(name, 80, environment))
            self.assertEqual(drawn(name, 80, environment | {"COLUMNS": "120"}), drawn(name, 80, environment), "the terminal knows")
            self.assertEqual(drawn(name, 0, environment | {"COLUMNS": "120"}), drawn(name, 120, environment), "a terminal that does not")
            self.assertEqual(drawn(name, None, environment | {"COLUMNS": "wide"}), plain)

    def test_the_rate_is_changed_while_it_runs(self):
        path = self.folder / "control"
        process = subprocess.Popen(
            [BINARY, "load", "--workload", "fixed-tiny", "--traffic", "hold(5/s,12s)", "--arrivals", "constant", "--out",
             str(self.folder / "r"), "--control", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not path.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        with socket.socket(socket.AF_UNIX) as dial:
            dial.settimeout(30)
            dial.connect(str(path))
            talk = dial.makefile("rw")

            def ask(line):
                talk.write(line + "\n")
                talk.flush()
                return talk.readline().strip()

            self.assertIn('"factor":1', ask("status"))
            self.assertIn("error: no command 'fly'", ask("fly"))
            self.assertIn("error: 'x' is no number", ask("scale x"))
            self.assertRegex(ask("scale 4"), r"ok: 4 times the profile's rates from [0-9.]+ s of the run on")
            self.assertIn('"factor":4', ask("status"))
        out, err = process.communicate(timeout=120)
        self.assertIn(process.returncode, (0, 7), err)
        summary = run_json(self.folder / "r")
        self.assertGreater(summary["requests"], 90)  # 60 without the change, at most 240 with it
        self.assertIn("the rate was changed by hand to 4 times", " ".join(summary["warnings"]))
        self.assertFalse(path.exists())

    def test_a_stop_at_the_control_socket_is_an_interruption(self):
        path = self.folder / "control"
        process = subprocess.Popen(
            [BINARY, "load", "--workload", "fixed-tiny", "--traffic", "hold(5/s,60s)", "--out", str(self.folder / "r"),
             "--control", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.eventually(path.exists, 60, "the control socket")
        with socket.socket(socket.AF_UNIX) as dial:
            dial.settimeout(30)
            dial.connect(str(path))
            dial.sendall(b"stop\n")
            self.assertIn(b"ok: no new load", dial.recv(200))
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(run_json(self.folder / "r")["ended"], "interrupted")


if __name__ == "__main__":
    unittest.main()
