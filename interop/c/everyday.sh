#!/usr/bin/env bash
# Everyday work of the C client (Debian's cli_mt) against a server: everyday.sh host:port
# One session per command, which is how cli_mt takes commands without a terminal.
set -euo pipefail
cli=$(PATH=$PATH:/usr/lib/zookeeper/bin command -v cli_mt)
top=/c-$$-$(date +%s)

# ask <command> <expected extended regular expression>
ask() {
  local answer
  echo "c: $1"
  # It prints to stderr; a command that is never answered must not hang the run.
  answer=$(timeout 20 "$cli" -h "$address" -c "$1" 2>&1 || true)
  if ! grep -qE "$2" <<<"$answer"; then
    printf 'c: FAILED: wanted %s, got:\n%s\n' "$2" "$answer" >&2
    exit 1
  fi
}

address=$1
ask "create $top" "name = $top\$"
ask "create $top" 'rc = -110'
ask "create2 $top/y" 'version=0'
ask "create +s $top/s-" "name = $top/s-0000000001"
ask "create +e $top/e" "name = $top/e"
ask "set $top hello" 'version=1'
ask "get $top" '^hello'
ask "ls $top" '^	s-0000000001'
ask "ls2 $top" 'version=1'
ask "sync $top" "name = $top"
ask "delete $top" 'rc = -111'
ask "delete $top/s-0000000001" 'rc = 0'
ask "delete $top/y" 'rc = 0'
ask "get $top/none" 'rc = -101'
# The ephemeral went with the session that made it.
ask "delete $top" 'rc = 0'
echo "c: done"
