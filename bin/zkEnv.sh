#!/usr/bin/env bash
# Where things are: sourced by the other scripts, with their arguments. Sets
#   ZOOBINDIR, ZOOKEEPER_PREFIX   this directory and the one above it
#   ZOOCFGDIR, ZOOCFG             configuration directory and, in it, the configuration file
#   ZOO_LOG_DIR                   where output of a started server goes
#   OSTLER                        the binary
# and takes `--config <dir>` off the arguments. What the environment sets already, stays.

ZOOBINDIR="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
ZOOKEEPER_PREFIX="$(dirname "$ZOOBINDIR")"

if [ "${1-}" = "--config" ]; then
  if [ $# -lt 2 ]; then
    echo "--config needs a directory" >&2
    exit 2
  fi
  ZOOCFGDIR="$2"
  shift 2
fi
if [ -z "${ZOOCFGDIR-}" ]; then
  if [ -d "$ZOOKEEPER_PREFIX/conf" ]; then
    ZOOCFGDIR="$ZOOKEEPER_PREFIX/conf"
  else
    ZOOCFGDIR="$ZOOKEEPER_PREFIX/etc/zookeeper"
  fi
fi
export ZOOCFGDIR

for file in "$ZOOCFGDIR/zookeeper-env.sh" "$ZOOCFGDIR/java.env"; do
  if [ -f "$file" ]; then
    # shellcheck disable=SC1090
    . "$file"
  fi
done
unset file

ZOOCFG="$ZOOCFGDIR/${ZOOCFG:-zoo.cfg}"
ZOO_LOG_DIR="${ZOO_LOG_DIR:-$ZOOKEEPER_PREFIX/logs}"

# The server reads -D definitions from here, whichever of the two names they were given under.
SERVER_JVMFLAGS="${SERVER_JVMFLAGS-}${JVMFLAGS:+ $JVMFLAGS}"
export SERVER_JVMFLAGS

# Where the environment says, beside the scripts when installed, in target when built, else
# wherever the shell finds it.
named="${OSTLER-}"
OSTLER=""
for candidate in "$named" "$ZOOBINDIR/ostler" "$ZOOKEEPER_PREFIX/target/release/ostler" \
  "$ZOOKEEPER_PREFIX/target/debug/ostler" "$(command -v ostler 2>/dev/null)"; do
  if [ -f "$candidate" ] && [ -x "$candidate" ]; then
    OSTLER="$candidate"
    break
  fi
done
unset candidate named
if [ -z "$OSTLER" ]; then
  echo "Error: ostler is not in $ZOOBINDIR, not in $ZOOKEEPER_PREFIX/target and not in PATH." >&2
  exit 1
fi
