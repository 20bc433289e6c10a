#include "cli/launcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/version.h"
#include "results/report/words.h"

namespace dsbench::cli {
namespace {

constexpr int meeting_port = 7117;

// Flags, with a value each, that a launcher decides.
constexpr std::array<std::string_view, 7> replaced{"--print-launcher", "--workers",    "--worker", "--out",
                                                   "--start-at",       "--rendezvous", "--plan"};

constexpr std::string_view slurm_text = R"(#!/bin/bash
# {count} workers of one load, one on each node, and one run out of all of them.
#   sbatch THIS            results in dsbench-JOBID/, the merged run in dsbench-JOBID/merged
# The exit code of the job is that of the merge: the verdict (dsbench --help).
#SBATCH --job-name=dsbench
#SBATCH --ntasks={count}
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --exclusive
#SBATCH --output=dsbench-%j.log
set -u
dsbench=${{DSBENCH:-dsbench}}
out=${{DSBENCH_OUT:-$PWD/dsbench-$SLURM_JOB_ID}}   # a folder that all nodes see
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
command=({command})
command[0]=$dsbench
# Not srun -K (--kill-on-bad-exit): it would end the other workers when one has found an SLO missed, and its
# own exit code would be 143, whatever theirs was.
srun --kill-on-bad-exit=0 "${{command[@]}}" --worker auto --rendezvous "$head:{port}" --out "$out"
exec "$dsbench" merge "$out" --out "$out/merged"
)";

constexpr std::string_view mpi_text = R"(#!/bin/bash
# {count} workers of one load under any MPI launcher; dsbench itself needs no MPI.
#   DSBENCH_HOSTFILE=hosts ./THIS     one worker a node; results in dsbench-<date>/, the merged run in …/merged
# Without a host file all run here. The start is by the hosts' clocks: keep them synchronised (chrony, ntpd).
# The exit code is that of the merge: the verdict (dsbench --help).
set -u
dsbench=${{DSBENCH:-dsbench}}
out=${{DSBENCH_OUT:-$PWD/dsbench-$(date -u +%Y%m%d-%H%M%S)}}   # a folder that all nodes see
where=(--oversubscribe)
if [ -n "${{DSBENCH_HOSTFILE:-}}" ]; then where=(--hostfile "$DSBENCH_HOSTFILE" --map-by node); fi
start=$(date -u -d "+${{DSBENCH_LEAD:-20}} seconds" +%Y-%m-%dT%H:%M:%SZ)   # time for all to be ready
command=({command})
command[0]=$dsbench
# Workers that have found an SLO missed end with 3, which is no reason for mpirun to end the others.
mpirun -np {count} "${{where[@]}}" bash -c '"$@"; code=$?; case $code in 0|3|5|6|7) exit 0 ;; *) exit $code ;; esac' \
  worker "${{command[@]}}" --worker auto --start-at "$start" --out "$out"
exec "$dsbench" merge "$out" --out "$out/merged"
)";

constexpr std::string_view k8s_text =
    R"(# {count} workers of one load as an Indexed Job: no operator, no coordinator.
#   kubectl apply -f THIS && kubectl wait --for=condition=complete --timeout=-1s job/dsbench
# then, in a pod that mounts the claim dsbench-results:
#   dsbench merge /results/run --out /results/run/merged
# To be filled in: the image (one that has dsbench as its entry point's PATH), the claim (ReadWriteMany), and,
# where the target wants a key, a secret mounted as a file (--api-key file:/path).
# backoffLimit 0: a worker that failed is not started again, because its share of the schedule has passed; the
# merge says which are missing. A worker's pod ends with 0 unless it could not run; the verdict is the merge's.
apiVersion: v1
kind: Service
metadata:
  name: dsbench
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    job-name: dsbench
  ports:
    - name: rendezvous
      port: {port}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: dsbench
spec:
  completionMode: Indexed
  completions: {count}
  parallelism: {count}
  backoffLimit: 0
  template:
    metadata:
      labels:
        app: dsbench
    spec:
      restartPolicy: Never
      subdomain: dsbench
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              app: dsbench
      containers:
        - name: worker
          image: "dsbench:{version}"
          command: ["/bin/sh", "-c"]
          args:
            - '"$@"; code=$?; case $code in 0|3|5|6|7) exit 0 ;; *) exit $code ;; esac'
            - worker
{arguments}
          resources:
            requests:
              cpu: "2"
              memory: 1Gi
          volumeMounts:
            - name: results
              mountPath: /results
      volumes:
        - name: results
          persistentVolumeClaim:
            claimName: dsbench-results
)";

std::string yaml_list(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += '\n';
    text += "            - " + nlohmann::json(word).dump();  // a JSON string is a YAML string
  }
  return text;
}

}  // namespace

std::vector<std::string> unshared_command(const std::vector<std::string>& command) {
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const std::string_view word = command[i];
    const std::string_view flag = word.substr(0, word.find('='));
    if (std::find(replaced.begin(), replaced.end(), flag) == replaced.end()) {
      kept.emplace_back(word);
    } else if (flag == word) {
      ++i;
    }
  }
  return kept;
}

Result<std::string> launcher_script(const std::string& kind, std::int32_t workers,
                                    const std::vector<std::string>& command) {
  std::vector<std::string> kept = unshared_command(command);
  const std::string shell = results::report::shell_line(kept);
  const auto fill = [&](std::string_view text, const std::string& arguments) {
    return fmt::format(fmt::runtime(text), fmt::arg("count", workers), fmt::arg("port", meeting_port),
                       fmt::arg("command", shell), fmt::arg("arguments", arguments),
                       fmt::arg("version", version()));
  };
  if (kind == "slurm") return fill(slurm_text, "");
  if (kind == "mpi") return fill(mpi_text, "");
  if (kind == "k8s") {
    for (const char* word : {"--worker", "auto", "--workers"}) kept.emplace_back(word);
    kept.push_back(std::to_string(workers));
    kept.emplace_back("--rendezvous");
    kept.push_back(fmt::format("dsbench-0.dsbench:{}", meeting_port));
    kept.emplace_back("--rendezvous-timeout");
    kept.emplace_back("10m");  // nodes may have to be made, and images pulled
    kept.emplace_back("--out");
    kept.emplace_back("/results/run");
    return fill(k8s_text, yaml_list(kept));
  }
  return fail(ErrorKind::usage, "no launcher '{}'; accepted: slurm, mpi, k8s", kind);
}

}  // namespace dsbench::cli
