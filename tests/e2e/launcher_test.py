"""What `dsbench load --print-launcher` prints: scripts that a shell reads, and a manifest that Kubernetes' API would take, whose
command does what it should when it is run here."""

import json
import os
import pathlib
import re
import socket
import subprocess
import unittest

from support import BINARY, Server, TestCase, run, run_json

VENV = pathlib.Path(__file__).resolve().parents[2] / "build/test-venv/bin/python"
URL = ("--target", "http://127.0.0.1:8000", "--traffic", "hold(40/s,1s)")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123 label

# What of the API objects is used here: field → type, "!" where it is required. A field that is not listed is refused, as the API
# server's strict validation does.
QUANTITY = re.compile(r"[0-9]+(m|Ki|Mi|Gi)?")
SCHEMAS = {
    "v1/Service": {"apiVersion!": str, "kind!": str, "metadata!": {"name!": NAME}, "spec!": {
        "clusterIP!": str, "publishNotReadyAddresses": bool, "selector!": {"job-name!": str}, "ports!": [{"name": NAME, "port!": int}]}},
    "batch/v1/Job": {"apiVersion!": str, "kind!": str, "metadata!": {"name!": NAME}, "spec!": {
        "completionMode": ("Indexed", "NonIndexed"), "completions": int, "parallelism": int, "backoffLimit": int,
        "template!": {"metadata": {"labels": {"app": str}}, "spec!": {
            "restartPolicy!": ("Never", "OnFailure"), "subdomain": NAME,
            "topologySpreadConstraints": [{"maxSkew!": int, "topologyKey!": str, "whenUnsatisfiable!": ("ScheduleAnyway", "DoNotSchedule"),
                                           "labelSelector": {"matchLabels": {"app": str}}}],
            "containers!": [{"name!": NAME, "image!": str, "command": [str], "args": [str],
                             "resources": {"requests": {"cpu": QUANTITY, "memory": QUANTITY}},
                             "volumeMounts": [{"name!": NAME, "mountPath!": str}]}],
            "volumes": [{"name!": NAME, "persistentVolumeClaim": {"claimName!": NAME}}]}}}},
}


def complaints(value, schema, at="$"):
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{at}: an object was expected"]
        known = {key.rstrip("!"): (key.endswith("!"), inner) for key, inner in schema.items()}
        found = [f"{at}.{key}: unknown field" for key in value if key not in known]
        for key, (required, inner) in known.items():
            if key in value:
                found += complaints(value[key], inner, f"{at}.{key}")
            elif required:
                found.append(f"{at}.{key}: required")
        return found
    if isinstance(schema, list):
        if not isinstance(value, list) or not value:
            return [f"{at}: a list was expected"]
        return [c for i, item in enumerate(value) for c in complaints(item, schema[0], f"{at}[{i}]")]
    if isinstance(schema, tuple):
        return [] if value in schema else [f"{at}: {value!r} is none of {schema}"]
    if isinstance(schema, re.Pattern):
        return [] if isinstance(value, str) and schema.fullmatch(value) else [f"{at}: {value!r} does not match {schema.pattern}"]
    return [] if type(value) is schema else [f"{at}: {value!r} is no {schema.__name__}"]


