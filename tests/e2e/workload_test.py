"""Every shipped workload, from end to end: what follows from a request is offered, sent, ended and told."""

import contextlib
import json
import sqlite3
import unittest

from support import Server, TestCase, run, run_json

SHIPPED = ("agents", "launch-mix", "long-context", "rag-prefix", "reasoning", "sessions-chat")
SESSION = (1 << 40) - 1


def rows(directory, sql):
    with contextlib.closing(sqlite3.connect(directory / "records.sqlite")) as db:
        return db.execute(sql).fetchall()


class Workloads(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.__exit__)

    def load(self, name, workload, *arguments, target=None):
        done = run("load", "--target", target or self.server.url, "--out", self.folder / name, "--workload", workload,
                   "--quiet", *arguments)
        # 7: the machine was too busy to measure; the records are as whole as ever.
        self.assertIn(done.returncode, (0, 7), done.stderr)
        return self.folder / name

    def test_each_tiny_one_against_the_reference_engine(self):
        for name in SHIPPED:
            with self.subTest(workload=name):
                out = self.load(name, name + "-tiny", "--traffic", "hold(3/s,6s)", "--arrivals", "constant")
                summary = run_json(out)
                self.assertEqual(summary["ended"], "complete")
                n, ended_well = rows(out, "select count(*), sum(reason in ('ok', 'cancelled')) from requests")[0]
                self.assertGreaterEqual(n, 18)
                self.assertGreater(ended_well, 0.5 * n)
                self.assertEqual(rows(out, "select count(*) from (select distinct request from requests)"), [(n,)])
                if name in ("agents", "sessions-chat"):
                    self.assertGreater(n, 18)
                    self.assertTrue(summary["turns"])
                    self.assertGreater(summary["amplification"][0]["requests_per_user"], 1)
                if name == "launch-mix":
                    self.assertEqual([t["name"] for t in summary["tenants"]], ["people", "agents", "documents"])
                    self.assertEqual(sum(t["requests"] for t in summary["tenants"]),
                                     sum(s["requests"] for s in summary["stages"]))
                    self.assertEqual([r[0] for r in rows(out, "select name from tenants order by tenant")],
                                     ["people", "agents", "documents"])
                report = (out / "report.html").read_text()
                self.assertIn("from users to compute", report)

    def test_a_turn_sends_what_was_said(self):
        out = self.load("chat", "sessions-chat-tiny", "--traffic", "hold(2/s,5s)")
        turns = {}
        for request, turn, prompt, output, due, done in rows(
                out, "select request, turn, prompt_tokens, output_tokens, due_ns, done_ns from requests where reason = 'ok'"):
            turns[request & SESSION, turn] = (prompt, output, due, done)
        pairs = [(turns[s, t - 1], now) for (s, t), now in turns.items() if (s, t - 1) in turns]
        self.assertTrue(pairs)
        for before, now in pairs:
            self.assertGreater(now[0], before[0] + before[1], "the history and more")
            self.assertGreaterEqual(now[2] - before[3], 100e6, "not before a think time has passed")

    def test_prompts_begin_with_a_document(self):
        out = self.load("rag", "rag-prefix-tiny", "--traffic", "hold(4/s,5s)", "--arrivals", "constant")
        # As the server counted them: 32 of the system prompt, 200 to 600 of the document that nine in ten have.
        with_one, n = rows(out, "select sum(prompt_tokens > 232), count(*) from attempts where reason = 'ok' and token_source = 'usage'")[0]
        self.assertGreater(n, 10)
        self.assertGreater(with_one, 0.6 * n)

    def test_each_one_in_virtual_time(self):
        for name in SHIPPED:
            with self.subTest(workload=name):
                out = self.load(name, name, "--traffic", "hold(1/s,20s)", "--drain", "60s", target="sim:laptop")
                summary = run_json(out)
                self.assertGreaterEqual(summary["requests"], 10)
                self.assertEqual(rows(out, "select count(*) from requests"), [(summary["requests"],)])

    def test_one_seed_one_run(self):
        told = []
        for name in ("a", "b"):
            out = self.load(name, "launch-mix-tiny", "--traffic", "hold(3/s,20s)", "--seed", "9", target="sim:laptop")
            summary = run_json(out)
            told.append(json.dumps([summary["tenants"], summary["turns"], summary["amplification"], summary["requests"]]))
        self.assertEqual(told[0], told[1])


if __name__ == "__main__":
    unittest.main()
