# The same with programs: the examples of the client library look services up, lock, queue, elect,
# watch configuration and see who is there. OSTLER_EXAMPLES is where they are.
. "$(dirname "$0")/lib.sh"

mkdir data
cat >conf/zoo.cfg <<CFG
tickTime=200
dataDir=$PWD/data
clientPort=2181
CFG
run bin/zkServer.sh start
eventually "Mode: standalone" bin/zkServer.sh status
servers=localhost:2181
example() {
  local name=$1
  shift
  "$OSTLER_EXAMPLES/$name" "$@"
}

# starts <name> <example> <argument ...>: in the background, its output in <name>.out.
declare -A started
starts() {
  local name=$1
  shift
  # exec, so that a signal reaches the program and not a shell before it.
  (exec "$OSTLER_EXAMPLES/$1" "${@:2}" >"$name.out" 2>&1) &
  started[$name]=$!
}

echo "== services"
starts one registry "$servers" /services serve web web-1 127.0.0.1:8081 first
starts two registry "$servers" /services serve web web-2 127.0.0.1:8082 second
until [ "$(bin/zkCli.sh ls /services/web 2>/dev/null | tail -n 1)" = "[web-1, web-2]" ]; do
  [ "$SECONDS" -lt 60 ] || fail "the services are not registered: $(cat one.out two.out)"
  sleep 0.2
done
example registry "$servers" /services list web | tee services.out
grep -q 127.0.0.1:8081 services.out && grep -q 127.0.0.1:8082 services.out || fail "one is not listed"
example registry "$servers" /services ask web 4 | tee asked.out
for port in 8081 8082; do
  [ "$(grep -c ":$port" asked.out)" = 2 ] || fail "they do not take turns"
done
kill -INT "${started[one]}"
eventually "[web-2]" bin/zkCli.sh ls /services/web

echo "== a lock"
for name in a b c; do
  starts "lock-$name" lock "$servers" /locks/report sh -c \
    "echo in $name >>held; sleep 0.3; echo out $name >>held"
done
for name in a b c; do
  wait "${started[lock-$name]}" || fail "lock-$name: $(cat "lock-$name.out")"
done
sed 's/^/  /' held
[ "$(wc -l <held)" = 6 ] || fail "not everybody had it"
paste -d ' ' - - <held | awk '$1 != "in" || $3 != "out" || $2 != $4 { exit 1 }' ||
  fail "two had the lock at a time"

echo "== a queue"
example queue "$servers" /jobs put one two three four
starts taker queue "$servers" /jobs take 2
example queue "$servers" /jobs take 2 >taken.out
wait "${started[taker]}" || fail "$(cat taker.out)"
cat taken.out taker.out | sort | tee all.out
[ "$(paste -sd ' ' all.out)" = "four one three two" ] || fail "items are lost, or doubled"

echo "== an election"
for name in x y; do
  starts "candidate-$name" election "$servers" /leader "$name" sh -c \
    "echo $name >>leaders; exec sleep 600"
done
until [ -s leaders ]; do
  [ "$SECONDS" -lt 120 ] || fail "nobody leads: $(cat candidate-*.out)"
  sleep 0.1
done
first=$(head -n 1 leaders)
kill -KILL "${started[candidate-$first]}"
until [ "$(wc -l <leaders)" -ge 2 ]; do
  [ "$SECONDS" -lt 180 ] || fail "nobody follows $first: $(cat candidate-*.out)"
  sleep 0.1
done
[ "$(sed -n 2p leaders)" != "$first" ] || fail "$first leads again"
echo "  $(paste -sd ' ' leaders)"

echo "== configuration, and who is there"
example config "$servers" /app set colour blue
starts settings config "$servers" /app watch
starts members membership "$servers" /workers watch
until grep -q blue settings.out; do
  [ "$SECONDS" -lt 200 ] || fail "no settings: $(cat settings.out)"
  sleep 0.1
done
example config "$servers" /app set colour green
starts joiner membership "$servers" /workers join worker-1 10.0.0.1:4000
until grep -q green settings.out && grep -q worker-1 members.out; do
  [ "$SECONDS" -lt 220 ] || fail "changes are not heard: $(cat settings.out members.out)"
  sleep 0.1
done
sed 's/^/  /' settings.out members.out
run bin/zkServer.sh stop
