# Sourced by the tutorials. They run in a directory where the tarball has just been unpacked, with
# ports that are theirs alone, and stop at the first thing that is not as a reader would see it.
set -euo pipefail

fail() {
  echo "not as expected: $*"
  exit 1
}

# prints <text> <command ...>: the command prints that line, on whichever stream.
prints() {
  local text=$1 output
  shift
  echo "\$ $*"
  output=$("$@" 2>&1) || true
  sed 's/^/  /' <<<"$output"
  grep -qxF -e "$text" <<<"$output" || fail "no line '$text'"
}

# eventually <text> <command ...>: the same, within half a minute.
eventually() {
  local text=$1 output deadline=$((SECONDS + 30))
  shift
  until output=$("$@" 2>&1) || true; grep -qxF -e "$text" <<<"$output"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "no line '$text' of $* in time: $output"
    sleep 0.2
  done
  echo "\$ $*"
  sed 's/^/  /' <<<"$output"
}

# run <command ...>: shows it, and it must succeed.
run() {
  echo "\$ $*"
  "$@" 2>&1 | sed 's/^/  /'
}

# A shell that somebody sits at: open_shell <name> <argument ...>, tell <name> <line>,
# hears <name> <line> (at the end of a line that it prints), leave <name>.
declare -A shell_input shell_pid
open_shell() {
  local name=$1 fd
  shift
  mkfifo "$name.in"
  bin/zkCli.sh "$@" <"$name.in" >"$name.out" 2>&1 &
  shell_pid[$name]=$!
  exec {fd}>"$name.in"
  shell_input[$name]=$fd
  hears "$name" "WatchedEvent state:SyncConnected type:None path:null zxid: -1"
}

tell() {
  echo "$1> $2"
  echo "$2" >&"${shell_input[$1]}"
}

hears() {
  local deadline=$((SECONDS + 60))
  until grep -qF -e "$2" "$1.out"; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      sed 's/^/  /' "$1.out"
      fail "$1 did not hear '$2'"
    fi
    sleep 0.1
  done
  echo "$1: $2"
}

leave() {
  tell "$1" quit
  local fd=${shell_input[$1]}
  exec {fd}>&-
  wait "${shell_pid[$1]}" || true
}

# kill_server <config>: as a power failure would.
kill_server() {
  local dir
  dir=$(sed -n 's/^dataDir=//p' "$1")
  run kill -KILL "$(cat "$dir/zookeeper_server.pid")"
}

mode_of() { # <config>
  bin/zkServer.sh status "$1" 2>/dev/null | sed -n 's/^Mode: //p'
}

# The configuration whose server leads, of those given.
leader_of() {
  local config deadline=$((SECONDS + 30))
  while [ "$SECONDS" -lt "$deadline" ]; do
    for config in "$@"; do
      if [ "$(mode_of "$config")" = leader ]; then
        echo "$config"
        return
      fi
    done
    sleep 0.2
  done
  fail "nobody leads of $*" >&2
}

# Three servers on this machine, in directories zoo1 to zoo3 with conf/zoo1.cfg to zoo3.cfg.
three_servers() {
  local n
  for n in 1 2 3; do
    mkdir "zoo$n"
    echo "$n" >"zoo$n/myid"
    cat >"conf/zoo$n.cfg" <<CFG
tickTime=2000
initLimit=5
syncLimit=2
dataDir=$PWD/zoo$n
clientPort=218$n
server.1=localhost:2888:3888
server.2=localhost:2889:3889
server.3=localhost:2890:3890
CFG
  done
  for n in 1 2 3; do
    run bin/zkServer.sh start "zoo$n.cfg"
  done
}
