"""What other tools read of a run, and what we read of theirs. Everything here is of files and of virtual time."""

import json
import math
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

from support import TestCase, run, run_json

VENV = pathlib.Path(__file__).resolve().parents[2] / "build/test-venv/bin/python"


def percentile(values, q):
    values = sorted(values)
    return values[max(0, math.ceil(q * len(values)) - 1)]


class Export(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="dsbench-interop-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.made = cls.home / "r"
        done = run("load", "--target", "sim:laptop", "--traffic", "hold(12/s,60s) hold(20/s,30s)", "--workload", "chat-tiny",
                   "--quiet", "--out", cls.made)
        assert done.returncode == 0, done.stderr
        cls.summary = run_json(cls.made)

    def export(self, name, *arguments):
        done = run("report", self.made, "--export", name, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def measured(self, expression, stage=0):
        s = self.summary["stages"][stage]
        with sqlite3.connect(self.made / "records.sqlite") as db:
            found = db.execute(f"select {expression} from requests where reason = 'ok' and stage = ? and due_ns >= ? and due_ns < ?",
                               (stage, s["measure_from_ns"], s["end_ns"]))
            return [row[0] for row in found]

    def test_the_flat_keys_of_vllm(self):
        flat = json.loads(self.export("vllm", "--stage", "0"))
        stage = self.summary["stages"][0]
        ttft = self.measured("first_token_ns - due_ns")
        self.assertEqual(flat["completed"], len(ttft))
        self.assertEqual(flat["num_prompts"], stage["requests"])
        self.assertEqual(flat["failed"], stage["requests"] - stage["completed"])
        self.assertEqual(flat["total_input_tokens"], sum(self.measured("prompt_tokens")))
        self.assertEqual(flat["total_output_tokens"], sum(self.measured("output_tokens")))
        self.assertAlmostEqual(flat["request_throughput"], len(ttft) / flat["duration"])
        self.assertAlmostEqual(flat["mean_ttft_ms"], sum(ttft) / len(ttft) / 1e6, places=3)
        e2e = self.measured("last_token_ns - due_ns")
        for q, name in ((0.5, "median"), (0.9, "p90"), (0.99, "p99")):
            for values, metric in ((ttft, "ttft"), (e2e, "e2el")):
                exact = percentile(values, q) / 1e6
                self.assertAlmostEqual(flat[f"{name}_{metric}_ms"] / exact, 1, delta=0.0011)
        mean = sum(e2e) / len(e2e)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in e2e) / len(e2e)) / 1e6
        self.assertAlmostEqual(flat["std_e2el_ms"] / deviation, 1, delta=0.002)
        for statistic in ("mean", "median", "std", "p25", "p50", "p75", "p90", "p95", "p99"):
            for metric in ("ttft", "tpot", "itl", "e2el"):
                self.assertIsInstance(flat[f"{statistic}_{metric}_ms"], (int, float))

    def test_the_stage_must_be_said_where_there_are_several(self):
        done = run("report", self.made, "--export", "vllm")
        self.assertEqual(done.returncode, 2)
        self.assertIn("vllm has room for one stage, and the run has 2; say which by --stage: 0 'hold 12/s', 1 'hold 20/s'", done.stderr)
        done = run("report", self.made, "--export", "vllm", "--stage", "7")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no stage '7'; the run has: 0 'hold 12/s'", done.stderr)
        self.assertEqual(json.loads(self.export("vllm", "--stage", "hold 20/s"))["dsbench"]["stage"], "hold 20/s")

    def test_llm_d_report(self):
        report = json.loads(self.export("llm-d", "--stage", "1"))
        # What the schema of version 0.2 requires, and nothing that it does not know (it forbids the rest).
        self.assertEqual(set(report), {"version", "run", "scenario", "results"})
        self.assertEqual(report["version"], "0.2")
        self.assertLessEqual(set(report["run"]), {"uid", "eid", "cid", "pid", "time", "user", "description", "keywords"})
        self.assertRegex(report["run"]["time"]["duration"], r"^PT[0-9.]+S$")
        load = report["scenario"]["load"]
        self.assertEqual(set(load), {"metadata", "standardized", "native"})
        self.assertLessEqual({"tool", "tool_version", "source", "input_seq_len"}, set(load["standardized"]))
        self.assertLessEqual(set(load["standardized"]), {"tool", "tool_version", "parallelism", "source", "stage", "input_seq_len",
                                                         "output_seq_len", "prefix", "multi_turn", "rate_qps", "concurrency"})
        self.assertIn(load["standardized"]["source"], ("random", "sampled", "unknown"))
        aggregate = report["results"]["request_performance"]["aggregate"]
        stage = self.summary["stages"][1]
        self.assertEqual(aggregate["requests"]["total"], stage["requests"])
        units = {"time_to_first_token": "s", "request_latency": "s", "time_per_output_token": "s/token",
                 "inter_token_latency": "s/token", "normalized_time_per_output_token": "s/token"}
        self.assertEqual(set(aggregate["latency"]), set(units))
        for name, statistics in aggregate["latency"].items():
            self.assertEqual(statistics["units"], units[name])
            self.assertEqual(set(statistics), {"units", "mean", "stddev", "min", "p0p1", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95",
                                               "p99", "p99p9", "max"})
            ordered = [statistics[p] for p in ("min", "p0p1", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p99p9")]
            self.assertEqual(ordered, sorted(ordered))
        self.assertAlmostEqual(aggregate["throughput"]["request_rate"]["mean"], stage["completed_rate_rps"])
        self.assertEqual(aggregate["throughput"]["output_token_rate"]["units"], "tokens/s")
        ttft = percentile(self.measured("first_token_ns - due_ns", 1), 0.95) / 1e9
        self.assertAlmostEqual(aggregate["latency"]["time_to_first_token"]["p95"] / ttft, 1, delta=0.0011)

    def test_prometheus_text(self):
        text = self.export("prometheus")
        samples, types = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.assertNotIn(name, types)
                types[name] = kind
                continue
            if line.startswith("# HELP "):
                continue
            found = re.fullmatch(r'([a-z0-9_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)', line)
            self.assertIsNotNone(found, line)
            key = found.group(1, 2)
            self.assertNotIn(key, samples)
            samples[key] = float(found.group(3))
        stage = self.summary["stages"][0]
        self.assertEqual(samples["dsbench_requests_total", 'stage="hold 12/s",index="0"'], stage["requests"])
        for metric in ("ttft", "e2e", "itl", "send_lag", "read_lag"):
            self.assertEqual(types[f"dsbench_{metric}_seconds"], "histogram")
            for index, s in enumerate(self.summary["stages"]):
                of = f'stage="{s["name"]}",index="{index}"'
                buckets = [value for (name, labels), value in samples.items()
                           if name == f"dsbench_{metric}_seconds_bucket" and labels.startswith(of)]
                self.assertEqual(buckets, sorted(buckets))
                self.assertEqual(buckets[-1], samples[f"dsbench_{metric}_seconds_count", of])
                self.assertEqual(buckets[-1], s[metric]["count"])
                self.assertAlmostEqual(samples[f"dsbench_{metric}_seconds_sum", of], s[metric]["mean_ns"] * s[metric]["count"] / 1e9, places=6)
        e2e = [x / 1e9 for x in self.measured("last_token_ns - due_ns")]
        # A bound lies inside of a counter: what is counted below it is right to a part in a thousand of the value.
        self.assertLessEqual(samples["dsbench_e2e_seconds_bucket", 'stage="hold 12/s",index="0",le="1"'], sum(x <= 1 for x in e2e))
        self.assertGreaterEqual(samples["dsbench_e2e_seconds_bucket", 'stage="hold 12/s",index="0",le="1"'], sum(x <= 0.998 for x in e2e))

    def test_otlp_exponential_histograms(self):
        document = json.loads(self.export("otel"))
        metrics = {m["name"]: m for m in document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
        points = metrics["dsbench.requests"]["sum"]["dataPoints"]
        self.assertEqual([int(p["asInt"]) for p in points], [s["requests"] for s in self.summary["stages"]])
        point = metrics["dsbench.ttft"]["exponentialHistogram"]["dataPoints"][0]
        counts = [int(n) for n in point["positive"]["bucketCounts"]]
        self.assertEqual(sum(counts) + int(point["zeroCount"]), int(point["count"]))
        base = 2 ** (2 ** -point["scale"])
        ttft = [x / 1e9 for x in self.measured("first_token_ns - due_ns")]
        self.assertEqual(int(point["count"]), len(ttft))
        for q in (0.1, 0.5, 0.9, 0.99):
            rank, seen = math.ceil(q * len(ttft)), int(point["zeroCount"])
            for i, n in enumerate(counts):
                seen += n
                if seen >= rank:
                    low = base ** (point["positive"]["offset"] + i)
                    break
            # Inside of its bucket, which is 0.27 % wide, and of a counter, which is 0.1 % wide.
            self.assertGreater(percentile(ttft, q), low * 0.999)
            self.assertLess(percentile(ttft, q), low * base * 1.001)
        self.assertLess(int(point["startTimeUnixNano"]), int(point["timeUnixNano"]))

    def by_their_library(self, library, script, text):
        if not VENV.exists() or subprocess.run([VENV, "-c", f"import {library}"], capture_output=True).returncode != 0:
            self.skipTest(f"PyPI's reader ({library}) is not in build/test-venv; scripts/setup --test installs it")
        done = subprocess.run([VENV, "-c", script], input=text, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_prometheus_own_parser_reads_our_text(self):
        script = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
print(json.dumps({f.name: [f.type, [[s.name, s.labels, s.value] for s in f.samples]] for f in text_string_to_metric_families(sys.stdin.read())}))
"""
        families = self.by_their_library("prometheus_client.parser", script, self.export("prometheus"))
        kind, samples = families["dsbench_requests"]
        self.assertEqual(kind, "counter")
        self.assertEqual([s[2] for s in samples if s[0] == "dsbench_requests_total"], [s["requests"] for s in self.summary["stages"]])
        kind, samples = families["dsbench_ttft_seconds"]
        self.assertEqual(kind, "histogram")
        self.assertEqual([s[2] for s in samples if s[0].endswith("_count")], [s["ttft"]["count"] for s in self.summary["stages"]])
        self.assertEqual(len([s for s in samples if s[1].get("le") == "+Inf"]), len(self.summary["stages"]))

    def test_opentelemetrys_own_messages_take_our_json(self):
        # Parsing is strict: a field that the protocol does not have is an error.
        script = """
import json, sys
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
request = Parse(sys.stdin.read(), ExportMetricsServiceRequest())
metrics = {m.name: m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics}
ttft = metrics["dsbench.ttft"].exponential_histogram
print(json.dumps({"requests": [p.as_int for p in metrics["dsbench.requests"].sum.data_points],
                  "count": [p.count for p in ttft.data_points], "buckets": [sum(p.positive.bucket_counts) + p.zero_count for p in ttft.data_points],
                  "temporality": ttft.aggregation_temporality, "unit": metrics["dsbench.ttft"].unit,
                  "times": all(p.start_time_unix_nano < p.time_unix_nano for p in ttft.data_points), "bytes": len(request.SerializeToString())}))
"""
        read = self.by_their_library("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", script, self.export("otel"))
        self.assertEqual(read["requests"], [s["requests"] for s in self.summary["stages"]])
        self.assertEqual(read["count"], [s["ttft"]["count"] for s in self.summary["stages"]])
        self.assertEqual(read["buckets"], read["count"])
        self.assertEqual((read["temporality"], read["unit"], read["times"]), (1, "s", True))
        self.assertGreater(read["bytes"], 1000)

    def test_mlflow_batch(self):
        batch = json.loads(self.export("mlflow"))
        self.assertEqual(set(batch), {"metrics", "params", "tags"})
        for metric in batch["metrics"]:
            self.assertEqual(set(metric), {"key", "value", "timestamp", "step"})
            self.assertRegex(metric["key"], r"^[\w\-. /]+$")
        good = {m["step"]: m["value"] for m in batch["metrics"] if m["key"] == "good_rps"}
        self.assertEqual(good, {i: s["good_rate_rps"] for i, s in enumerate(self.summary["stages"])})
        keys = [(m["key"], m["step"]) for m in batch["metrics"]]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertLessEqual(len(batch["metrics"]), 1000)  # what one call of log-batch takes

    def test_hdrhistograms_own_reader_reads_our_log(self):
        if not VENV.exists() or subprocess.run([VENV, "-c", "import hdrh"], capture_output=True).returncode != 0:
            self.skipTest("PyPI's hdrhistogram is not in build/test-venv; scripts/setup --test installs it")
        log = self.folder / "latency.hlog"
        self.assertEqual(self.export("hlog", "--out", log), "")
        self.assertEqual(log.read_bytes(), (self.made / "latency.hlog").read_bytes())
        # Their reader wants values within its own range, in its own units; ours are nanoseconds up to an hour.
        script = """
import json, sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
sums = {}
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 3600 * 10**9, 3))
while True:
    interval = reader.get_next_interval_histogram()
    if interval is None:
        break
    tag = interval.get_tag()
    sums.setdefault(tag, HdrHistogram(1, 3600 * 10**9, 3)).add(interval)
print(json.dumps({tag: [h.get_total_count(), [h.get_value_at_percentile(p) for p in (50, 90, 99)], h.get_max_value()] for tag, h in sums.items()}))
"""
        done = subprocess.run([VENV, "-c", script, log], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        sums = json.loads(done.stdout)
        for stage, name in ((0, "0-hold-12-s"), (1, "1-hold-20-s")):
            for metric, expression in (("ttft", "first_token_ns - due_ns"), ("e2e", "last_token_ns - due_ns")):
                count, quantiles, most = sums[f"{metric};{name}"]
                exact = self.measured(expression, stage)
                self.assertEqual(count, len(exact))
                for q, found in zip((0.5, 0.9, 0.99), quantiles):
                    # Their rank is rounded to the nearest, ours upwards: one sample more or less.
                    near = sorted(exact)[math.ceil(q * len(exact)) - 2:math.ceil(q * len(exact)) + 1]
                    self.assertGreater(found, near[0] * 0.9989)
                    self.assertLess(found, near[-1] * 1.0011)
                self.assertAlmostEqual(most / max(exact), 1, delta=0.0011)

    def test_what_cannot_be_exported(self):
        done = run("report", self.made, "--export", "csv")
        self.assertEqual(done.returncode, 2)
        self.assertIn("prometheus", done.stderr)
        done = run("report", self.made, "--stage", "1", "--format", "text")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--stage has no effect without --export", done.stderr)
        done = run("report", self.made, self.made, "--export", "otel")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--export takes one run, and 2 were given", done.stderr)
        alone = self.folder / "alone"
        alone.mkdir()
        (alone / "run.json").write_bytes((self.made / "run.json").read_bytes())
        done = run("report", alone, "--export", "otel")
        self.assertEqual(done.returncode, 2)
        self.assertIn("latency.hlog' is not there; what is exported comes from it", done.stderr)

    def test_what_we_write_as_vllm_we_read_as_vllm(self):
        file = self.folder / "vllm.json"
        self.export("vllm", "--stage", "0", "--out", file)
        again = json.loads(run("report", file, "--format", "json").stdout)["stages"][0]
        stage = self.summary["stages"][0]
        for key in ("requests", "completed", "good", "output_tokens"):
            self.assertEqual(again[key], stage[key], key)
        for metric in ("ttft", "tpot", "e2e"):
            ours = {p["q"]: p["value_ns"] for p in stage[metric]["percentiles"]}
            for p in again[metric]["percentiles"]:
                if p["value_ns"] is not None and ours[p["q"]] is not None:
                    self.assertLessEqual(abs(p["value_ns"] - ours[p["q"]]), 1000, (metric, p))


VLLM = {"date": "20261122-101500", "backend": "vllm", "model_id": "org/model", "tokenizer_id": "org/model", "num_prompts": 1000, "request_rate": 8.0,
        "burstiness": 1.0, "max_concurrency": None, "duration": 125.0, "completed": 990, "failed": 10, "total_input_tokens": 512000,
        "total_output_tokens": 126720, "request_throughput": 7.92, "request_goodput": 7.2, "output_throughput": 1013.76, "total_token_throughput": 5109.76,
        "mean_ttft_ms": 120.5, "median_ttft_ms": 100.25, "std_ttft_ms": 60.0, "p99_ttft_ms": 480.0, "mean_tpot_ms": 14.0, "median_tpot_ms": 13.5,
        "std_tpot_ms": 2.0, "p99_tpot_ms": 22.0, "mean_itl_ms": 14.1, "median_itl_ms": 12.0, "std_itl_ms": 5.0, "p99_itl_ms": 40.0,
        "mean_e2el_ms": 1900.0, "median_e2el_ms": 1800.0, "std_e2el_ms": 300.0, "p99_e2el_ms": 3200.0}


class Import(TestCase):
    def read(self, document, name="result.json"):
        file = self.folder / name
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        done = run("report", file, "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    @staticmethod
    def percentiles(latency):
        return {p["q"]: p["value_ns"] for p in latency["percentiles"]}

    def test_vllm(self):
        read = self.read(VLLM)
        stage = read["stages"][0]
        self.assertEqual(read["kind"], "imported")
        self.assertEqual(read["target"], "vllm bench serve")
        self.assertEqual(read["verdict"], "MEASURED")
        self.assertIn("whether its generator was fit to measure is not known", read["sentence"])
        self.assertEqual((stage["name"], stage["requests"], stage["completed"], stage["good"]), ("8/s", 1000, 990, 900))
        self.assertEqual(stage["output_tokens"], 126720)
        self.assertAlmostEqual(stage["completed_rate_rps"], 7.92)
        self.assertEqual(self.percentiles(stage["ttft"]), {0.5: 100250000, 0.99: 480000000, 0.999: None})
        self.assertEqual(stage["ttft"]["mean_ns"], 120500000)
        self.assertEqual(self.percentiles(stage["e2e"])[0.99], 3200000000)
        self.assertEqual(stage["send_lag"]["count"], 0)
        self.assertIn("counts latencies from when a request was sent", read["warnings"][0])

    def test_a_percentile_needs_its_samples_whoever_measured(self):
        read = self.read(dict(VLLM, completed=100, num_prompts=100, failed=0, total_output_tokens=12672))
        self.assertIsNone(self.percentiles(read["stages"][0]["ttft"])[0.99])
        text = run("report", self.folder / "result.json", "--format", "text").stdout
        self.assertIn("n/a (needs 662)", text)

    def test_sglang_lines_are_stages(self):
        line = {"backend": "sglang", "dataset_name": "sharegpt", "request_rate": 5.0, "max_concurrency": 256, "duration": 200.0, "completed": 1000,
                "total_input_tokens": 302118, "total_output_tokens": 195775, "request_throughput": 5.0, "output_throughput": 978.9,
                "mean_e2e_latency_ms": 2409.5, "median_e2e_latency_ms": 1537.9, "p99_e2e_latency_ms": 9813.9, "mean_ttft_ms": 91.7,
                "median_ttft_ms": 76.4, "p99_ttft_ms": 327.9, "mean_tpot_ms": 11.8, "median_tpot_ms": 11.8, "p99_tpot_ms": 19.0,
                "mean_itl_ms": 11.9, "median_itl_ms": 10.7, "p95_itl_ms": 18.8, "p99_itl_ms": 21.5, "accept_length": None}
        read = self.read(json.dumps(line) + "\n" + json.dumps(dict(line, request_rate=10.0, duration=100.0)) + "\n", "r.jsonl")
        self.assertEqual([s["name"] for s in read["stages"]], ["5/s", "10/s"])
        self.assertEqual(read["stages"][1]["completed_rate_rps"], 10)
        self.assertEqual(self.percentiles(read["stages"][0]["e2e"])[0.5], 1537900000)
        self.assertEqual(self.percentiles(read["stages"][0]["itl"])[0.95], 18800000)
        self.assertEqual(read["requests"], 2000)

    def test_aiperf(self):
        def metric(unit, **values):
            return dict({"unit": unit}, **values)
        latency = dict(avg=100.0, min=50.0, max=900.0, p1=51.0, p50=90.0, p90=150.0, p95=180.0, p99=400.0, std=30.0)
        read = self.read({"schema_version": "1.5", "aiperf_version": "0.6.0", "input_config": {}, "was_cancelled": False,
                          "request_throughput": metric("requests/sec", avg=20.0), "request_count": metric("requests", avg=2000.0),
                          "error_request_count": metric("requests", avg=5.0), "benchmark_duration": metric("sec", avg=100.0),
                          "time_to_first_token": metric("ms", **latency), "inter_token_latency": metric("ms", **latency),
                          "inter_chunk_latency": metric("ms", **latency), "request_latency": metric("ms", **latency),
                          "output_sequence_length": metric("tokens", avg=100.0, sum=200000.0)})
        stage = read["stages"][0]
        self.assertEqual(read["target"], "AIPerf 0.6.0")
        self.assertEqual((stage["requests"], stage["completed"], stage["output_tokens"]), (2005, 2000, 200000))
        self.assertEqual(self.percentiles(stage["ttft"]), {0.5: 90000000, 0.9: 150000000, 0.95: 180000000, 0.99: 400000000, 0.999: None})
        self.assertEqual((stage["ttft"]["min_ns"], stage["ttft"]["max_ns"]), (50000000, 900000000))
        self.assertAlmostEqual(stage["completed_rate_rps"], 20)

    def test_guidellm_benchmarks_are_stages(self):
        def benchmark(kind, rate, successful):
            spread = {"mean": 100.0, "median": 95.0, "min": 40.0, "max": 700.0, "count": successful,
                      "percentiles": {"p50": 95.0, "p90": 140.0, "p95": 170.0, "p99": 380.0, "p999": 600.0}}
            seconds = dict(spread, mean=2.0, median=1.9, percentiles={"p99": 5.0})
            return {"config": {"strategy": {"type_": kind, "rate": rate}}, "duration": 60.0, "start_time": 1.0, "end_time": 61.0,
                    "metrics": {"request_totals": {"successful": successful, "errored": 4, "incomplete": 2, "total": successful + 6},
                                "time_to_first_token_ms": {"successful": spread, "errored": {}}, "inter_token_latency_ms": {"successful": spread},
                                "time_per_output_token_ms": {"successful": spread}, "request_latency": {"successful": seconds},
                                "output_token_count": {"successful": {"total_sum": 5000.0}}}}
        read = self.read({"metadata": {"guidellm_version": "0.7.0"}, "benchmarks": [benchmark("constant", 12.0, 720), benchmark("throughput", None, 900)]})
        self.assertEqual([s["name"] for s in read["stages"]], ["constant 12/s", "throughput"])
        stage = read["stages"][0]
        self.assertEqual((stage["requests"], stage["completed"], stage["output_tokens"]), (726, 720, 5000))
        self.assertEqual(self.percentiles(stage["e2e"])[0.99], 5000000000)
        self.assertEqual(self.percentiles(stage["tpot"])[0.5], 95000000)
        self.assertEqual(stage["itl"]["count"], 0)  # the file has none
        self.assertEqual(read["stages"][1]["start_ns"], 60000000000)

    # What the tools themselves wrote of `dsbench serve --executor fixed --ttft 50ms --itl 5ms`, less GuideLLM's list of requests.
    REAL = pathlib.Path(__file__).resolve().parents[1] / "fixtures/interop"

    def real(self, name):
        done = run("report", self.REAL / name, "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def is_near(self, stage, ttft, tpot, e2e):
        for metric, wanted in (("ttft", ttft), ("tpot", tpot), ("e2e_service", e2e)):
            self.assertAlmostEqual(self.percentiles(stage[metric])[0.5] / 1e6, wanted, delta=0.01, msg=metric)

    def test_what_guidellm_really_writes(self):
        read = self.real("guidellm-0.8.1.json")
        self.assertEqual(read["target"], "GuideLLM 0.8.1")
        self.assertEqual([s["name"] for s in read["stages"]], ["constant 8/s", "constant 16/s"])
        stage = read["stages"][0]
        self.assertEqual((stage["requests"], stage["completed"], stage["output_tokens"]), (95, 95, 1520))
        self.is_near(stage, 67.35, 4.84, 141.88)
        # It tells when a request should have left, too.
        self.assertGreater(stage["send_lag"]["mean_ns"], 0)
        self.assertGreaterEqual(self.percentiles(stage["e2e"])[0.5], self.percentiles(stage["e2e_service"])[0.5])
        self.assertIn("tells E2E from when a request should have left", read["warnings"][0])

    def test_what_aiperf_really_writes(self):
        read = self.real("aiperf-0.13.0.json")
        self.assertEqual(read["target"], "AIPerf 0.13.0")
        stage = read["stages"][0]
        self.assertEqual((stage["requests"], stage["completed"], stage["output_tokens"], stage["planned_rps"]), (150, 150, 2100, 12))
        self.is_near(stage, 51.46, 5.75, 126.23)
        self.assertAlmostEqual(self.percentiles(stage["e2e"])[0.5] / 1e6, 127.81, delta=0.01)
        self.assertAlmostEqual(self.percentiles(stage["send_lag"])[0.5] / 1e6, 1.50, delta=0.01)
        self.assertEqual(stage["itl"]["count"], 2250)
        self.assertEqual(read["ended"], "complete")

    def test_what_sglang_really_writes(self):
        read = self.real("sglang-0.5.23.jsonl")
        stage = read["stages"][0]
        self.assertEqual((stage["name"], stage["requests"], stage["completed"], stage["output_tokens"]), ("12/s", 100, 100, 904))
        self.is_near(stage, 52.07, 5.00, 92.03)
        self.assertEqual(stage["send_lag"]["count"], 0)

    def test_vllm_appends_lines_and_tells_its_own_queue(self):
        queued = dict(VLLM, mean_client_queue_time_ms=4.0, median_client_queue_time_ms=3.0, p99_client_queue_time_ms=9.0,
                      mean_e2el_including_client_queue_ms=1904.0, median_e2el_including_client_queue_ms=1803.0, p99_e2el_including_client_queue_ms=3210.0)
        read = self.read(json.dumps(queued) + "\n" + json.dumps(dict(queued, request_rate="inf", max_concurrency=16)) + "\n")
        self.assertEqual([s["name"] for s in read["stages"]], ["8/s", "16 at once"])
        stage = read["stages"][0]
        self.assertEqual(self.percentiles(stage["e2e"])[0.99], 3210000000)
        self.assertEqual(self.percentiles(stage["e2e_service"])[0.99], 3200000000)
        self.assertEqual(self.percentiles(stage["send_lag"])[0.5], 3000000)

    def test_a_page_with_theirs_and_ours(self):
        self.read(VLLM)
        done = run("load", "--target", "sim:laptop", "--traffic", "hold(8/s,20s)", "--quiet", "--out", self.folder / "ours")
        self.assertEqual(done.returncode, 0, done.stderr)
        page = self.folder / "both.html"
        done = run("report", self.folder / "result.json", self.folder / "ours", "--out", page)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("vllm bench serve", page.read_text())
        self.assertIn("its file does not say whether they left on time", page.read_text())
        for form in ("markdown", "text"):
            done = run("report", self.folder / "result.json", "--format", form)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("480 ms", done.stdout)
            self.assertNotIn("nan", done.stdout)
        done = run("report", self.folder / "result.json")
        self.assertEqual(done.returncode, 2)
        self.assertIn("say where to write the report with --out", done.stderr)

    def test_what_is_none_of_them_is_refused_with_what_would_be(self):
        for content, said in (("{\"a\": 1, \"b\": 2}", "its keys are a, b"), ("hello", "it is no JSON"), ("[1]", "it is no JSON object"),
                              ("", "it is no JSON"), ('{"benchmarks": []}', "its keys are benchmarks"), ('{"a": 1}\n{"b": 2}', "it is no JSON")):
            file = self.folder / "x.json"
            file.write_text(content)
            done = run("report", file, "--format", "text")
            self.assertEqual(done.returncode, 2, content)
            self.assertIn("is no result that is known here", done.stderr)
            self.assertIn(said, done.stderr)
            self.assertIn("accepted: run.json of dsbench, the JSON of vllm bench serve", done.stderr)

    def test_damaged_files_do_no_harm(self):
        for damage in ({"duration": "x"}, {"completed": -5}, {"mean_ttft_ms": None}, {"request_throughput": []}, {"duration": 0}, {"p99_ttft_ms": 1e300},
                       {"errors": [1, None, "e"]}, {"completed": 1e30}):
            file = self.folder / "damaged.json"
            file.write_text(json.dumps(dict(VLLM, **damage)))
            done = run("report", file, "--format", "json")
            self.assertIn(done.returncode, (0, 2), (damage, done.stderr))
            self.assertNotIn("internal error", done.stderr)


if __name__ == "__main__":
    unittest.main()
