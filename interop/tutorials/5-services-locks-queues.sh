# What znodes are used for: services register and are looked up; a lock, a queue, and an election
# between two processes; first by hand in shells, then with the example programs.
. "$(dirname "$0")/lib.sh"

mkdir data
cat >conf/zoo.cfg <<CFG
tickTime=2000
dataDir=$PWD/data
clientPort=2181
CFG
run bin/zkServer.sh start
eventually "Mode: standalone" bin/zkServer.sh status

echo "== services"
run bin/zkCli.sh create /services
run bin/zkCli.sh create /services/web
open_shell web1
open_shell web2
tell web1 "create -e /services/web/one 10.0.0.1:80"
tell web2 "create -e /services/web/two 10.0.0.2:80"
hears web1 "Created /services/web/one"
hears web2 "Created /services/web/two"
open_shell user
tell user "ls -w /services/web"
hears user "[one, two]"
prints 10.0.0.1:80 bin/zkCli.sh get /services/web/one
leave web1
hears user "WatchedEvent state:SyncConnected type:NodeChildrenChanged path:/services/web"
prints "[two]" bin/zkCli.sh ls /services/web

echo "== a lock"
run bin/zkCli.sh create /lock
tell web2 "create -s -e /lock/lock-"
hears web2 "Created /lock/lock-0000000000"
tell user "create -s -e /lock/lock-"
hears user "Created /lock/lock-0000000001"
# Not the first in line: waits for the one before.
tell user "stat -w /lock/lock-0000000000"
hears user "dataLength = 0"
tell web2 "delete /lock/lock-0000000000"
hears user "WatchedEvent state:SyncConnected type:NodeDeleted path:/lock/lock-0000000000"
prints "[lock-0000000001]" bin/zkCli.sh ls /lock

echo "== a queue"
run bin/zkCli.sh create /queue
for item in first second third; do
  run bin/zkCli.sh create -s /queue/item- "$item"
done
prints "[item-0000000000, item-0000000001, item-0000000002]" bin/zkCli.sh ls /queue
for n in 0 1 2; do
  words=(first second third)
  prints "${words[n]}" bin/zkCli.sh get "/queue/item-000000000$n"
  run bin/zkCli.sh delete "/queue/item-000000000$n"
done
prints "[]" bin/zkCli.sh ls /queue

echo "== an election"
run bin/zkCli.sh create /election
tell web2 "create -e -s /election/n- web2"
hears web2 "Created /election/n-0000000000"
tell user "create -e -s /election/n- user"
hears user "Created /election/n-0000000001"
tell user "stat -w /election/n-0000000000"
hears user "ctime"
# The leader quits; the next in line is told.
leave web2
hears user "WatchedEvent state:SyncConnected type:NodeDeleted path:/election/n-0000000000"
prints "[n-0000000001]" bin/zkCli.sh ls /election
leave user
run bin/zkServer.sh stop
