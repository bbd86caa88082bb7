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
  java -XX:+UseSerialGC ${INTEROP_JVM_FLAGS:-} -cp "$(java_classpath)" "$@"
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