class Launcher(TestCase):
    def printed(self, kind, workers=4, *arguments):
        done = run("load", *URL, *arguments, "--print-launcher", kind, "--workers", workers)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def manifest(self, *arguments):
        if not VENV.exists():
            self.skipTest("there is no build/test-venv with PyYAML; scripts/setup --test makes it")
        text = self.printed("k8s", 4, *arguments)
        done = subprocess.run([VENV, "-c", "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))"],
                              input=text, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_the_check_itself_finds_what_is_wrong(self):
        job = SCHEMAS["batch/v1/Job"]
        self.assertIn("$.spec: required", complaints({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}}, job))
        self.assertIn("$.spec.backoffLimit: '0' is no int", complaints({"spec": {"backoffLimit": "0", "template": {}}}, job))
        self.assertIn("$.spec.completion: unknown field", complaints({"spec": {"completion": 1}}, job))
        self.assertTrue(any("'Dsbench' does not match" in c for c in complaints({"metadata": {"name": "Dsbench"}}, job)))

    def test_the_manifest_is_one_that_the_api_takes(self):
        service, job = self.manifest("--require", "p95 ttft < 2s", "--workload", "it's: \"mine\" # ${x}")
        self.assertEqual(complaints(service, SCHEMAS["v1/Service"]), [])
        self.assertEqual(complaints(job, SCHEMAS["batch/v1/Job"]), [])
        self.assertEqual((service["apiVersion"], service["kind"], service["spec"]["clusterIP"]), ("v1", "Service", "None"))
        self.assertEqual((job["apiVersion"], job["kind"]), ("batch/v1", "Job"))
        spec, pod = job["spec"], job["spec"]["template"]["spec"]
        self.assertEqual((spec["completionMode"], spec["completions"], spec["parallelism"], spec["backoffLimit"]), ("Indexed", 4, 4, 0))
        # Pods of an Indexed Job are named JOB-INDEX.SUBDOMAIN when the subdomain is that of a headless service that selects them.
        self.assertEqual(pod["subdomain"], service["metadata"]["name"])
        self.assertEqual(service["spec"]["selector"]["job-name"], job["metadata"]["name"])
        arguments = pod["containers"][0]["args"]
        self.assertEqual(arguments[arguments.index("--rendezvous") + 1], f"{job['metadata']['name']}-0.{pod['subdomain']}:{service['spec']['ports'][0]['port']}")
        self.assertEqual(arguments[arguments.index("--workers") + 1], "4")
        # Whatever a flag's text holds comes through.
        self.assertEqual(arguments[arguments.index("--workload") + 1], "it's: \"mine\" # ${x}")
        mounts = {m["name"] for m in pod["containers"][0]["volumeMounts"]}
        self.assertEqual(mounts, {v["name"] for v in pod["volumes"]})

    def test_kubernetes_own_schema_takes_the_manifest(self):
        if not VENV.exists() or subprocess.run([VENV, "-c", "import kubernetes_validate"], capture_output=True).returncode != 0:
            self.skipTest("PyPI's kubernetes-validate, which carries the schemas, is not in build/test-venv; scripts/setup --test installs it")
        script = """
import json, sys, kubernetes_validate as k
found = []
for document in json.load(sys.stdin):
    try:
        found.append(k.validate(document, k.latest_version(), strict=True))
    except k.ValidationError as e:
        found.append("error: " + e.message)
print(json.dumps(found))
"""
        service, job = self.manifest("--require", "p95 ttft < 2s", "--workload", "it's: \"mine\" # ${x}")
        broken = json.loads(json.dumps(job))
        broken["spec"]["completionsMode"] = broken["spec"].pop("completionMode")
        done = subprocess.run([VENV, "-c", script], input=json.dumps([service, job, broken]), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        took_service, took_job, took_broken = json.loads(done.stdout)
        self.assertRegex(took_service, r"^1\.\d+")
        self.assertEqual(took_job, took_service)
        self.assertIn("error:", took_broken)
        self.assertIn("completionsMode", took_broken)

    def test_the_manifests_command_does_its_work(self):
        _, job = self.manifest("--workload", "fixed-tiny", "--slo", "tiny")
        container = job["spec"]["template"]["spec"]["containers"][0]
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        with Server() as server:
            replaced = {"dsbench": BINARY, "http://127.0.0.1:8000": server.url, "/results/run": str(self.folder / "run"),
                        "dsbench-0.dsbench:7117": f"127.0.0.1:{port}"}
            command = container["command"] + [replaced.get(a, a) for a in container["args"]]
            self.assertEqual(sum(a in replaced for a in container["args"]), len(replaced))
            pods = [subprocess.Popen(command, env=dict(os.environ, JOB_COMPLETION_INDEX=str(i)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                     text=True) for i in range(4)]
            said = [p.communicate(timeout=90)[1] for p in pods]
            self.assertEqual([p.returncode for p in pods], [0] * 4, said)
        merged = run("merge", self.folder / "run", "--out", self.folder / "run" / "merged", "--quiet")
        self.assertIn(merged.returncode, (0, 7), merged.stderr)
        self.assertEqual(len(run_json(self.folder / "run" / "merged")["workers"]), 4)

    def test_the_scripts_are_scripts(self):
        for kind in ("slurm", "mpi"):
            text = self.printed(kind, 8, "--require", "p95 ttft < 2s", "--worker", "1/3", "--out", "elsewhere", "--start-at=2020-01-01T00:00:00Z")
            checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
            self.assertEqual(checked.returncode, 0, checked.stderr)
            self.assertIn("'p95 ttft < 2s'", text)
            self.assertIn("--worker auto", text)
            for gone in ("1/3", "elsewhere", "2020-01-01", "--print-launcher"):
                self.assertNotIn(gone, text)
        slurm = self.printed("slurm", 8)
        self.assertIn("#SBATCH --ntasks=8", slurm)
        self.assertIn("143", slurm)  # the trap of srun -K is said where somebody would add it

    def test_what_cannot_be_launched(self):
        done = run("load", *URL, "--print-launcher", "slurm")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--print-launcher needs --workers N", done.stderr)
        done = run("load", "--print-launcher", "slurm", "--workers", "2")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--target embedded with 2 workers", done.stderr)
        done = run("load", *URL, "--print-launcher", "nomad", "--workers", "2")
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
