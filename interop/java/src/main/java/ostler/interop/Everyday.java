package ostler.interop;

import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;
import static ostler.interop.Steps.refused;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** Everyday work of Apache's Java client against a server: {@code Everyday host:port}. */
public final class Everyday {
    private static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;

    private final Steps steps = new Steps("java");
    private final String root = "/java-" + System.nanoTime();
    private final FrameProxy proxy;
    private final String server;
    private final Steps.Events session = new Steps.Events();
    private final ZooKeeper client;
    private final ZooKeeper other;

    private Everyday(String server) throws Exception {
        this.server = server;
        proxy = new FrameProxy(server, false);
        client = new ZooKeeper(proxy.address(), 10000, session);
        session.await(KeeperState.SyncConnected);
        other = connect(new Steps.Events());
        client.create(root, null, OPEN, CreateMode.PERSISTENT);
    }

    public static void main(String[] arguments) {
        Steps.run("java", () -> {
            Everyday program = new Everyday(arguments[0]);
            program.creates();
            program.values();
            program.children();
            program.watches();
            program.multi();
            program.pipelined();
            program.acl();
            program.reconnect();
            program.reattach();
            program.paths();
            program.close();
            return null;
        });
    }

    private ZooKeeper connect(Steps.Events events) throws Exception {
        ZooKeeper fresh = new ZooKeeper(server, 10000, events);
        events.await(KeeperState.SyncConnected);
        return fresh;
    }

