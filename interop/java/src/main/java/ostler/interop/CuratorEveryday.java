package ostler.interop;

import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;

/** Everyday work of Curator and its recipes against a server: {@code CuratorEveryday host:port}. */
// TreeCache, PathChildrenCache and NodeCache are those that use one-shot watches.
@SuppressWarnings("deprecation")
public final class CuratorEveryday {
    private final Steps steps = new Steps("curator");
    private final String root = "/curator-" + System.nanoTime();
    private final CuratorFramework one;
    private final CuratorFramework two;

    private CuratorEveryday(String server) throws Exception {
        one = connect(server);
        two = connect(server);
    }

    public static void main(String[] arguments) {
        Steps.run("curator", () -> {
            CuratorEveryday program = new CuratorEveryday(arguments[0]);
            program.everyday();
            program.mutex();
            program.readWriteLock();
            program.semaphore();
            program.latch();
            program.counters();
            program.barrierAndQueue();
            program.treeCache();
            program.olderCaches();
            program.persistentNode();
            program.close();
            return null;
        });
    }

    /**
     * As stock as Curator comes: it makes the parents of its recipes' nodes as containers, and asks
     * the server about watches (checkWatches) whenever a recipe gives one up.
     */
    private static CuratorFramework connect(String server) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder()
            .connectString(server)
            .sessionTimeoutMs(10000)
            .connectionTimeoutMs(10000)
            .retryPolicy(new RetryOneTime(100))
            .build();
        client.start();
        expect(client.blockUntilConnected(Steps.WAIT_S, TimeUnit.SECONDS), "connected");
        return client;
    }

    private void everyday() throws Exception {
        steps.step("create with parents, protection, transaction, background, guaranteed delete");
        one.create().creatingParentsIfNeeded().forPath(root + "/a/b", data("1"));
        String guarded = one.create().withProtection()
            .withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(root + "/a/guarded-");
        expect(guarded.contains("_c_") && guarded.endsWith("0000000001"), guarded);
        Collection<CuratorTransactionResult> results = one.transaction().forOperations(
            one.transactionOp().create().forPath(root + "/t", data("0")),
            one.transactionOp().setData().withVersion(0).forPath(root + "/t", data("1")),
            one.transactionOp().check().withVersion(1).forPath(root + "/t"));
        equal(3, results.size());
        CountDownLatch answered = new CountDownLatch(1);
        one.getData().inBackground((client, event) -> {
            if (event.getResultCode() == 0 && new String(event.getData()).equals("1")) {
                answered.countDown();
            }
        }).forPath(root + "/a/b");
        expect(answered.await(Steps.WAIT_S, TimeUnit.SECONDS), "background read");
        one.create().orSetData().forPath(root + "/t", data("2"));
        equal("2", new String(two.getData().forPath(root + "/t")));
        one.delete().guaranteed().deletingChildrenIfNeeded().forPath(root + "/a");
        expect(one.checkExists().forPath(root + "/a") == null, "deleted with its children");
    }

    private void mutex() throws Exception {
        steps.step("InterProcessMutex: two clients, four threads, one holder at a time");
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger total = new AtomicInteger();
        ExecutorService threads = Executors.newFixedThreadPool(4);
        List<Future<?>> pending = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            CuratorFramework client = i % 2 == 0 ? one : two;
            pending.add(threads.submit(() -> {
                InterProcessMutex mutex = new InterProcessMutex(client, root + "/mutex");
                for (int turn = 0; turn < 25; turn++) {
                    expect(mutex.acquire(Steps.WAIT_S, TimeUnit.SECONDS), "acquired");
                    equal(1, inside.incrementAndGet());
                    total.incrementAndGet();
                    inside.decrementAndGet();
                    mutex.release();
                }
                return null;
            }));
        }
        for (Future<?> each : pending) {
            each.get(60, TimeUnit.SECONDS);
        }
        threads.shutdown();
        equal(100, total.get());
    }

    private void readWriteLock() throws Exception {
        steps.step("InterProcessReadWriteLock");
        InterProcessReadWriteLock mine = new InterProcessReadWriteLock(one, root + "/rw");
        InterProcessReadWriteLock theirs = new InterProcessReadWriteLock(two, root + "/rw");
        mine.readLock().acquire();
        expect(theirs.readLock().acquire(Steps.WAIT_S, TimeUnit.SECONDS), "readers share");
        theirs.readLock().release();
        expect(!theirs.writeLock().acquire(100, TimeUnit.MILLISECONDS), "a reader blocks writers");
        mine.readLock().release();
        expect(theirs.writeLock().acquire(Steps.WAIT_S, TimeUnit.SECONDS), "then the writer");
        theirs.writeLock().release();
    }

    private void semaphore() throws Exception {
        steps.step("InterProcessSemaphoreV2");
        InterProcessSemaphoreV2 mine = new InterProcessSemaphoreV2(one, root + "/semaphore", 2);
        InterProcessSemaphoreV2 theirs = new InterProcessSemaphoreV2(two, root + "/semaphore", 2);
        var first = mine.acquire(Steps.WAIT_S, TimeUnit.SECONDS);
        var second = theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS);
        expect(first != null && second != null, "two leases");
        expect(theirs.acquire(100, TimeUnit.MILLISECONDS) == null, "no third");
        mine.returnLease(first);
        var third = theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS);
        expect(third != null, "the returned one");
        theirs.returnAll(List.of(second, third));
    }

    private void latch() throws Exception {
        steps.step("LeaderLatch: the second leads when the first leaves");
        LeaderLatch first = new LeaderLatch(one, root + "/latch", "first");
        LeaderLatch second = new LeaderLatch(two, root + "/latch", "second");
        first.start();
        expect(first.await(Steps.WAIT_S, TimeUnit.SECONDS), "the first leads");
        second.start();
        while (second.getParticipants().size() < 2) {
            Thread.onSpinWait();
        }
        equal("first", second.getLeader().getId());
        expect(!second.hasLeadership(), "one leader");
        first.close();
        expect(second.await(Steps.WAIT_S, TimeUnit.SECONDS), "the second leads");
        second.close();
    }

    private void counters() throws Exception {
        steps.step("DistributedAtomicLong, SharedCount");
        DistributedAtomicLong mine =
            new DistributedAtomicLong(one, root + "/long", new RetryNTimes(50, 1));
        DistributedAtomicLong theirs =
            new DistributedAtomicLong(two, root + "/long", new RetryNTimes(50, 1));
        for (int i = 0; i < 10; i++) {
            expect(mine.add(2L).succeeded() && theirs.subtract(1L).succeeded(), "added");
        }
        equal(10L, mine.get().postValue());
        SharedCount count = new SharedCount(one, root + "/count", 5);
        SharedCount same = new SharedCount(two, root + "/count", 0);
        count.start();
        same.start();
        equal(5, same.getCount());
        expect(same.trySetCount(same.getVersionedValue(), 6), "set");
        eventually(() -> count.getCount() == 6, "the other sees 6");
        count.close();
        same.close();
    }

    private void barrierAndQueue() throws Exception {
        steps.step("DistributedDoubleBarrier, SimpleDistributedQueue");
        ExecutorService threads = Executors.newFixedThreadPool(2);
        List<Future<Boolean>> passed = new ArrayList<>();
        for (CuratorFramework client : List.of(one, two)) {
            passed.add(threads.submit(() -> {
                DistributedDoubleBarrier barrier =
                    new DistributedDoubleBarrier(client, root + "/barrier", 2);
                return barrier.enter(Steps.WAIT_S, TimeUnit.SECONDS)
                    && barrier.leave(Steps.WAIT_S, TimeUnit.SECONDS);
            }));
        }
        for (Future<Boolean> each : passed) {
            expect(each.get(), "entered and left");
        }
        threads.shutdown();
        SimpleDistributedQueue queue = new SimpleDistributedQueue(one, root + "/queue");
        for (int i = 0; i < 5; i++) {
            queue.offer(data("" + i));
        }
        SimpleDistributedQueue same = new SimpleDistributedQueue(two, root + "/queue");
        for (int i = 0; i < 5; i++) {
            equal("" + i, new String(same.poll(Steps.WAIT_S, TimeUnit.SECONDS)));
        }
    }

    private void treeCache() throws Exception {
        steps.step("TreeCache follows creates, changes and deletes of another client");
        String top = root + "/tree";
        two.create().forPath(top, data("top"));
        two.create().forPath(top + "/early", data("1"));
        TreeCache cache = TreeCache.newBuilder(one, top).build();
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        cache.getListenable().addListener((client, event) -> seen.add(event.getType()
            + (event.getData() == null ? "" : event.getData().getPath().substring(root.length()))));
        cache.start();
        List<String> early = take(seen, 3);
        equal("INITIALIZED", early.get(2));
        for (int i = 0; i < 20; i++) {
            two.create().creatingParentsIfNeeded().forPath(top + "/d" + i + "/leaf", data("x"));
        }
        List<String> added = take(seen, 40);
        expect(added.contains("NODE_ADDED/tree/d19/leaf"), "" + added);
        two.setData().forPath(top + "/early", data("2"));
        equal(List.of("NODE_UPDATED/tree/early"), take(seen, 1));
        equal("2", new String(cache.getCurrentData(top + "/early").getData()));
        two.delete().deletingChildrenIfNeeded().forPath(top + "/d7");
        List<String> removed = take(seen, 2);
        expect(removed.contains("NODE_REMOVED/tree/d7"), "" + removed);
        equal(20, cache.getCurrentChildren(top).size());
        cache.close();
    }

    private void olderCaches() throws Exception {
        steps.step("PathChildrenCache, NodeCache");
        String top = root + "/children";
        two.create().forPath(top);
        PathChildrenCache children = new PathChildrenCache(one, top, true);
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        children.getListenable().addListener((client, event) -> seen.add(event.getType()
            + (event.getData() == null ? "" : event.getData().getPath().substring(top.length()))));
        children.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        two.create().forPath(top + "/a", data("1"));
        equal(List.of("CHILD_ADDED/a"), take(seen, 1));
        two.setData().forPath(top + "/a", data("2"));
        equal(List.of("CHILD_UPDATED/a"), take(seen, 1));
        two.delete().forPath(top + "/a");
        equal(List.of("CHILD_REMOVED/a"), take(seen, 1));
        children.close();

        NodeCache node = new NodeCache(one, root + "/node");
        BlockingQueue<String> values = new LinkedBlockingQueue<>();
        node.getListenable().addListener(() -> values.add(
            node.getCurrentData() == null ? "none" : new String(node.getCurrentData().getData())));
        node.start(true);
        two.create().forPath(root + "/node", data("1"));
        equal(List.of("1"), take(values, 1));
        two.setData().forPath(root + "/node", data("2"));
        equal(List.of("2"), take(values, 1));
        two.delete().forPath(root + "/node");
        equal(List.of("none"), take(values, 1));
        node.close();
    }

    private void persistentNode() throws Exception {
        steps.step("PersistentNode comes back when somebody deletes it");
        PersistentNode node =
            new PersistentNode(one, CreateMode.EPHEMERAL, false, root + "/persistent", data("x"));
        node.start();
        expect(node.waitForInitialCreate(Steps.WAIT_S, TimeUnit.SECONDS), "created");
        long first = two.checkExists().forPath(root + "/persistent").getCzxid();
        two.delete().forPath(root + "/persistent");
        eventually(() -> {
            var stat = two.checkExists().forPath(root + "/persistent");
            return stat != null && stat.getCzxid() > first;
        }, "created again");
        node.close();
    }

    private void close() throws Exception {
        two.delete().guaranteed().deletingChildrenIfNeeded().forPath(root);
        one.close();
        two.close();
    }

    private static List<String> take(BlockingQueue<String> queue, int count)
        throws InterruptedException {
        List<String> taken = new ArrayList<>();
        while (taken.size() < count) {
            String next = queue.poll(Steps.WAIT_S, TimeUnit.SECONDS);
            expect(next != null, "only " + taken + " of " + count + " events");
            taken.add(next);
        }
        return Collections.unmodifiableList(taken);
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void eventually(Condition condition, String text) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Steps.WAIT_S);
        while (!condition.holds()) {
            expect(System.nanoTime() < deadline, text);
            TimeUnit.MILLISECONDS.sleep(10);
        }
    }
}
