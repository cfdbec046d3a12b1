#!/usr/bin/env bash
# Runs a Ray cluster on this machine (Linux): a head without CPUs, as on a real cluster, and two workers. It is for trying
# things out, and ends all that it has started when it ends.
#
#   uv run --extra cluster cluster/local.sh                               until Ctrl-C; prints what other terminals need
#   uv run --extra cluster cluster/local.sh COMMAND [ARGUMENT ...]        until COMMAND ends; exits with its status
#
#   WORKERS=2 CPUS=1                                  number of workers, and CPUs of each
#   PORT=6379 DASHBOARD_PORT=8265                     where the head and its dashboard listen
set -euo pipefail

# The loopback network, which no change of Wi-Fi or VPN takes away. Ray replaces 127.0.0.1 by the address of the machine.
# Its control ports still listen on all addresses, where the token guards them.
host=127.0.0.2
workers=${WORKERS:-2} cpus=${CPUS:-1} port=${PORT:-6379} dashboard_port=${DASHBOARD_PORT:-8265}
if [ "$#" -eq 0 ]; then
  set -- sleep infinity
fi

if ! command -v ray >/dev/null; then
  echo "local.sh: Ray is not installed here; begin with uv run --extra cluster, or activate optitrip's environment" >&2
  exit 2
fi

# Ray keeps sockets here, whose paths may have 107 characters: so not in $TMPDIR, which may be long.
folder=$(mktemp -d /tmp/optitrip.XXXXXX)
nodes=()

# shellcheck disable=SC2329 # called by the trap
end() {
  trap - EXIT
  # Each `ray start --block` ends the processes that it has started, and nobody else's, unlike `ray stop`. Workers end
  # before their head, so that they do not wait for it.
  local index
  for ((index = ${#nodes[@]} - 1; index >= 0; index--)); do
    kill -TERM "${nodes[index]}" 2>/dev/null || true
    wait "${nodes[index]}" 2>/dev/null || true
  done
  rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Whoever reaches a Ray cluster runs code on it, also from another account of this machine: hence a token.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$folder/token"
(umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH")

export RAY_USAGE_STATS_ENABLED=0
export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 # else, under `uv run`, workers would run a copy of the working directory
unset RAY_ADDRESS                      # it would name another cluster

# Starts a node and waits until the cluster has it: start NAME OPTION ...
start() {
  local name=$1
  shift
  for _ in 1 2 3 4 5; do # Ray gives up after 30 s, which a busy machine may need to read its files
    # A session of its own, so that Ctrl-C reaches COMMAND alone, which then stops while the workers still live.
    # Ports are free ones, so that another Ray on this machine does not matter.
    setsid ray start --node-ip-address="$host" --min-worker-port=0 --max-worker-port=0 \
      --dashboard-agent-listen-port=0 --disable-usage-stats --block "$@" >"$folder/$name.log" 2>&1 </dev/null &
    nodes+=("$!")
    if await "${#nodes[@]}" "$!"; then
      return
    fi
    kill -TERM "$!" 2>/dev/null || true
    wait "$!" 2>/dev/null || true
    unset 'nodes[-1]'
  done
  echo "local.sh: Ray could not be started:" >&2
  cat "$folder/$name.log" >&2
  exit 1
}

# Waits until the cluster has so many nodes; fails if the process of the newest has ended.
await() {
  python3 - "$host" "$port" "$@" >"$folder/await.log" 2>&1 <<'PYTHON'
import logging, os, socket, sys, time
import ray

host, (port, wanted, process) = sys.argv[1], map(int, sys.argv[2:])
while True:
    os.kill(process, 0)  # raises if it has ended
    try:
        if not ray.is_initialized():
            socket.create_connection((host, port)).close()
            ray.init(f"{host}:{port}", log_to_driver=False, logging_level=logging.ERROR)
        if sum(node["Alive"] for node in ray.nodes()) == wanted:
            break
    except ConnectionError:
        pass
    time.sleep(1)
PYTHON
}

# The server of `ray://`, which only exists with grpcio and which optitrip does not use, has no option to stay away.
options=()
if python3 -c 'import grpc' 2>/dev/null; then
  options=("--ray-client-server-port=$(python3 -c 'import socket; print(socket.create_server(("", 0)).getsockname()[1])')")
fi
# The dashboard listens on 127.0.0.1, unless it is told otherwise.
start head --head --port="$port" --dashboard-port="$dashboard_port" --num-cpus=0 --temp-dir="$folder/ray" "${options[@]}"
for ((worker = 1; worker <= workers; worker++)); do
  start "worker-$worker" --address="$host:$port" --num-cpus="$cpus"
done

cat >&2 <<TEXT
A head and $workers workers with $cpus CPUs each. In another terminal:
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH
  optitrip sweep FILE --address $host:$port
  optitrip submit FILE --address http://127.0.0.1:$dashboard_port --state-dir "\$PWD/.optitrip"
TEXT

# In the background, since a trap waits for a command in the foreground. SIGTERM is passed on. Ctrl-C reaches COMMAND
# itself, in which `env` undoes that it is ignored here.
trap '' INT
env --default-signal=INT "$@" <&0 &
command=$!
interrupted=yes
trap 'interrupted=yes; kill -TERM "$command" 2>/dev/null || true' TERM
while [ -n "$interrupted" ]; do # a signal ends `wait`, and not yet the command
  interrupted='' status=0
  wait "$command" || status=$?
done
exit "$status"
