#!/usr/bin/env python3
"""Fills a server with what tools show in ways of their own: fill.py <host:port>.

Many children, names that collide in a hash table, long paths, data that are no text, ACLs, quotas,
ephemerals of sessions that stay, multis that succeed and fail. Waits for a line on standard input
with its sessions open, then ends without closing them.
"""
import os
import random
import sys

from kazoo.client import KazooClient
from kazoo.security import make_acl, make_digest_acl

rng = random.Random(7)
client = KazooClient(hosts=sys.argv[1], timeout=30)
client.start()
client.create("/many")
for start in range(0, 3000, 100):
    multi = client.transaction()
    for at in range(start, start + 100):
        multi.create(f"/many/member-{at:010}", b"x" * (at % 7))
    multi.commit()
client.create("/alike")
for name in ["AaAaAa", "AaAaBB", "AaBBAa", "AaBBBB", "BBAaAa", "BBAaBB", "BBBBAa", "BBBBBB", "AaAa", "C#"]:
    client.create(f"/alike/{name}", name.encode())
client.create("/names")
for name in ["a,b", "c}d", "e%f", "g h", "ü", "中文", '"quoted"', "back\\slash", "tab"]:
    client.create(f"/names/{name}", name.encode())
client.create("/bytes", bytes(range(256)))
client.create("/surrogate", b"\xed\xa0\x80\xf0\x9f\x98\xc3")
client.create("/lines", b"one\ntwo\n")
path = ""
for depth in range(60):
    path += f"/{depth}"
    client.create(path, b"d" * depth)
client.create("/lists", b"", acl=[make_digest_acl("u", "p", read=True), make_acl("ip", "127.0.0.0/8", admin=True)])
client.set_acls("/lists", [make_acl("world", "anyone", all=True)])
for of in ["/many", "/alike", "/gone"]:
    client.create(f"/zookeeper/quota{of}/zookeeper_limits", b"count=5000,bytes=-1", makepath=True)
    client.create(f"/zookeeper/quota{of}/zookeeper_stats", b"count=0,bytes=0")
client.create("/many/later", b"counted")
client.create("/tree")
for at in range(200):
    parent = "/tree" + "".join(f"/{rng.randrange(3)}" for _ in range(rng.randrange(6)))
    client.ensure_path(parent)
    client.set(parent, os.urandom(rng.randrange(40)))
for at in range(150):
    client.set("/tree", f"version {at}".encode())
client.delete("/alike/C#")
multi = client.transaction()
multi.create("/never", b"")
multi.check("/many", 77)
multi.delete("/nowhere")
multi.commit()
clients = [client]
for at in range(5):
    other = KazooClient(hosts=sys.argv[1], timeout=20 + at)
    other.start()
    for number in range(at):
        other.create(f"/many/ephemeral-{at}-{number}", b"here", ephemeral=True)
    clients.append(other)
for at in range(300):
    client.set("/bytes", f"{at}".encode())
print("filled", flush=True)
sys.stdin.readline()
os._exit(0)
