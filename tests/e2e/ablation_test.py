"""rehearse --ablate: the same rehearsal with each mechanism switched, in virtual time."""

import json
import unittest

from support import TestCase, run


class Ablation(TestCase):
    def test_says_what_each_mechanism_adds_and_what_it_does_in_an_overload(self):
        out = self.folder / "a"
        done = run("rehearse", "--target", "sim:laptop", "--quiet", "--budget", "10m", "--ablate", "kv-policy,admission,spec,batching", "--out", out,
                   timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        table = done.stdout.splitlines()
        self.assertRegex(table[1], r"^variant +safe load +to base +kept at 1\.5 × knee +in an overload +recovery$")
        result = json.loads((out / "ablation.json").read_text())
        self.assertEqual(result["schema"], "dsbench.ablation/1")
        by_name = {v["name"]: v for v in result["variants"]}
        self.assertEqual(list(by_name), ["base", "kv-policy", "admission", "spec", "batching"])
        self.assertLess(by_name["base"]["kept_share"], 0.2, "without control the engine collapses")
        self.assertGreater(by_name["admission"]["kept_share"], 0.5)
        self.assertEqual(by_name["admission"]["in_an_overload"], "dampens")
        self.assertEqual(by_name["spec"]["flags"], ["--spec", "assumed"])
        self.assertLess(by_name["batching"]["safe_load_rps"], 0.5 * by_name["base"]["safe_load_rps"], "one at a time is much less")
        for name in by_name:
            summary = json.loads((out / name / "run.json").read_text())
            self.assertEqual(summary["seed"], 1)
            self.assertEqual("--engine-ttft-target" in summary["command"], name == "admission", summary["command"])
        page = (out / "report.html").read_text()
        self.assertIn("early rejection at 1 s", page)
        again = run("rehearse", "--target", "sim:laptop", "--quiet", "--budget", "10m", "--ablate", "kv-policy,admission,spec,batching", "--out",
                    self.folder / "b", timeout=300)
        self.assertEqual((self.folder / "b" / "ablation.json").read_text(), (out / "ablation.json").read_text(), again.stderr)

    def test_what_is_on_is_switched_off(self):
        out = self.folder / "a"
        done = run("rehearse", "--target", "sim:laptop", "--quiet", "--budget", "5m", "--engine-prefix-cache", "on", "--ablate",
                   "prefix-cache", "--out", out, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("prefix cache off", done.stdout)

    def test_says_what_cannot_be_switched(self):
        for arguments, sentence in [
            (("--target", "sim:laptop", "--ablate", "turbo"), "--ablate knows no 'turbo'; accepted: batching, prefix-cache, spec"),
            (("--target", "sim:laptop", "--ablate", "quant"), "--ablate quant needs weights to round"),
            (("--target", "sim:laptop", "--ablate", "spec,spec"), "--ablate names 'spec' twice"),
            (("--target", "http://127.0.0.1:9", "--ablate", "spec"), "needs one target whose engine is ours"),
        ]:
            with self.subTest(arguments):
                wrong = run("rehearse", "--quiet", "--out", self.folder / "w", *arguments)
                self.assertEqual(wrong.returncode, 2, wrong.stderr)
                self.assertIn(sentence, wrong.stderr)
                self.assertFalse((self.folder / "w").exists())


if __name__ == "__main__":
    unittest.main()
