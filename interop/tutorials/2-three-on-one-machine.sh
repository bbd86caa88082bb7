# Three servers on one machine: zoo1.cfg, zoo2.cfg, zoo3.cfg, myid files, client ports 2181 to 2183.
. "$(dirname "$0")/lib.sh"

three_servers
leader=$(leader_of zoo1.cfg zoo2.cfg zoo3.cfg)
for config in zoo1.cfg zoo2.cfg zoo3.cfg; do
  if [ "$config" = "$leader" ]; then
    prints "Mode: leader" bin/zkServer.sh status "$config"
  else
    eventually "Mode: follower" bin/zkServer.sh status "$config"
  fi
done
prints "Created /app" bin/zkCli.sh -server localhost:2181 create /app first
eventually first bin/zkCli.sh -server localhost:2182 get /app
eventually first bin/zkCli.sh -server localhost:2183 get /app
run bin/zkCli.sh -server localhost:2183 set /app second
eventually second bin/zkCli.sh -server localhost:2181 get /app

# One may go.
follower=zoo1.cfg
[ "$leader" != zoo1.cfg ] || follower=zoo2.cfg
prints "Stopping zookeeper ... STOPPED" bin/zkServer.sh stop "$follower"
run bin/zkCli.sh -server localhost:2183,localhost:2182,localhost:2181 set /app third
prints "Starting zookeeper ... STARTED" bin/zkServer.sh start "$follower"
eventually "Mode: follower" bin/zkServer.sh status "$follower"
port=$(sed -n 's/^clientPort=//p' "conf/$follower")
eventually third bin/zkCli.sh -server "localhost:$port" get /app
for config in zoo1.cfg zoo2.cfg zoo3.cfg; do
  prints "Stopping zookeeper ... STOPPED" bin/zkServer.sh stop "$config"
done
