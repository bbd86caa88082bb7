# Shared by the scripts of this directory: where things are, and small steps all of them take.
# Not a program; source it. Callers run with `set -euo pipefail`.

INTEROP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$INTEROP/.." && pwd)
OUT=$ROOT/target/interop
PYTHON=$OUT/venv/bin/python

# Runs a class of interop/java or of Apache ZooKeeper: jvm [-Dx=y ...] Class [argument ...]
# The caller may put JVM options into INTEROP_JVM_FLAGS.
jvm() {
  # Serial GC and one compiler tier: these programs are short and share the machine.
  # shellcheck disable=SC2086
  java -XX:+UseSerialGC -Dinterop.log="${INTEROP_LOG:-ERROR}" ${INTEROP_JVM_FLAGS:-} \
    -cp "$(java_classpath)" "$@"
}

java_classpath() {
  printf '%s:%s' "$OUT/java/classes" "$(cat "$OUT/java/classpath")"
}

# A TCP port of the loopback interface that nothing listens on now.
free_port() {
  python3 - <<'PY'
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])
PY
}

# wait_serving <host:port> <pid> [seconds]: until a ZooKeeper session handshake is answered there.
wait_serving() {
  python3 "$INTEROP/wait_serving.py" "$@"
}

# apache_start <name> <dir> [zoo.cfg line ...] [-Dx=y ...]: starts the Apache server on <dir> in the
# background and waits for it. Sets APACHE_PID and APACHE_ADDRESS; its log is <dir>/../<name>.log.
apache_start() {
  local name=$1 dir=$2 port line config flags=()
  shift 2
  port=$(free_port)
  config=$(dirname "$dir")/$name.cfg
  mkdir -p "$dir"
  base_config "$dir" "$port" >"$config"
  for line in "$@"; do
    case $line in
      -D*) flags+=("$line") ;;
      *) echo "$line" >>"$config" ;;
    esac
  done
  "$INTEROP/apache" serve "$config" "${flags[@]}" >"$(dirname "$dir")/$name.log" 2>&1 &
  APACHE_PID=$!
  APACHE_ADDRESS=127.0.0.1:$port
  wait_serving "$APACHE_ADDRESS" "$APACHE_PID"
}

# base_config <dir> <port>: a zoo.cfg for a standalone server on the loopback interface.
base_config() {
  cat <<CFG
tickTime=2000
dataDir=$1
clientPort=$2
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=*
CFG
}

# stop <pid> [signal]: ends a server that this script started and waits until it is gone.
stop() {
  kill "-${2:-TERM}" "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
