"""Speculation with an MTP module, a KV cache in fewer bytes and hot experts, as a client and a log see them."""

import csv
import json
import unittest

from support import Server, TestCase, run

PROMPTS = ["The quick brown fox", "0123456789" * 6, "a", "Nobody had rehearsed it, and so it came as it had to come."]
ASKED = {"max_tokens": 100, "temperature": 0, "ignore_eos": True}


class Speculation(TestCase):
    def answers(self, *flags):
        with Server("--mtp-acceptance", "0.8", "--step-log", self.folder / "steps.csv", *flags) as server:
            texts = []
            for prompt in PROMPTS:
                status, answer = server.post("/v1/completions", {**ASKED, "prompt": prompt})
                self.assertEqual(status, 200, answer)
                texts.append(json.loads(answer)["choices"][0]["text"])
            page = server.get("/metrics")
            figures = {name: server.metric(name) for name in (
                "vllm:spec_decode_num_draft_tokens_total", "vllm:spec_decode_num_accepted_tokens_total",
                "dsbench_spec_decode_num_tried_tokens_total", "dsbench_steps_total")}
            if "dsbench_spec_decode_acceptance_set" in page:
                figures["set"] = server.metric("dsbench_spec_decode_acceptance_set")
            figures["measured"] = server.metric("dsbench_spec_decode_acceptance")
        with open(self.folder / "steps.csv", newline="") as file:
            return texts, figures, list(csv.DictReader(file))

    def test_an_mtp_module_saves_steps_and_says_the_same(self):
        plain, without, log = self.answers()
        self.assertEqual(without["vllm:spec_decode_num_draft_tokens_total"], 0)
        self.assertEqual({line["acceptance_set"] for line in log}, {""})
        texts, figures, log = self.answers("--spec", "mtp", "--spec-drafts", "1")
        self.assertEqual(texts, plain)
        self.assertLess(figures["dsbench_steps_total"], 0.7 * without["dsbench_steps_total"])
        self.assertEqual(figures["set"], 0.8)
        accepted, tried = figures["vllm:spec_decode_num_accepted_tokens_total"], figures["dsbench_spec_decode_num_tried_tokens_total"]
        self.assertAlmostEqual(figures["measured"], accepted / tried)
        # Some 220 tries, one after another in a vocabulary of 256.
        self.assertGreater(figures["measured"], 0.65)
        self.assertLess(figures["measured"], 0.95)
        self.assertEqual({line["acceptance_set"] for line in log}, {"0.8"})
        self.assertEqual(sum(int(line["tried_drafts"]) for line in log), tried)
        self.assertEqual(sum(int(line["accepted_drafts"]) for line in log), accepted)

    def test_the_bill_has_the_module_and_the_cache(self):
        done = run("serve", "--spec", "mtp", "--kv-dtype", "fp8", "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("acceptance set to 0.85, measured on /metrics", done.stdout)
        self.assertIn("700 B per token, fp8", done.stdout)  # 64 codes, a scale, 16 halves: 100 in each of 7 layers
        small = run("serve", "--kv-memory", "1MiB", "--dry-run")
        self.assertIn("(34 blocks of 16 tokens, 1.88 KiB per token)", small.stdout)
        large = run("serve", "--kv-memory", "1MiB", "--kv-dtype", "int8", "--dry-run")
        self.assertIn("(109 blocks of 16 tokens, 600 B per token, int8)", large.stdout)

    def test_what_would_have_no_effect_is_refused(self):
        for flags, words in (
                (("--spec", "mtp", "--executor", "cost:laptop"), "--spec mtp needs a model that verifies guesses"),
                (("--kv-dtype", "fp8", "--executor", "cost:laptop"), "--kv-dtype has no effect on --executor cost:laptop"),
                (("--kv-dtype", "int4",), "--kv-dtype 'int4' is not accepted; give fp32, bf16, int8 or fp8"),
                (("--kv-memory", "1MiB", "--blocks", "7"), "both say how large the KV cache is"),
                (("--kv-memory", "64",), "'64' is not a size"),
                (("--kv-memory", "64B",), "holds 0 blocks of 30.0 KiB (16 tokens each)"),
                (("--mtp-acceptance", "1.5",), "give a fraction from 0 to 1")):
            done = run("serve", *flags, "--dry-run")
            self.assertEqual(done.returncode, 2, flags)
            self.assertIn(words, done.stderr)

    def test_rounded_caches_serve(self):
        for flags in (("--kv-dtype", "fp8"), ("--kv-dtype", "int8", "--weights", "int8", "--prefix-cache", "on")):
            with Server(*flags) as server:
                first = server.post("/v1/completions", {**ASKED, "prompt": PROMPTS[1]})
                self.assertEqual(first[0], 200, first[1])
                text = [json.loads(answer[1])["choices"][0]["text"]
                        for answer in (first, server.post("/v1/completions", {**ASKED, "prompt": PROMPTS[1]}))]
                self.assertEqual(text[0], text[1])

    def test_hot_experts_are_in_the_ledger(self):
        with Server("--admin") as server:
            def imbalance():
                before = [server.metric(f"dsbench_expert_{name}") for name in ("imbalance_sum", "steps_total")]
                status, answer = server.post("/v1/completions", {"prompt": "Who wants which expert? " * 20, "max_tokens": 2})
                self.assertEqual(status, 200, answer)
                after = [server.metric(f"dsbench_expert_{name}") for name in ("imbalance_sum", "steps_total")]
                return (after[0] - before[0]) / (after[1] - before[1])

            even = imbalance()
            self.assertEqual(server.post("/admin/faults", {"fault": "hot-experts:factor=4"})[0], 200)
            hot = imbalance()
            # All tokens want the same 4 of 16 experts: the busiest has four times the mean.
            self.assertAlmostEqual(hot, 4, places=6)
            self.assertLess(even, 3.5)


if __name__ == "__main__":
    unittest.main()
