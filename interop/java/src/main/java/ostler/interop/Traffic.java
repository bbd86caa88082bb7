package ostler.interop;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * Records what Apache's Java client and a server say to each other: {@code Traffic host:port dir
 * [scenario ...]}.
 *
 * <p>One file per scenario, {@code traffic-NAME.txt}: {@code # step} comments, then {@code C hex}
 * and {@code S hex} frames (without length) in the order the proxy saw them.
 */
public final class Traffic {
    private static final byte[] ONE = "one".getBytes(StandardCharsets.UTF_8);
    private static final byte[] TWO = "two".getBytes(StandardCharsets.UTF_8);

    private final String server;
    private final Path directory;
    private final BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
    private FrameProxy proxy;
    private ZooKeeper client;

    private Traffic(String server, Path directory) {
        this.server = server;
        this.directory = directory;
    }

    public static void main(String[] arguments) throws Exception {
        Traffic traffic = new Traffic(arguments[0], Path.of(arguments[1]));
        Map<String, Scenario> scenarios = new LinkedHashMap<>();
        scenarios.put("everyday", traffic::everyday);
        scenarios.put("watches", traffic::watches);
        scenarios.put("multi", traffic::multi);
        scenarios.put("acl", traffic::acl);
        scenarios.put("errors", traffic::errors);
        scenarios.put("reconnect", traffic::reconnect);
        scenarios.put("ping", traffic::ping);
        scenarios.put("later", traffic::later);
        List<String> chosen = List.of(arguments).subList(2, arguments.length);
        for (String name : chosen.isEmpty() ? scenarios.keySet() : chosen) {
            traffic.record(name, scenarios.get(name));
        }
    }

    private interface Scenario {
        void run() throws Exception;
    }

    private void record(String name, Scenario scenario) throws Exception {
        proxy = new FrameProxy(server, true);
        proxy.comment("Java client and Apache ZooKeeper 3.9.5, scenario " + name
            + "; made by interop/capture");
        events.clear();
        client = connect(30000);
        scenario.run();
        proxy.comment("closeSession");
        client.close();
        // The last reply has been noted: close() returns after it.
        List<String> notes = proxy.notes();
        proxy.close();
        Files.write(directory.resolve("traffic-" + name + ".txt"), notes);
    }

    private ZooKeeper connect(int timeoutMs) throws IOException, InterruptedException {
        proxy.comment("connect, timeout " + timeoutMs);
        ZooKeeper fresh = new ZooKeeper(proxy.address(), timeoutMs, events::add);
        awaitConnected();
        return fresh;
    }

    private WatchedEvent nextEvent() throws InterruptedException {
        WatchedEvent event = events.poll(20, TimeUnit.SECONDS);
        if (event == null) {
            throw new IllegalStateException("no event came");
        }
        return event;
    }

    private void awaitConnected() throws InterruptedException {
        while (nextEvent().getState() != Watcher.Event.KeeperState.SyncConnected) {
            // Disconnected comes before it when the connection was cut.
        }
    }

    private void everyday() throws Exception {
        proxy.comment("create persistent /t");
        client.create("/t", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        proxy.comment("create2 (with stat) of each other mode");
        Stat stat = new Stat();
        client.create("/t/s-", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL, stat);
        client.create("/t/e", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL, stat);
        client.create("/t/es-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL, stat);
        client.create("/t/empty", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, stat);
        proxy.comment("exists, getData, getData of null data");
        client.exists("/t", false);
        client.getData("/t", false, stat);
        client.getData("/t/es-0000000002", false, stat);
        proxy.comment("setData with version 0, then -1");
        client.setData("/t", TWO, 0);
        client.setData("/t", null, -1);
        proxy.comment("getChildren, getChildren2");
        client.getChildren("/t", false);
        client.getChildren("/t", false, stat);
        proxy.comment("sync");
        client.sync("/t");
        proxy.comment("delete");
        client.delete("/t/empty", 0);
        client.delete("/t/e", -1);
        proxy.comment("4 KiB of data there and back");
        client.create("/t/big", new byte[4096], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.getData("/t/big", false, stat);
    }

    private void watches() throws Exception {
        client.create("/w", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        proxy.comment("getData with watch, setData fires it");
        client.getData("/w", true, null);
        client.setData("/w", TWO, -1);
        nextEvent();
        proxy.comment("exists with watch on a missing node, create fires it");
        client.exists("/w/c", true);
        client.create("/w/c", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        nextEvent();
        proxy.comment("getChildren with watch, create of a child fires it");
        client.getChildren("/w", true);
        client.create("/w/d", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        nextEvent();
        proxy.comment("data and child watch on a node that is deleted, child watch on its parent");
        client.getData("/w/c", true, null);
        client.getChildren("/w/c", true);
        client.getChildren("/w", true);
        client.delete("/w/c", -1);
        nextEvent();
        nextEvent();
    }

    private void multi() throws Exception {
        client.create("/m", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        proxy.comment(
            "multi that succeeds: create, sequential create, ephemeral, setData, check, delete");
        client.multi(List.of(
            Op.create("/m/a", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.create("/m/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL),
            Op.create("/m/e", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL),
            Op.setData("/m", TWO, 0),
            Op.check("/m", 1),
            Op.delete("/m/a", 0)));
        proxy.comment("multi that fails at its third operation (bad version)");
        try {
            client.multi(List.of(
                Op.create("/m/b", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.setData("/m", ONE, -1),
                Op.check("/m", 77),
                Op.delete("/m/b", -1)));
            throw new IllegalStateException("the multi should have failed");
        } catch (KeeperException.BadVersionException expected) {
            proxy.comment("failed as meant: " + expected.getMessage());
        }
        proxy.comment("empty multi");
        client.multi(List.of());
    }

    private void acl() throws Exception {
        proxy.comment("auth digest u:p");
        client.addAuthInfo("digest", "u:p".getBytes(StandardCharsets.UTF_8));
        proxy.comment("create with CREATOR_ALL_ACL, getACL");
        client.create("/acl", ONE, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        client.getACL("/acl", new Stat());
        proxy.comment(
            "setACL adds world:anyone:r and ip:127.0.0.1/8:rw, getACL, setACL wrong version");
        List<ACL> more = Arrays.asList(
            new ACL(31, new Id("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=")),
            new ACL(1, Ids.ANYONE_ID_UNSAFE),
            new ACL(3, new Id("ip", "127.0.0.1/8")));
        client.setACL("/acl", more, 0);
        client.getACL("/acl", null);
        refused(() -> client.setACL("/acl", more, 5));
        proxy.comment(
            "a second client without auth: getData ok, create of a child refused, getACL redacted");
        ZooKeeper stranger = connect(30000);
        stranger.getData("/acl", false, null);
        refused(() -> stranger.create("/acl/x", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        stranger.getACL("/acl", null);
        stranger.close();
    }

    private void errors() throws Exception {
        proxy.comment("NONODE of each read and write");
        refused(() -> client.getData("/none", false, null));
        client.exists("/none", false);
        refused(() -> client.getChildren("/none", false));
        refused(() -> client.getACL("/none", null));
        refused(() -> client.setData("/none", ONE, -1));
        refused(() -> client.delete("/none", -1));
        refused(() -> client.setACL("/none", Ids.OPEN_ACL_UNSAFE, -1));
        refused(() -> client.create("/none/c", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        proxy.comment("NODEEXISTS, BADVERSION, NOTEMPTY, NOCHILDRENFOREPHEMERALS, INVALIDACL,"
            + " BADARGUMENTS");
        client.create("/err", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.create("/err/e", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        refused(() -> client.create("/err", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        refused(() -> client.setData("/err", ONE, 9));
        refused(() -> client.delete("/err", 9));
        refused(() -> client.delete("/err", -1));
        refused(() -> client.create("/err/e/c", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        refused(() -> client.create("/err/x", ONE, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        refused(() -> client.delete("/zookeeper", -1));
    }

    private void reconnect() throws Exception {
        client.create("/r", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.create("/r/gone", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        client.addAuthInfo("digest", "u:p".getBytes(StandardCharsets.UTF_8));
        proxy.comment(
            "watches: data /r, data /r/gone, exists /r/new, children /r, data /zookeeper");
        client.getData("/r", true, null);
        client.getData("/r/gone", true, null);
        client.exists("/r/new", true);
        client.getChildren("/r", true);
        client.getData("/zookeeper", true, null);
        proxy.refuse(true);
        proxy.cut();
        proxy.comment("meanwhile another client sets /r, deletes /r/gone, creates /r/new");
        FrameProxy direct = new FrameProxy(server, false);
        BlockingQueue<WatchedEvent> unused = new LinkedBlockingQueue<>();
        ZooKeeper other = new ZooKeeper(direct.address(), 30000, unused::add);
        other.setData("/r", TWO, -1);
        other.delete("/r/gone", -1);
        other.create("/r/new", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        other.close();
        direct.close();
        proxy.refuse(false);
        awaitConnected();
        for (int i = 0; i < 4; i++) {
            nextEvent();
        }
        proxy.comment("the watch that did not fire is set again: setData /zookeeper");
        client.setData("/zookeeper", new byte[0], -1);
        nextEvent();
    }

    private void ping() throws Exception {
        client.close();
        client = connect(4000);
        proxy.comment("idle: the client pings at a third of its timeout");
        List<String> before = proxy.notes();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (proxy.notes().size() < before.size() + 4 && System.nanoTime() < deadline) {
            TimeUnit.MILLISECONDS.sleep(50);
        }
    }

    private void later() throws Exception {
        proxy.comment("createContainer, getEphemerals, getAllChildrenNumber, whoAmI");
        client.create("/l", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
        client.create("/l/e", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        client.getEphemerals("/l");
        client.getAllChildrenNumber("/");
        client.whoAmI();
        proxy.comment("multiRead (getData, getChildren, getData of a missing node)");
        client.multi(List.of(Op.getData("/l"), Op.getChildren("/l"), Op.getData("/none")));
        proxy.comment("addWatch persistent on /l and recursive on /, setData and create fire them");
        client.addWatch("/l", AddWatchMode.PERSISTENT);
        client.addWatch("/", AddWatchMode.PERSISTENT_RECURSIVE);
        client.setData("/l", TWO, -1);
        nextEvent();
        client.create("/l/c", ONE, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        nextEvent();
        nextEvent();
        proxy.comment("cut: setWatches2 follows the connect");
        proxy.cut();
        awaitConnected();
        proxy.comment("removeWatches of any kind at /l");
        client.removeAllWatches("/l", Watcher.WatcherType.Any, false);
        proxy.comment("createTTL while TTL nodes are off");
        refused(() -> client.create("/ttl", ONE, Ids.OPEN_ACL_UNSAFE,
            CreateMode.PERSISTENT_WITH_TTL, new Stat(), 1000));
    }

    private interface Call {
        void run() throws Exception;
    }

    private void refused(Call call) throws Exception {
        try {
            call.run();
        } catch (KeeperException expected) {
            proxy.comment("refused: " + expected.code());
            return;
        }
        throw new IllegalStateException("the call should have been refused");
    }
}
