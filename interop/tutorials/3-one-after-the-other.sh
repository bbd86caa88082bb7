# Directories server.1 to server.3, configuration files named by relative paths, started in order:
# one is too few, the second becomes leader, the third joins and gets what it missed.
. "$(dirname "$0")/lib.sh"

for n in 1 2 3; do
  run mkdir -p "server.$n/data"
  echo "$n" >"server.$n/data/myid"
  cat >"server.$n/zoo.cfg" <<CFG
tickTime=2000
initLimit=10
syncLimit=5
dataDir=./server.$n/data
clientPort=218$n
server.1=127.0.0.1:2887:3887
server.2=127.0.0.1:2888:3888
server.3=127.0.0.1:2889:3889
CFG
done
run bin/zkServer.sh start ./server.1/zoo.cfg
prints "Error contacting service. It is probably not running." \
  bin/zkServer.sh status ./server.1/zoo.cfg
run bin/zkServer.sh start ./server.2/zoo.cfg
eventually "Mode: leader" bin/zkServer.sh status ./server.2/zoo.cfg
eventually "Mode: follower" bin/zkServer.sh status ./server.1/zoo.cfg

{
  echo "create /before"
  for n in $(seq 100); do echo "create /before/$n value-$n"; done
} | bin/zkCli.sh -server 127.0.0.1:2181 >/dev/null 2>&1
run bin/zkServer.sh start ./server.3/zoo.cfg
eventually "Mode: follower" bin/zkServer.sh status ./server.3/zoo.cfg
eventually value-100 bin/zkCli.sh -server 127.0.0.1:2183 get /before/100
eventually 100 bin/zkCli.sh -server 127.0.0.1:2183 getAllChildrenNumber /before
prints "Mode: leader" bin/zkServer.sh status ./server.2/zoo.cfg
for n in 3 2 1; do
  run bin/zkServer.sh stop "./server.$n/zoo.cfg"
done
