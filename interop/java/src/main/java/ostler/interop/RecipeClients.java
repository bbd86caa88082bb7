package ostler.interop;

import static ostler.interop.Steps.expect;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;

/**
 * What each family of {@link CuratorRecipes} has: two clients of a stock Curator, the first of
 * them behind a proxy that can cut it off, and ways to wait that end.
 */
final class RecipeClients {
    static final int SESSION_TIMEOUT_MS = 10_000;

    final String root;
    /** Behind the proxy: {@link #whileCut} and {@link #killSession} are about this one. */
    final CuratorFramework one;
    final CuratorFramework two;
    private final Steps steps;
    private final String server;
    private final FrameProxy proxy;
    private final BlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
    private volatile String current = "connect";

    /** The root is named after the program and the family of recipes. */
    RecipeClients(String program, String family, String server) throws Exception {
        this.root = "/" + program + "-" + family + "-" + System.nanoTime();
        this.steps = new Steps(program);
        this.server = server;
        this.proxy = new FrameProxy(server, false);
        this.one = connect(proxy.address());
        this.two = connect(server);
        one.getConnectionStateListenable().addListener((client, state) -> states.add(state));
        // Not as a container: those that are empty may be taken away at any time.
        two.create().withMode(CreateMode.PERSISTENT).forPath(root);
    }

    void step(String text) {
        current = text;
        steps.step(text);
    }

    /** What {@link #step} was last told. */
    String current() {
        return current;
    }

    /** Cuts the first client off, runs the changes, and lets it back with the same session. */
    void whileCut(Steps.Call changes) throws Exception {
        long session = one.getZookeeperClient().getZooKeeper().getSessionId();
        states.clear();
        proxy.refuse(true);
        proxy.cut();
        awaitState(ConnectionState.SUSPENDED);
        changes.run();
        proxy.refuse(false);
        awaitState(ConnectionState.RECONNECTED);
        Steps.equal(session, one.getZookeeperClient().getZooKeeper().getSessionId());
    }

    /** Ends the first client's session behind its back: all it has is gone, and it gets another. */
    void killSession() throws Exception {
        ZooKeeper victim = one.getZookeeperClient().getZooKeeper();
        states.clear();
        proxy.refuse(true);
        proxy.cut();
        awaitState(ConnectionState.SUSPENDED);
        Steps.Events events = new Steps.Events();
        ZooKeeper thief = new ZooKeeper(server, SESSION_TIMEOUT_MS, events,
            victim.getSessionId(), victim.getSessionPasswd());
        events.await(KeeperState.SyncConnected);
        thief.close();
        proxy.refuse(false);
        awaitState(ConnectionState.LOST);
        awaitState(ConnectionState.RECONNECTED);
        expect(one.getZookeeperClient().getZooKeeper().getSessionId() != victim.getSessionId(),
            "another session");
    }

    void close() throws Exception {
        current = "close, and all can be deleted";
        one.close();
        two.delete().guaranteed().deletingChildrenIfNeeded().forPath(root);
        expect(two.checkExists().forPath(root) == null, "all deleted");
        two.close();
        proxy.close();
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    /** For what another client or thread does by and by. */
    static void eventually(Condition condition, String text) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Steps.WAIT_S);
        while (!condition.holds()) {
            expect(System.nanoTime() < deadline, "not in time: " + text);
            TimeUnit.MILLISECONDS.sleep(5);
        }
    }

    /** The next so many elements. */
    static <T> List<T> take(BlockingQueue<T> queue, int count) throws InterruptedException {
        List<T> taken = new ArrayList<>();
        while (taken.size() < count) {
            T next = queue.poll(Steps.WAIT_S, TimeUnit.SECONDS);
            expect(next != null, "only " + taken + " of " + count);
            taken.add(next);
        }
        return taken;
    }

    /** The next elements up to this one, which must come. */
    static <T> void takeUntil(BlockingQueue<T> queue, T wanted) throws InterruptedException {
        List<T> before = new ArrayList<>();
        while (true) {
            T next = queue.poll(Steps.WAIT_S, TimeUnit.SECONDS);
            expect(next != null, "no " + wanted + ", only " + before);
            if (next.equals(wanted)) {
                return;
            }
            before.add(next);
        }
    }

    /** Runs it on a thread of its own; {@link #result} has what it gave. */
    static <T> Future<T> start(Callable<T> task) {
        FutureTask<T> future = new FutureTask<>(task);
        Thread thread = new Thread(future, "recipe");
        thread.setDaemon(true);
        thread.start();
        return future;
    }

    static <T> T result(Future<T> future) throws Exception {
        return future.get(2 * Steps.WAIT_S, TimeUnit.SECONDS);
    }

    private void awaitState(ConnectionState wanted) throws InterruptedException {
        takeUntil(states, wanted);
    }

    private static CuratorFramework connect(String address) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder()
            .connectString(address)
            .sessionTimeoutMs(SESSION_TIMEOUT_MS)
            .connectionTimeoutMs(SESSION_TIMEOUT_MS)
            .retryPolicy(new ExponentialBackoffRetry(50, 5))
            .build();
        client.start();
        expect(client.blockUntilConnected(Steps.WAIT_S, TimeUnit.SECONDS), "connected");
        return client;
    }
}