    private void creates() throws Exception {
        steps.step("create in all modes, with and without Stat");
        equal(root + "/p", client.create(root + "/p", data("one"), OPEN, CreateMode.PERSISTENT));
        Stat stat = new Stat();
        String name = client.create(
            root + "/s-", data("x"), OPEN, CreateMode.PERSISTENT_SEQUENTIAL, stat);
        equal(root + "/s-0000000001", name);
        equal(client.exists(name, false), stat);
        expect(stat.getCzxid() == stat.getPzxid() && stat.getDataLength() == 1, "" + stat);
        client.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL, stat);
        equal(client.getSessionId(), stat.getEphemeralOwner());
        name = client.create(root + "/es-", null, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL);
        equal(root + "/es-0000000003", name);
        refused(Code.NODEEXISTS,
            () -> client.create(root + "/p", null, OPEN, CreateMode.PERSISTENT));
        refused(Code.NONODE, () -> client.create(root + "/n/x", null, OPEN, CreateMode.PERSISTENT));
        refused(Code.NOCHILDRENFOREPHEMERALS,
            () -> client.create(root + "/e/x", null, OPEN, CreateMode.PERSISTENT));
        refused(Code.INVALIDACL,
            () -> client.create(root + "/x", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
    }

    private void values() throws Exception {
        steps.step("getData, setData, versions, delete, null and empty data");
        Stat stat = new Stat();
        equal("one", new String(client.getData(root + "/p", false, stat)));
        equal(0, stat.getVersion());
        stat = client.setData(root + "/p", data("two"), 0);
        expect(stat.getVersion() == 1 && stat.getMzxid() > stat.getCzxid(), "" + stat);
        refused(Code.BADVERSION, () -> client.setData(root + "/p", null, 0));
        refused(Code.NONODE, () -> client.setData(root + "/n", null, 0));
        client.setData(root + "/p", null, -1);
        expect(client.getData(root + "/p", false, null) == null, "null stays null");
        client.setData(root + "/p", new byte[0], -1);
        equal(0, client.getData(root + "/p", false, null).length);
        byte[] large = new byte[1_000_000];
        Arrays.fill(large, (byte) 7);
        client.setData(root + "/p", large, -1);
        expect(Arrays.equals(large, client.getData(root + "/p", false, stat)), "1,000,000 bytes");
        equal(4, stat.getVersion());
        refused(Code.NOTEMPTY, () -> delete(root, -1));
        refused(Code.BADVERSION, () -> delete(root + "/p", 0));
        refused(Code.NONODE, () -> delete(root + "/n", -1));
        delete(root + "/s-0000000001", 0);
        expect(client.exists(root + "/s-0000000001", false) == null, "deleted");
        client.sync(root);
    }

    private Object delete(String path, int version) throws Exception {
        client.delete(path, version);
        return null;
    }

    private void children() throws Exception {
        steps.step("getChildren and the parent's Stat");
        String path = root + "/family";
        client.create(path, null, OPEN, CreateMode.PERSISTENT);
        for (String name : List.of("a", "b\u00fccher", "with space")) {
            client.create(path + "/" + name, null, OPEN, CreateMode.PERSISTENT);
        }
        client.delete(path + "/a", -1);
        Stat stat = new Stat();
        List<String> names = client.getChildren(path, false, stat);
        Collections.sort(names);
        equal(List.of("b\u00fccher", "with space"), names);
        equal(stat, client.exists(path, false));
        expect(stat.getCversion() == 4 && stat.getNumChildren() == 2, "" + stat);
        expect(stat.getPzxid() > stat.getMzxid() && stat.getVersion() == 0, "" + stat);
        names = client.getChildren(path + "/with space", false);
        equal(List.of(), names);
    }

    private void watches() throws Exception {
        steps.step("watches: created, changed, children, deleted; one shot each, before the reply");
        Steps.Events events = new Steps.Events();
        String path = root + "/watched";
        expect(client.exists(path, events) == null, "not there yet");
        // Events and answers of one client come from one thread, in the order the server sent them.
        CompletableFuture<Boolean> eventFirst = new CompletableFuture<>();
        client.create(path, null, OPEN, CreateMode.PERSISTENT,
            (code, at, context, name) -> eventFirst.complete(!events.isEmpty()), null);
        expect(eventFirst.get(), "the event comes before the reply of the write that caused it");
        events.next(EventType.NodeCreated, path);
        client.getData(path, events, null);
        other.setData(path, data("1"), -1);
        events.next(EventType.NodeDataChanged, path);
        other.setData(path, data("2"), -1);
        client.getChildren(path, events);
        other.create(path + "/c", null, OPEN, CreateMode.PERSISTENT);
        events.next(EventType.NodeChildrenChanged, path);
        client.getData(path + "/c", events, null);
        client.getChildren(path + "/c", events);
        client.getChildren(path, events);
        other.delete(path + "/c", -1);
        events.next(EventType.NodeDeleted, path + "/c");
        events.next(EventType.NodeChildrenChanged, path);
        CompletableFuture<Integer> fence = new CompletableFuture<>();
        client.sync(path, (code, at, context) -> fence.complete(code), null);
        equal(0, fence.get());
        expect(events.isEmpty(), "each watch fires once, and one event for data and child watch");
    }

    private void multi() throws Exception {
        steps.step("multi, done and failed");
        String path = root + "/m";
        List<OpResult> results = client.multi(List.of(
            Op.create(path, data("0"), OPEN, CreateMode.PERSISTENT),
            Op.create(path + "/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL),
            Op.create(path + "/e", null, OPEN, CreateMode.EPHEMERAL),
            Op.setData(path, data("1"), 0),
            Op.check(path, 1),
            Op.delete(path + "/e", 0)));
        equal(path + "/s-0000000000", ((OpResult.CreateResult) results.get(1)).getPath());
        equal(1, ((OpResult.SetDataResult) results.get(3)).getStat().getVersion());
        try {
            client.multi(List.of(
                Op.create(path + "/never", null, OPEN, CreateMode.PERSISTENT),
                Op.delete(path + "/s-0000000000", -1),
                Op.check(path, 9),
                Op.setData(path, null, -1)));
            throw new AssertionError("the multi should have failed");
        } catch (KeeperException e) {
            equal(Code.BADVERSION, e.code());
            List<Integer> codes = new ArrayList<>();
            e.getResults().forEach(result -> codes.add(((OpResult.ErrorResult) result).getErr()));
            equal(List.of(0, 0, -103, -2), codes);
        }
        expect(client.exists(path + "/never", false) == null, "rolled back");
        equal(path + "/s-0000000002",
            client.create(path + "/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
        equal(0, client.multi(List.of()).size());
    }

    private void pipelined() throws Exception {
        steps.step("1,000 operations in flight: answered in order, reads see earlier writes");
        String path = root + "/fast";
        client.create(path, data("0"), OPEN, CreateMode.PERSISTENT);
        List<String> answers = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch done = new CountDownLatch(1000);
        for (int i = 1; i <= 500; i++) {
            client.setData(path, data("" + i), i - 1, (code, at, context, stat) -> {
                answers.add("set " + code + " " + (stat == null ? "-" : stat.getVersion()));
                done.countDown();
            }, null);
            client.getData(path, false, (code, at, context, bytes, stat) -> {
                answers.add("get " + code + " " + (bytes == null ? "-" : new String(bytes)));
                done.countDown();
            }, null);
        }
        expect(done.await(Steps.WAIT_S, TimeUnit.SECONDS), "1,000 answers");
        for (int i = 1; i <= 500; i++) {
            equal("set 0 " + i, answers.get(2 * i - 2));
            equal("get 0 " + i, answers.get(2 * i - 1));
        }
    }

    private void acl() throws Exception {
        steps.step("digest auth, getACL, setACL");
        String path = root + "/acl";
        other.addAuthInfo("digest", data("u:p"));
        other.create(path, data("mine"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        refused(Code.NOAUTH, () -> client.getData(path, false, null));
        refused(Code.NOAUTH, () -> client.exists(path, false));
        refused(Code.NOAUTH, () -> client.getACL(path, null));
        Stat stat = new Stat();
        List<ACL> mine = List.of(new ACL(31, new Id("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=")));
        equal(mine, other.getACL(path, stat));
        List<ACL> shared = Arrays.asList(mine.get(0), new ACL(1, Ids.ANYONE_ID_UNSAFE));
        equal(1, other.setACL(path, shared, stat.getAversion()).getAversion());
        refused(Code.BADVERSION, () -> other.setACL(path, shared, 0));
        equal("mine", new String(client.getData(path, false, stat)));
        expect(stat.getMzxid() == stat.getCzxid(), "setACL leaves mzxid");
        equal("u:x", client.getACL(path, null).get(0).getId().getId());
        refused(Code.NOAUTH, () -> client.create(path + "/c", null, OPEN, CreateMode.PERSISTENT));
        client.addAuthInfo("digest", data("u:p"));
        client.create(path + "/c", null, OPEN, CreateMode.PERSISTENT);
    }

    private void reconnect() throws Exception {
        steps.step("broken connection: same session, watches set again and caught up");
        long id = client.getSessionId();
        Steps.Events changed = new Steps.Events();
        Steps.Events later = new Steps.Events();
        for (String name : List.of("d", "x", "c", "later")) {
            client.create(root + "/re-" + name, null, OPEN, CreateMode.PERSISTENT);
        }
        client.getData(root + "/re-d", changed, null);
        client.exists(root + "/re-new", changed);
        client.getData(root + "/re-x", changed, null);
        client.getChildren(root + "/re-c", changed);
        client.getData(root + "/re-later", later, null);
        proxy.refuse(true);
        proxy.cut();
        session.await(KeeperState.Disconnected);
        changed.await(KeeperState.Disconnected);
        later.await(KeeperState.Disconnected);
        other.setData(root + "/re-d", data("changed"), -1);
        other.create(root + "/re-new", null, OPEN, CreateMode.PERSISTENT);
        other.delete(root + "/re-x", -1);
        other.create(root + "/re-c/child", null, OPEN, CreateMode.PERSISTENT);
        proxy.refuse(false);
        session.await(KeeperState.SyncConnected);
        changed.await(KeeperState.SyncConnected);
        later.await(KeeperState.SyncConnected);
        List<String> seen = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            var event = changed.next();
            seen.add(event.getType() + " " + event.getPath().substring(root.length()));
        }
        Collections.sort(seen);
        equal(List.of("NodeChildrenChanged /re-c", "NodeCreated /re-new", "NodeDataChanged /re-d",
            "NodeDeleted /re-x"), seen);
        equal(id, client.getSessionId());
        expect(client.exists(root + "/e", false) != null, "the ephemeral is still there");
        other.setData(root + "/re-later", null, -1);
        later.next(EventType.NodeDataChanged, root + "/re-later");
        client.getData(root + "/acl", false, null);
    }

    private void reattach() throws Exception {
        steps.step("the session taken over by another handle with id and password");
        Steps.Events events = new Steps.Events();
        ZooKeeper first = connect(new Steps.Events());
        first.create(root + "/handed", null, OPEN, CreateMode.EPHEMERAL);
        long id = first.getSessionId();
        byte[] password = first.getSessionPasswd();
        ZooKeeper second = new ZooKeeper(server, 10000, events, id, password);
        events.await(KeeperState.SyncConnected);
        equal(id, second.getSessionId());
        equal(id, second.exists(root + "/handed", false).getEphemeralOwner());
        Steps.Events gone = new Steps.Events();
        client.exists(root + "/handed", gone);
        second.close();
        gone.next(EventType.NodeDeleted, root + "/handed");

        steps.step("a closed session and a wrong password are told to be expired");
        first.close();
        events = new Steps.Events();
        ZooKeeper late = new ZooKeeper(server, 10000, events, id, password);
        events.await(KeeperState.Expired);
        late.close();
        ZooKeeper victim = connect(new Steps.Events());
        events = new Steps.Events();
        ZooKeeper thief = new ZooKeeper(server, 10000, events, victim.getSessionId(), new byte[16]);
        events.await(KeeperState.Expired);
        thief.close();
        victim.close();
    }

    private void paths() throws Exception {
        steps.step("a chroot, deep and odd paths");
        ZooKeeper inside = new ZooKeeper(server + root, 10000, new Steps.Events());
        equal("/deep", inside.create("/deep", null, OPEN, CreateMode.PERSISTENT));
        String path = "/deep";
        for (int i = 0; i < 50; i++) {
            path = inside.create(path + "/level" + i, null, OPEN, CreateMode.PERSISTENT);
        }
        expect(client.exists(root + path, false) != null, "51 levels deep");
        inside.create("/...", null, OPEN, CreateMode.PERSISTENT);
        inside.close();
    }

    private void close() throws Exception {
        steps.step("close: ephemerals are gone, and all can be deleted");
        Steps.Events gone = new Steps.Events();
        other.exists(root + "/e", gone);
        client.close();
        gone.next(EventType.NodeDeleted, root + "/e");
        ZKUtil.deleteRecursive(other, root);
        expect(other.exists(root, false) == null, "all deleted");
        other.close();
        proxy.close();
    }
}
