package ostler.interop;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * A small load with every txn type that a standalone server can log: {@code GoldenLoad host:port}.
 *
 * <p>The server needs {@code extendedTypesEnabled} and a short container check interval. Two
 * sessions are left open with ephemerals; the process just ends, so they are still in the data
 * directory when the server is killed right after.
 */
public final class GoldenLoad {
    private static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;
    private static final long DAY_MS = 86_400_000;

    private GoldenLoad() {
    }

    public static void main(String[] arguments) throws Exception {
        ZooKeeper first = connect(arguments[0], 40000);
        ZooKeeper second = connect(arguments[0], 12345);
        ZooKeeper closing = connect(arguments[0], 20000);
        connect(arguments[0], 20000).close();
        creates(first);
        closing.create("/e/closing", data("x"), OPEN, CreateMode.EPHEMERAL);
        closing.create("/e/closing-", null, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL);
        changes(first);
        multis(first);
        refusals(first);
        closing.close();
        second.create("/e/second", data("still here"), OPEN, CreateMode.EPHEMERAL);
        reaped(first);
        for (int i = 0; i < 30; i++) {
            first.setData("/p/counter", data("count " + i), i);
        }
        second.create("/e/second-", data("y"), OPEN, CreateMode.EPHEMERAL_SEQUENTIAL, new Stat());
        Runtime.getRuntime().halt(0);
    }

    private static ZooKeeper connect(String address, int timeoutMs) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper client = new ZooKeeper(address, timeoutMs, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        connected.await();
        return client;
    }

    private static byte[] data(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** More than one block of a snappy snapshot, and neither constant nor random. */
    private static byte[] large() {
        byte[] bytes = new byte[33_000];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (i * i / 7);
        }
        return bytes;
    }

    private static void creates(ZooKeeper client) throws Exception {
        Stat stat = new Stat();
        for (String path : List.of("/p", "/e", "/seq", "/c", "/ttl", "/acl", "/deep")) {
            client.create(path, data("node " + path), OPEN, CreateMode.PERSISTENT);
        }
        client.create("/p/counter", data("start"), OPEN, CreateMode.PERSISTENT, stat);
        client.create("/p/null", null, OPEN, CreateMode.PERSISTENT);
        client.create("/p/empty", new byte[0], OPEN, CreateMode.PERSISTENT);
        client.create("/p/b\u00fccher-\u4e2d\u6587", data("\u00fc"), OPEN, CreateMode.PERSISTENT);
        client.create("/p/large", large(), OPEN, CreateMode.PERSISTENT);
        String path = "/deep";
        for (int depth = 0; depth < 6; depth++) {
            path += "/level-with-a-longer-name-" + depth;
            client.create(path, data(path), OPEN, CreateMode.PERSISTENT);
        }
        for (int i = 0; i < 5; i++) {
            client.create("/seq/n-", data("" + i), OPEN, CreateMode.PERSISTENT_SEQUENTIAL);
        }
        client.create("/e/first", data("e"), OPEN, CreateMode.EPHEMERAL);
        client.create("/c/kept", data("container"), OPEN, CreateMode.CONTAINER);
        client.create("/c/kept/child", null, OPEN, CreateMode.PERSISTENT);
        client.create("/ttl/kept", data("t"), OPEN, CreateMode.PERSISTENT_WITH_TTL, stat, DAY_MS);
        client.create(
            "/ttl/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, DAY_MS);
    }

    private static void changes(ZooKeeper client) throws Exception {
        client.addAuthInfo("digest", data("u:p"));
        client.create("/acl/mine", data("m"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        client.create("/acl/many", data("m"), OPEN, CreateMode.PERSISTENT);
        client.setACL("/acl/many", Arrays.asList(
            new ACL(31, new Id("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=")),
            new ACL(1, Ids.ANYONE_ID_UNSAFE),
            new ACL(3, new Id("ip", "10.0.0.0/8"))), 0);
        client.create("/acl/dropped", null, Ids.READ_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.delete("/acl/dropped", -1);
        client.setData("/p", data("set once"), 0);
        client.setData("/p", null, 1);
        client.setData("/p", data("set thrice"), -1);
        client.delete("/seq/n-0000000002", 0);
        client.delete("/seq/n-0000000004", -1);
    }

    private static void multis(ZooKeeper client) throws Exception {
        client.multi(List.of(
            Op.create("/m", data("multi"), OPEN, CreateMode.PERSISTENT),
            Op.create("/m/e", null, OPEN, CreateMode.EPHEMERAL),
            Op.create("/m/s-", data("s"), OPEN, CreateMode.PERSISTENT_SEQUENTIAL),
            Op.create("/m/c", data("c"), OPEN, CreateMode.CONTAINER),
            Op.create("/m/t", data("t"), OPEN, CreateMode.PERSISTENT_WITH_TTL, DAY_MS),
            Op.setData("/m", data("in the same multi"), 0),
            Op.check("/m", 1),
            Op.create("/m/gone", null, OPEN, CreateMode.PERSISTENT),
            Op.delete("/m/gone", 0)));
        try {
            client.multi(List.of(
                Op.create("/m/never", null, OPEN, CreateMode.PERSISTENT),
                Op.check("/m", 99),
                Op.setData("/m", data("never"), -1)));
            throw new IllegalStateException("the multi should have failed");
        } catch (KeeperException.BadVersionException expected) {
            // Logged as a multi of errors.
        }
        client.multi(List.of());
        byte[] after = data("after the failed one");
        client.create("/m/s-", after, OPEN, CreateMode.PERSISTENT_SEQUENTIAL);
    }

    private interface Call {
        void run() throws Exception;
    }

    private static void refusals(ZooKeeper client) throws Exception {
        for (Call call : List.<Call>of(
            () -> client.create("/p", null, OPEN, CreateMode.PERSISTENT),
            () -> client.delete("/none", -1),
            () -> client.setData("/p", null, 77),
            () -> client.delete("/deep", -1))) {
            try {
                call.run();
                throw new IllegalStateException("should have been refused");
            } catch (KeeperException expected) {
                // Logged as an error txn.
            }
        }
    }

    /** A container and a TTL node that the server's own task deletes. */
    private static void reaped(ZooKeeper client) throws Exception {
        client.create("/c/reaped", null, OPEN, CreateMode.CONTAINER);
        client.create("/c/reaped/child", null, OPEN, CreateMode.PERSISTENT);
        client.delete("/c/reaped/child", -1);
        client.create("/ttl/reaped", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 1);
        for (String path : List.of("/c/reaped", "/ttl/reaped")) {
            CountDownLatch deleted = new CountDownLatch(1);
            if (client.exists(path, event -> deleted.countDown()) != null) {
                deleted.await();
            }
        }
    }
}
