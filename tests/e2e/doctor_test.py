"""dsbench doctor: says what it found, and measures the generator's own limit."""

import json
import os
import unittest

from support import TestCase, run


class Doctor(TestCase):
    def test_each_check_says_what_was_found_wanted_and_why(self):
        done = run("doctor", "--json")
        self.assertIn(done.returncode, (0, 7), done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(said["schema"], "dsbench.doctor/1")
        names = [c["name"] for c in said["checks"]]
        for name in ("descriptors", "ephemeral ports", "TIME_WAIT reuse", "CPU governor", "clock source", "timer lag", "cgroup CPU",
                     "cgroup memory", "transparent huge pages", "cores", "swap", "stolen time", "accept queue"):
            self.assertIn(name, names)
        for check in said["checks"]:
            self.assertIn(check["state"], ("ok", "unknown", "warning", "bad"))
            for key in ("found", "wanted", "why"):
                self.assertTrue(check[key], check)
        self.assertEqual(done.returncode == 7, any(c["state"] == "bad" for c in said["checks"]))

    def test_few_descriptors_are_bad(self):
        import resource
        done = run("doctor", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
        self.assertEqual(done.returncode, 7, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"bad +descriptors +soft 200, hard 200")
        self.assertIn("A measurement here would be invalid", done.stdout)

    def test_the_ceiling_is_measured_and_kept(self):
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder), "TMPDIR": str(self.folder)}
        done = run("doctor", "--ceiling", "--seconds", "1", "--json", "--quiet", env=environment, timeout=200)
        self.assertIn(done.returncode, (0, 7), done.stderr)
        ceiling = json.loads(done.stdout)["ceiling"]
        self.assertEqual(ceiling, json.loads((self.folder / "dsbench/ceiling.json").read_text()))
        self.assertEqual(ceiling["schema"], "dsbench.ceiling/1")
        # However busy the machine.
        for key in ("requests_rps", "events_per_s", "packed_events_per_s"):
            self.assertGreater(ceiling[key], 10, key)
        self.assertGreater(ceiling["send_lag_p99_ns"], 0)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["dsbench"])  # the records are gone


if __name__ == "__main__":
    unittest.main()
