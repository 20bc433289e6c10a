#!/usr/bin/env bash
# A performance gate in plain shell. GATE_BASE and GATE_CAND say how each version is measured once; GATE_ID names the candidate in the
# history, which belongs into the repository.
set -euo pipefail
: "${GATE_BASE:?as in: load --target http://127.0.0.1:8000}" "${GATE_CAND:?as in: load --target http://127.0.0.1:8001}"
history=${GATE_HISTORY:-gate-history.jsonl}

status=0
dsbench gate run --base "$GATE_BASE" --cand "$GATE_CAND" --runs 10 --max-runs 20 --allow-mismatch server_flags \
  --out gate --junit gate.xml --markdown gate.md || status=$?
case $status in
  0) echo "gate: green" ;;
  3) echo "gate: an absolute bound was missed" ;;
  4) echo "gate: the candidate is slower" ;;
  5) echo "gate: the evidence does not decide; more runs, longer runs or a quieter machine would" ;;
  7) echo "gate: the measurement is invalid: this machine was not fit to measure" ;;
  *) echo "gate: it could not run (status $status)" ;;
esac

# What was measured goes into the history also when it is slower: the history says since when.
if [ -n "${GATE_ID:-}" ] && { [ "$status" = 0 ] || [ "$status" = 3 ] || [ "$status" = 4 ] || [ "$status" = 5 ]; }; then
  dsbench gate history add --file "$history" --id "$GATE_ID" gate/cand-???/
  dsbench gate history show --file "$history"
fi
exit "$status"
