# A shell that knows all three servers goes on when the leader is killed.
. "$(dirname "$0")/lib.sh"

three_servers
leader=$(leader_of zoo1.cfg zoo2.cfg zoo3.cfg)
open_shell reader -server localhost:2181,localhost:2182,localhost:2183
tell reader "create /kept before"
hears reader "Created /kept"
tell reader "create -e /here session"
hears reader "Created /here"
tell reader "get -w /kept"
hears reader "before"

kill_server "conf/$leader"
left=()
for config in zoo1.cfg zoo2.cfg zoo3.cfg; do
  [ "$config" = "$leader" ] || left+=("$config")
done
next=$(leader_of "${left[@]}")
echo "$leader is gone, $next leads"
servers=$(sed -n 's/^clientPort=/localhost:/p' "conf/${left[0]}")
eventually before bin/zkCli.sh -server "$servers" get /kept
eventually session bin/zkCli.sh -server "$servers" get /here
eventually after bash -c "bin/zkCli.sh -server $servers set /kept after; bin/zkCli.sh -server $servers get /kept"
hears reader "WatchedEvent state:SyncConnected type:NodeDataChanged path:/kept"
tell reader "create /again x"
hears reader "Created /again"

run bin/zkServer.sh start "$leader"
eventually "Mode: follower" bin/zkServer.sh status "$leader"
port=$(sed -n 's/^clientPort=//p' "conf/$leader")
eventually after bin/zkCli.sh -server "localhost:$port" get /kept
leave reader
eventually "Node does not exist: /here" bin/zkCli.sh -server "localhost:$port" get /here
for config in zoo1.cfg zoo2.cfg zoo3.cfg; do
  run bin/zkServer.sh stop "$config"
done
