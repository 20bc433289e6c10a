"""Four Slurm nodes on this machine: one load sent by four tasks, merged, and held against the plan of one process; the same
by mpirun. Skips, and says why, where scripts/setup --slurm has not been run."""

import getpass
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from support import BINARY, Server, TestCase, run, run_json

NODES = 4


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def missing(*programs):
    """Which of these are not installed; /usr/sbin is not in everybody's PATH."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [p for p in programs if shutil.which(p, path=path) is None]


def program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Slurm:
    """A cluster of four nodes that are all this machine, in a folder of its own, without root's or the system's files."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.processes = []
        ports = free_ports(NODES + 1)
        host = socket.gethostname().split(".")[0]
        user = getpass.getuser()
        (self.folder / "state").mkdir(parents=True)
        for i in range(NODES):
            (self.folder / f"spool-n{i + 1}").mkdir()
        cgroup = "cgroup/v2" if pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists() else "cgroup/v1"
        (self.folder / "cgroup.conf").write_text(f"CgroupPlugin={cgroup}\nIgnoreSystemd=yes\n")
        nodes = "\n".join(f"NodeName=n{i + 1} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[i]} CPUs=1" for i in range(NODES))
        self.config = self.folder / "slurm.conf"
        self.config.write_text(f"""
ClusterName=dsbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[NODES]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
SchedulerType=sched/builtin
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool-%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd-%n.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd-%n.log
{nodes}
PartitionName=all Nodes=ALL Default=YES State=UP
""")
        self.environment = dict(os.environ, SLURM_CONF=str(self.config))

    def start(self):
        self.spawn("slurmctld", "-D")
        for i in range(NODES):
            self.spawn("slurmd", "-D", "-N", f"n{i + 1}")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            seen = self.run("sinfo", "-h", "-o", "%T %D")
            if seen.stdout.strip() == f"idle {NODES}":
                return ""
            ended = [p.args[0] for p in self.processes if p.poll() is not None]
            if ended:
                break
            time.sleep(0.2)
        logs = "".join(f"\n{f.name}: " + "".join(f.read_text().splitlines(True)[-4:]) for f in sorted(self.folder.glob("*.log")))
        return "the four nodes did not come up here:" + logs

    def spawn(self, name, *arguments):
        self.processes.append(subprocess.Popen([program(name), *arguments], env=self.environment,
                                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def run(self, name, *arguments, timeout=60):
        return subprocess.run([program(name), *map(str, arguments)], env=self.environment, capture_output=True, text=True, timeout=timeout)

    def stop(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


LOAD = ("--workload", "fixed-tiny", "--slo", "tiny", "--traffic", "hold(40/s,3s)", "--seed", "3", "--quiet", "--drain", "10s")


class Launched(TestCase):
    def check_whole(self, folder, start):
        """What four workers sent is what one would have; the merge says so."""
        plan = run("load", "--dry-run", "--plan", "-", "--quiet", *LOAD)
        self.assertEqual(plan.returncode, 0, plan.stderr)
        planned = [json.loads(line) for line in plan.stdout.splitlines()]
        merged = run("merge", folder, "--out", self.folder / "merged", "--quiet")
        whole = run_json(self.folder / "merged")
        # A busy machine may make a worker late; then the run says so, and nothing else is wrong with it.
        self.assertIn(merged.returncode, (0, 7), merged.stderr)
        self.assertEqual(len(whole["workers"]), NODES)
        self.assertEqual({w["start"] for w in whole["workers"]}, {start})
        self.assertEqual(len({w["start_at_ns"] for w in whole["workers"]}), 1)
        self.assertEqual(whole["requests"], len(planned))
        self.assertEqual(whole["stages"][0]["requests"], len(planned))
        return whole


class SlurmTest(Launched):
    @classmethod
    def setUpClass(cls):
        absent = missing("slurmctld", "slurmd", "srun", "sinfo", "scontrol", "sbatch")
        if absent:
            raise unittest.SkipTest(f"Slurm is not installed ({', '.join(absent)}); scripts/setup --slurm installs it")
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="dsbench-slurm-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.slurm = Slurm(cls.home / "slurm")
        cls.addClassCleanup(cls.slurm.stop)
        why = cls.slurm.start()
        if why:
            raise unittest.SkipTest(why)
        cls.server = Server()
        cls.addClassCleanup(cls.server.__exit__)

    def test_four_tasks_are_one_load(self):
        port = free_ports(1)[0]
        done = self.slurm.run("srun", f"-N{NODES}", f"-n{NODES}", BINARY, "load", "--target", self.server.url, *LOAD, "--worker", "auto",
                              "--rendezvous", f"127.0.0.1:{port}", "--out", self.folder / "r")
        self.assertIn(done.returncode, (0, 7), done.stderr)
        whole = self.check_whole(self.folder / "r", "rendezvous")
        self.assertEqual({w["found"] for w in whole["workers"]}, {"SLURM_PROCID and SLURM_NTASKS"})
        self.assertEqual([w["index"] for w in whole["workers"]], list(range(NODES)))

    def test_the_printed_script_runs(self):
        script = self.folder / "job.sh"
        printed = run("load", "--target", self.server.url, *LOAD, "--print-launcher", "slurm", "--workers", NODES)
        self.assertEqual(printed.returncode, 0, printed.stderr)
        # These four nodes are one machine: its name leads to their loopback only by the address.
        text = printed.stdout.replace("--cpus-per-task=2", "--cpus-per-task=1")
        text = text.replace('head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)', "head=127.0.0.1")
        self.assertIn("head=127.0.0.1", text)
        text = text.replace("7117", str(free_ports(1)[0])).replace("dsbench-%j.log", f"{self.folder}/job.log")
        script.write_text(text)
        self.slurm.environment.update(DSBENCH=BINARY, DSBENCH_OUT=str(self.folder / "r"))
        done = self.slurm.run("sbatch", "--wait", script)
        log = (self.folder / "job.log").read_text()
        self.assertIn(done.returncode, (0, 7), done.stdout + done.stderr + log)
        self.assertIn("workers", log)
        self.assertEqual(len(run_json(self.folder / "r" / "merged")["workers"]), NODES)

    def test_a_killed_task_is_missing(self):
        port = free_ports(1)[0]
        # The third task ends itself in the middle of its load, as a node that dies would.
        task = ('if [ "$SLURM_PROCID" = 2 ]; then "$@" & p=$!; while [ ! -s "$0/worker-2/latency.hlog" ]; do sleep 0.1; done; '
                'sleep 1; kill -9 $p; wait $p; else "$@"; fi')
        done = self.slurm.run("srun", f"-N{NODES}", f"-n{NODES}", "bash", "-c", task, self.folder / "r", BINARY, "load", "--target", self.server.url,
                              *LOAD, "--worker", "auto", "--rendezvous", f"127.0.0.1:{port}", "--out", self.folder / "r")
        self.assertNotEqual(done.returncode, 0)
        merged = run("merge", self.folder / "r", "--out", self.folder / "m", "--quiet")
        self.assertEqual(merged.returncode, 7, merged.stderr)
        self.assertIn("worker 2 of 4 is missing", run_json(self.folder / "m")["sentence"])
        self.assertIn("worker-2' has no run.json: its worker did not come to an end", run_json(self.folder / "m")["sentence"])


class MpiTest(Launched):
    def test_mpirun_starts_one_load(self):
        if missing("mpirun"):
            self.skipTest("mpirun is not installed; scripts/setup --slurm installs Open MPI")
        with Server() as server:
            script = self.folder / "job.sh"
            script.write_text(run("load", "--target", server.url, *LOAD, "--print-launcher", "mpi", "--workers", NODES).stdout)
            environment = dict(os.environ, DSBENCH=BINARY, DSBENCH_OUT=str(self.folder / "r"), DSBENCH_LEAD="6",
                               OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                               OMPI_MCA_plm_rsh_agent="/bin/false")  # nothing is started elsewhere
            done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, timeout=90)
            self.assertIn(done.returncode, (0, 7), done.stdout + done.stderr)
            whole = self.check_whole(self.folder / "r", "--start-at")
            self.assertEqual({w["found"] for w in whole["workers"]}, {"OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE"})
            self.assertEqual(run_json(self.folder / "r" / "merged")["requests"], whole["requests"])


if __name__ == "__main__":
    signal.alarm(300)
    unittest.main()
