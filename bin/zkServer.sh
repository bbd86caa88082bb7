#!/usr/bin/env bash
# Starts, stops and asks a server, with the commands, output and exit codes that init scripts and
# people know from ZooKeeper's script of the same name.
set -u

# shellcheck source-path=SCRIPTDIR source=zkEnv.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/zkEnv.sh"

command="${1-}"

# The configuration may be named as a file of the configuration directory or as a path.
if [ -n "${2-}" ]; then
  case "$2" in
    */*) ZOOCFG="$2" ;;
    *) ZOOCFG="$ZOOCFGDIR/$2" ;;
  esac
fi
echo "Using config: $ZOOCFG" >&2

# The value of a key in a configuration file, as the server would read it.
value_of() { # <key> [file]
  local key="${1//./\\.}" file="${2-$ZOOCFG}"
  [ -f "$file" ] || return 0
  sed -n -E "s/^[[:space:]]*$key([[:space:]]*[=:][[:space:]]*|[[:space:]]+)(.*)\$/\2/p" "$file" |
    tail -n 1 | sed -E 's/[[:space:]]+$//'
}

data_dir="$(value_of dataDir)"
data_log_dir="$(value_of dataLogDir)"
pid_file="${ZOOPIDFILE:-$data_dir/zookeeper_server.pid}"
out_file="$ZOO_LOG_DIR/zookeeper-${USER:-$(id -un)}-server-$HOSTNAME.out"

server=("$OSTLER" serve)
if [ -n "${ZOO_DATADIR_AUTOCREATE_DISABLE-}" ]; then
  server+=("-Dzookeeper.datadir.autocreate=false")
fi
server+=("$ZOOCFG")

# Ends the script when data directories are missing and must not be created.
require_data_dirs() {
  [ -n "${ZOO_DATADIR_AUTOCREATE_DISABLE-}" ] || return 0
  if [ ! -d "$data_dir/version-2" ]; then
    echo "ZooKeeper data directory is missing at $data_dir fix the path or run initialize"
    exit 1
  fi
  if [ -n "$data_log_dir" ] && [ ! -d "$data_log_dir/version-2" ]; then
    echo "ZooKeeper txnlog directory is missing at $data_log_dir fix the path or run initialize"
    exit 1
  fi
}

running_pid() {
  local pid
  [ -f "$pid_file" ] || return 1
  pid="$(cat "$pid_file" 2>/dev/null)"
  [[ "$pid" =~ ^[0-9]+$ ]] && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

fail_to_start() { # <what to print> [<why>]
  echo "$1"
  [ -z "${2-}" ] || echo "$2" >&2
  exit 1
}

start() {
  local pid
  require_data_dirs
  echo -n "Starting zookeeper ... "
  if pid="$(running_pid)"; then
    fail_to_start "already running as process $pid."
  fi
  [ -f "$ZOOCFG" ] || fail_to_start "FAILED TO START" "$ZOOCFG file is missing"
  if [ -z "$data_dir" ] && [ -z "${ZOOPIDFILE-}" ]; then
    fail_to_start "FAILED TO START" "$ZOOCFG: dataDir is not set"
  fi
  mkdir -p "$(dirname "$pid_file")" "$ZOO_LOG_DIR" || fail_to_start "SERVER DID NOT START"
  nohup "${server[@]}" >"$out_file" 2>&1 </dev/null &
  pid=$!
  if ! echo -n "$pid" >"$pid_file"; then
    kill "$pid" 2>/dev/null
    fail_to_start "FAILED TO WRITE PID"
  fi
  sleep 1
  if ! kill -0 "$pid" 2>/dev/null; then
    rm -f "$pid_file"
    fail_to_start "FAILED TO START" "$(tail -n 1 "$out_file")"
  fi
  echo "STARTED"
}

start_foreground() {
  require_data_dirs
  if [ -n "${ZOO_NOEXEC-}" ]; then
    "${server[@]}"
  else
    exec "${server[@]}"
  fi
}

stop() {
  echo -n "Stopping zookeeper ... "
  if [ ! -f "$pid_file" ]; then
    echo "no zookeeper to stop (could not find file $pid_file)"
    return 0
  fi
  kill "$(cat "$pid_file")"
  rm -f "$pid_file"
  sleep 1
  echo "STOPPED"
}

# Waits for the end of the old server, which holds the port and the data directory, instead of
# hoping that a fixed time is enough.
restart() {
  local pid seconds=0
  pid="$(running_pid)" || pid=""
  stop
  while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ "$seconds" -lt 30 ]; do
    sleep 1
    seconds=$((seconds + 1))
  done
  start
}

# Sets port and address to what the own server line of a file says behind its semicolon.
find_client_part() { # <file> <id>
  local line client
  line="$(value_of "server.$2" "$1")"
  case "$line" in
    *\;*) client="${line##*;}" ;;
    *) return 1 ;;
  esac
  port="${client##*:}"
  case "$client" in
    *:*) address="${client%:*}" ;;
  esac
  address="${address#[}"
  address="${address%]}"
  [[ "$port" =~ ^[0-9]+$ ]]
}

# Sets port, address and ssl from the configuration.
find_client_port() {
  local id dynamic
  ssl=false
  address="$(value_of clientPortAddress)"
  port="$(value_of clientPort)"
  if [[ "$port" =~ ^[0-9]+$ ]]; then
    return 0
  fi
  id="$(head -n 1 "$data_dir/myid" 2>/dev/null | tr -d '[:space:]')"
  if ! [[ "$id" =~ ^[0-9]+$ ]]; then
    echo "myid could not be determined, will not able to locate clientPort in the server configs."
  elif find_client_part "$ZOOCFG" "$id"; then
    return 0
  else
    echo "Client port not found in static config file. Looking in dynamic config file."
    dynamic="$(value_of dynamicConfigFile)"
    if [ -n "$dynamic" ] && find_client_part "$dynamic" "$id"; then
      return 0
    fi
    echo "Client port not found in the server configs"
  fi
  echo "Client port not found. Looking for secureClientPort in the static config."
  ssl=true
  address="$(value_of secureClientPortAddress)"
  port="$(value_of secureClientPort)"
  [[ "$port" =~ ^[0-9]+$ ]]
}

# Sends srvr over the plain client port and prints the answer.
ask_srvr() { # <address> <port>
  local line
  exec 3<>"/dev/tcp/$1/$2" || return 1
  printf 'srvr' >&3
  while IFS= read -r -t 10 line <&3; do
    printf '%s\n' "$line"
  done
}

status() {
  local port address ssl mode
  if ! find_client_port; then
    echo "Unable to find either secure or unsecure client port in any configs. Terminating."
    exit 1
  fi
  address="${address:-localhost}"
  echo "Client port found: $port. Client address: $address. Client SSL: $ssl."
  address="${address#[}"
  mode="$( (ask_srvr "${address%]}" "$port") 2>/dev/null | grep Mode)"
  if [ -z "$mode" ]; then
    echo "Error contacting service. It is probably not running."
    exit 1
  fi
  echo "$mode"
}

case "$command" in
  start) start ;;
  start-foreground) start_foreground ;;
  stop) stop ;;
  restart) restart ;;
  status) status ;;
  version)
    read -r _ version _ <<<"$("$OSTLER" --version)"
    echo "Apache ZooKeeper, version 3.9.5 (Ostler $version)"
    ;;
  print-cmd) printf '"%s" ' "${server[@]}" && echo ;;
  *)
    echo "Usage: $0 [--config <conf-dir>]" \
      "{start|start-foreground|stop|version|restart|status|print-cmd}" >&2
    ;;
esac
