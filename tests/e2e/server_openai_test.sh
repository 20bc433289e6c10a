#!/usr/bin/env bash
# server_openai_test.sh SERVER: starts SERVER, which prints its base URL and serves until its standard input ends, and runs the
# official openai client against it. 77 (skipped) without that client.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=python3
for candidate in "${DSBENCH_TEST_PYTHON:-}" "$here/../../build/test-venv/bin/python"; do
  if [ -n "$candidate" ] && [ -x "$candidate" ]; then python=$candidate; break; fi
done
coproc server { exec "$1"; }
pid=$server_PID  # the shell forgets it when the server ends
read -r -t 30 url <&"${server[0]}" || { echo "the server printed no URL within 30 s" >&2; exit 1; }
status=0
"$python" "$here/server_openai_client.py" "$url" || status=$?
exec {server[1]}>&-
wait "$pid"
exit "$status"
