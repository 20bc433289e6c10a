"""Prompts as the server sees them: images, and lengths by its own count of tokens."""

import base64
import json
import pathlib
import struct
import sys
import unittest
import zlib

from support import Server, TestCase, column, run, run_json

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
from tokenizing_server import TokenizingServer  # noqa: E402

WITH_IMAGES = {
    "schema": "dsbench.workload/1", "prompt_tokens": 20, "output_tokens": 4,
    "images": {"count": {"law": "uniform", "min": 0, "max": 2}, "bytes": {"law": "uniform", "min": 200, "max": 30000},
               "pool": 5, "tokens": 85, "detail": "low"}}


def pixels(png):
    """The sides of a PNG whose every chunk is whole."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, sides = 8, b"", None
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            sides = struct.unpack(">II", body[:8])
        if kind == b"IDAT":
            data += body
        at += 12 + size
    assert len(zlib.decompress(data)) == sides[1] * (sides[0] + 1)
    return sides


class Prompts(TestCase):
    def serve(self, **options):
        server = TokenizingServer(**options)
        self.addCleanup(server.close)
        return server

    def write(self, workload):
        path = self.folder / "workload.json"
        path.write_text(json.dumps(workload))
        return path

    def load(self, name, target, workload, *arguments, traffic="hold(20/s,2s)"):
        done = run("load", "--target", target, "--out", self.folder / name, "--workload", workload, "--traffic", traffic,
                   "--arrivals", "constant", "--quiet", *arguments)
        self.assertIn(done.returncode, (0, 7), done.stderr)  # 7: too busy a machine; the records are whole
        return self.folder / name

    def test_images_are_sent_counted_and_real(self):
        server, workload = self.serve(), self.write(WITH_IMAGES)
        out = self.load("r", server.url, workload)
        sent = [part for body in server.bodies[1:] for message in body["messages"]
                if not isinstance(message["content"], str) for part in message["content"] if part["type"] == "image_url"]
        pictures = set()
        total = 0
        for part in sent:
            self.assertEqual(part["image_url"]["detail"], "low")
            head, data = part["image_url"]["url"].split(",")
            self.assertEqual(head, "data:image/png;base64")
            png = base64.b64decode(data, validate=True)
            pixels(png)
            pictures.add(png)
            total += len(png)
        self.assertGreater(len(sent), 20)
        self.assertEqual(len(pictures), 5)
        self.assertEqual(sum(column(out, "images")), len(sent))
        self.assertEqual(sum(column(out, "image_bytes")), total)
        counts = run_json(out)["token_counts"]
        self.assertEqual((counts["images"], counts["image_bytes"]), (len(sent), total))
        planned = run("load", "--workload", workload, "--traffic", "hold(20/s,2s)", "--arrivals", "constant", "--dry-run",
                      "--json")
        plan = json.loads(planned.stdout)
        self.assertEqual((plan["images"], plan["image_bytes"]), (len(sent), total))
        self.assertEqual(plan["input_tokens"], sum(column(out, "prompt_tokens_asked")))

    def test_the_reference_server_takes_images_by_every_api(self):
        workload = self.write(WITH_IMAGES)
        with Server() as server:
            for api in ("chat", "responses", "anthropic"):
                with self.subTest(api=api):
                    out = self.load(api, server.url, workload, "--api", api, traffic="hold(10/s,1s)")
                    self.assertGreater(sum(column(out, "images")), 0)
                    self.assertEqual(set(column(out, "reason")), {"ok"})
                    # Opaque: the text is all that is counted.
                    self.assertEqual(set(column(out, "prompt_tokens", "prompt_token_source = 'usage'")), {20})

    def test_an_api_without_a_place_for_images_is_refused(self):
        done = run("load", "--target", "http://127.0.0.1:1", "--api", "completions", "--workload", self.write(WITH_IMAGES))
        self.assertEqual(done.returncode, 2)
        self.assertIn("the API completions has no place for them; accepted: --api chat, responses or anthropic", done.stderr)

    def test_prompts_are_as_long_as_the_server_counts(self):
        workload = self.write({"schema": "dsbench.workload/1", "output_tokens": 2, "system_prompt_tokens": 60,
                               "prompt_tokens": {"law": "uniform", "min": 100, "max": 900}})
        server = self.serve()
        raw = run_json(self.load("raw", server.url, workload))["token_counts"]
        self.assertGreater(raw["prompt_mean_error"], 0.2, "a byte is no token here")
        self.assertEqual(raw["calibrations"], [])
        out = self.load("calibrated", server.url, workload, "--calibrate-tokens")
        counts = run_json(out)["token_counts"]
        self.assertLess(counts["prompt_mean_error"], 0.03)
        self.assertLess(abs(counts["prompt_bias"]), 0.02)
        [made] = counts["calibrations"]
        self.assertEqual(made["probes"], 12)
        self.assertLess(made["mean_error"], 0.03)
        self.assertAlmostEqual(made["message_overhead"], 5, delta=1)
        self.assertAlmostEqual(made["request_overhead"], 16, delta=3)  # the template's 11, and one message's 5
        self.assertEqual(counts["prompts_by_usage"], 40)
        self.assertEqual(counts["prompts_as_asked"], 0)
        self.assertEqual(counts["outputs_by_usage"], 40)

    def test_a_history_stays_the_beginning_of_what_follows(self):
        workload = self.write({"schema": "dsbench.workload/1", "output_tokens": 2, "prompt_tokens": 100,
                               "session": {"turns": 3, "think_time": "50ms", "user_tokens": 50}})
        server = self.serve()
        self.load("r", server.url, workload, "--calibrate-tokens", traffic="hold(1/s,2s)")
        bodies = [b["messages"] for b in server.bodies if len(b["messages"]) > 2 and len(b["messages"][0]["content"]) < 4000]
        longest = max(bodies, key=len)
        self.assertEqual(len(longest), 5)
        self.assertIn(longest[:3], [b for b in bodies if len(b) == 3])

    def test_a_server_without_usage_cannot_be_calibrated_by(self):
        server = self.serve(usage=False)
        done = run("load", "--target", server.url, "--calibrate-tokens", "--traffic", "hold(1/s,1s)", "--out", self.folder / "r")
        self.assertEqual(done.returncode, 8)
        self.assertIn("answers without a usage, and prompts cannot be calibrated without one", done.stderr)
        out = self.load("plain", server.url, self.write({"schema": "dsbench.workload/1", "output_tokens": 2, "prompt_tokens": 9}))
        counts = run_json(out)["token_counts"]
        self.assertEqual((counts["prompts_as_asked"], counts["prompts_by_usage"]), (40, 0))
        self.assertEqual((counts["outputs_by_chunks"], counts["outputs_by_usage"]), (40, 0))
        self.assertIsNone(counts["prompt_mean_error"])


if __name__ == "__main__":
    unittest.main()
