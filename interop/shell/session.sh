#!/usr/bin/env bash
# Apache's command line shell against a server: session.sh host:port Runs commands.txt below a fresh
# node and compares what it prints with expected.txt, where times are T, zxids are numbered in the
# order they first appear, and the owner of ephemerals is SESSION.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=/shell-$$-$(date +%s)
shell() { "$here/../apache" shell -server "$@" 2>&1; }

# What differs from run to run, and the lines of the connection events, taken out.
settled() {
  sed -e '/^WATCHER::/d' -e '/^WatchedEvent/d' -e '/^$/d' -e '/^Connecting to/d' \
    -e 's/time = .*/time = T/' -e 's/ephemeralOwner = 0x[0-9a-f]\{4,\}/ephemeralOwner = SESSION/' |
    awk '/Zxid = 0x/ { if (!($3 in seen)) seen[$3] = ++count; $3 = "Z" seen[$3] } { print }'
}

echo "shell: create the top"
answer=$(echo "create $top" | shell "$1")
grep -qx "Created $top" <<<"$answer"
echo "shell: $(grep -c . "$here/commands.txt") commands"
shell "$1$top" <"$here/commands.txt" | settled | diff -u "$here/expected.txt" -
echo "shell: delete the top"
echo "deleteall $top" | shell "$1" >/dev/null
# The shell ends with the code of its last command, which fails as it should.
answer=$(echo "ls $top" | shell "$1" || true)
grep -qx "Node does not exist: $top" <<<"$answer"
echo "shell: done"
