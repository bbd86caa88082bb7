# Getting started: one server on port 2181, and a shell.
. "$(dirname "$0")/lib.sh"

mkdir data
cat >conf/zoo.cfg <<CFG
tickTime=2000
dataDir=$PWD/data
clientPort=2181
CFG
run bin/zkServer.sh start
eventually "Mode: standalone" bin/zkServer.sh status
prints "Client port found: 2181. Client address: localhost. Client SSL: false." \
  bin/zkServer.sh status

open_shell reader -server 127.0.0.1:2181
tell reader "ls /"
hears reader "[zookeeper]"
tell reader "create /zk_test my_data"
hears reader "Created /zk_test"
tell reader "ls /"
hears reader "[zk_test, zookeeper]"
tell reader "get /zk_test"
hears reader "my_data"
tell reader "set /zk_test junk"
tell reader "get -w /zk_test"
hears reader "junk"
tell reader "ls -w /"

# Somebody else changes what the first one watches.
run bin/zkCli.sh -server 127.0.0.1:2181 set /zk_test news
hears reader "WATCHER::"
hears reader "WatchedEvent state:SyncConnected type:NodeDataChanged path:/zk_test"
run bin/zkCli.sh delete /zk_test
hears reader "WatchedEvent state:SyncConnected type:NodeChildrenChanged path:/"
tell reader "stat /zk_test"
hears reader "Node does not exist: /zk_test"
tell reader "create /parent"
hears reader "Created /parent"
tell reader "create -s /parent/child- x"
hears reader "Created /parent/child-0000000000"
tell reader "create -e /parent/here"
tell reader "delete /parent"
hears reader "Node not empty: /parent"
tell reader "deleteall /parent"
tell reader "get /parent"
hears reader "Node does not exist: /parent"
leave reader

prints "Starting zookeeper ... already running as process $(cat data/zookeeper_server.pid)." \
  bin/zkServer.sh start
run bin/zkServer.sh restart
eventually "Mode: standalone" bin/zkServer.sh status
prints "[zookeeper]" bin/zkCli.sh ls /
prints "Stopping zookeeper ... STOPPED" bin/zkServer.sh stop
eventually "Error contacting service. It is probably not running." bin/zkServer.sh status

# What is left on disk can be looked into.
log=$(ls data/version-2/log.* | head -n 1)
run bin/zkTxnLogToolkit.sh "$log" >dump.txt
grep -q " /zk_test,my_data,\[31,s{'world,'anyone}" dump.txt || fail "the dump lacks the create"
run bin/zkSnapShotToolkit.sh "$(ls data/version-2/snapshot.* | head -n 1)" >snapshot.txt
grep -q "^  /zookeeper$" snapshot.txt || fail "the snapshot lacks /zookeeper"
run bin/zkCleanup.sh -n 3

# The other way to begin: the sample, in the foreground.
cp conf/zoo_sample.cfg conf/zoo.cfg
sed -i "s#^dataDir=.*#dataDir=$PWD/sample#" conf/zoo.cfg
echo "\$ bin/zkServer.sh start-foreground"
bin/zkServer.sh start-foreground >foreground.out 2>&1 &
foreground=$!
eventually "Mode: standalone" bin/zkServer.sh status
prints "Created /there" bin/zkCli.sh create /there
kill -TERM "$foreground"
wait "$foreground" || fail "it ended with $?: $(tail -n 5 foreground.out)"
run bin/zkServer.sh version
run bin/zkServer.sh print-cmd
