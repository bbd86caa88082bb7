"""Whether all servers of an ensemble hold the same: as clients see it, as the servers count it, and as
Apache's classes find it in the directories."""

import asyncio
import os
import re
import subprocess

from client import SYNC, Session
from load import path_of, walk
from servers import INTEROP, Gone, wait_for

CONFIG = "/zookeeper/config"
DIGEST_WRONG = re.compile(r"^.*(digests? (is|are) not|digest mismatch|mismatch.*digest).*$",
                          re.I | re.M)
SNAPSHOT_TAKEN = re.compile("Getting a snapshot from leader|snapshot from the leader", re.I)


def shown_by(server):
    """The whole tree with every stat and ACL, after a sync."""
    async def look():
        session = Session("look", [server.address], 15000, first=server.address, only=True)
        task = asyncio.ensure_future(session.run())
        try:
            await asyncio.wait_for(session.up.wait(), 20)
            await session.insist(SYNC, path_of("/"))
            found = await walk(session, "/", acls=True)
            # Every server writes it itself, at its start, with the version that it knew then.
            found[CONFIG] = found[CONFIG][0].rpartition(b"\nversion=")[0], ()
            return found
        finally:
            await session.close()
            task.cancel()
    return asyncio.run(look())


def settled(servers):
    """Until all of them are at one zxid; gives it."""
    def same():
        zxids = {server.zxid() for server in servers}
        return len(zxids) == 1 and zxids.pop()
    try:
        return wait_for("one zxid on all servers", same, 20)
    except Gone as error:
        at = ", ".join(f"{server}: {server.zxid() or 0:x}" for server in servers)
        raise Gone(f"{error} ({at})") from None


def compare(servers):
    """Every running server shows the same tree, and no server met a wrong digest."""
    first, expected = servers[0], shown_by(servers[0])
    for server in servers[1:]:
        found = shown_by(server)
        if found == expected:
            continue
        paths = [path for path in sorted(found.keys() | expected.keys())
                 if found.get(path) != expected.get(path)]
        lines = [f"{path}: {first} has {brief(expected.get(path))}, {server} has "
                 f"{brief(found.get(path))}" for path in paths[:5]]
        raise AssertionError(f"{len(paths)} znodes differ: " + "; ".join(lines))
    for server in servers:
        check_digests(server, servers)
    return len(expected)


def check_digests(server, servers):
    """No server met a digest that is not its own tree's. 3.8.0 complains at times among nothing but
    Java servers."""
    text = server.log_text()
    if server.kind == "java38" or took_moving_snapshot(server, servers):
        return
    let_pass = 0
    for wrong in DIGEST_WRONG.finditer(text):
        # Apache's server may commit one more txn while it ends a role, beside the replay of its log.
        if server.kind == "java" and "CommitProcessor" in wrong[0] \
                and "- Shutting down" in text[max(wrong.start() - 1500, 0):wrong.start()]:
            let_pass += 1
            continue
        raise AssertionError(f"{server} met a wrong digest: {wrong[0][:300]}")
    count = server.figures().get("digest_mismatches_count")
    if server.kind == "java" and count is None or not let_pass and count not in (None, "0"):
        raise AssertionError(f"{server} counts {count} wrong digests")


def brief(node):
    if node is None:
        return "nothing"
    data, stat = node[:2]
    return f"{(data or b'')[:20]} {' '.join(f'{number:x}' for number in stat)}"


def offline(servers):
    """Apache's classes load every directory, agree with every digest, and find the same in all."""
    script = '. "$0/lib.sh"; jvm ostler.interop.DataDir dump "$1" | ' \
             'grep -v -e "^digest" -e "^/zookeeper/config " | sha256sum; [ "${PIPESTATUS[0]}" = 0 ]'
    sums, told = set(), []
    for server in servers:
        moving = took_moving_snapshot(server, servers)
        flags = "-Dinterop.fuzzy=" + ("tree" if moving else "snapshots")
        result = subprocess.run(
            ["bash", "-euc", script, str(INTEROP), str(server.data)], capture_output=True,
            text=True, env=os.environ | {"INTEROP_JVM_FLAGS": flags})
        told.append(f"{server}: {result.stderr[-1500:]}")
        if result.returncode != 0:
            raise AssertionError("Apache's classes do not load a directory:\n" + "".join(told))
        sums.add(result.stdout)
    if len(sums) != 1:
        raise AssertionError("the directories hold different trees:\n" + "".join(told))


def took_moving_snapshot(server, servers):
    """Whether it may have taken a snapshot of a Java leader, which streams its tree while that
    changes: the first txns behind it then have other digests, in any server."""
    java_leads = any("---- java" in other.log_text() for other in servers if other is not server)
    return java_leads and SNAPSHOT_TAKEN.search(server.log_text())
