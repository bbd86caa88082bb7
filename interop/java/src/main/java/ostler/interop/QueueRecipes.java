package ostler.interop;

import static ostler.interop.RecipeClients.result;
import static ostler.interop.RecipeClients.start;
import static ostler.interop.RecipeClients.take;
import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;

/** Curator's queues. */
final class QueueRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    QueueRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/queues";
    }

    Object run() throws Exception {
        queue();
        lockedQueue();
        priorityQueue();
        delayQueue();
        idQueue();
        simpleQueue();
        return null;
    }

    private void queue() throws Exception {
        clients.step("DistributedQueue: each item once, in the order it was put");
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        DistributedQueue<String> source = builder(one, null, "/plain").buildQueue();
        source.start();
        List<String> items = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            items.add("item " + i);
            source.put("item " + i);
        }
        DistributedQueue<String> sink = builder(two, into(got), "/plain").buildQueue();
        sink.start();
        equal(items, take(got, 50));
        source.put("late");
        equal(List.of("late"), take(got, 1));
        expect(source.flushPuts(Steps.WAIT_S, TimeUnit.SECONDS), "all put");
        // Two that take from it share the items.
        DistributedQueue<String> more = builder(one, into(got), "/plain").buildQueue();
        more.start();
        for (String item : items) {
            source.put(item);
        }
        equal(new HashSet<>(items), new HashSet<>(take(got, 50)));
        expect(got.isEmpty(), "each once: " + got);
        source.close();
        sink.close();
        more.close();
    }

    private void lockedQueue() throws Exception {
        clients.step("DistributedQueue with a lock: an item is not lost when consuming it fails");
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        AtomicBoolean failed = new AtomicBoolean();
        DistributedQueue<String> source = builder(one, null, "/locked").buildQueue();
        source.start();
        QueueConsumer<String> failing = new Consumer() {
            @Override
            public void consumeMessage(String item) {
                if (item.equals("b") && failed.compareAndSet(false, true)) {
                    throw new IllegalStateException("as the step wants it");
                }
                got.add(item);
            }
        };
        DistributedQueue<String> sink = builder(two, failing, "/locked")
            .lockPath(root + "/locked-locks").buildQueue();
        sink.start();
        for (String item : List.of("a", "b", "c")) {
            source.put(item);
        }
        equal(new HashSet<>(List.of("a", "b", "c")), new HashSet<>(take(got, 3)));
        expect(failed.get(), "and it had failed");
        source.close();
        sink.close();
    }

    private void priorityQueue() throws Exception {
        clients.step("DistributedPriorityQueue: the lowest number first");
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        DistributedPriorityQueue<String> source =
            builder(one, null, "/priority").buildPriorityQueue(1);
        source.start();
        for (int priority : List.of(5, -3, 9, 0, 1, -20)) {
            source.put("p" + priority, priority);
        }
        expect(source.flushPuts(Steps.WAIT_S, TimeUnit.SECONDS), "all put");
        DistributedPriorityQueue<String> sink =
            builder(two, into(got), "/priority").buildPriorityQueue(1);
        sink.start();
        equal(List.of("p-20", "p-3", "p0", "p1", "p5", "p9"), take(got, 6));
        source.close();
        sink.close();
    }

    private void delayQueue() throws Exception {
        clients.step("DistributedDelayQueue: not before its time, and by time");
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        DistributedDelayQueue<String> queue =
            builder(one, into(got), "/delay").buildDelayQueue();
        queue.start();
        long now = System.currentTimeMillis();
        queue.put("last", now + 600);
        queue.put("first", now + 300);
        queue.put("middle", now + 450);
        equal(List.of("first", "middle", "last"), take(got, 3));
        expect(System.currentTimeMillis() >= now + 600, "too early");
        queue.close();
    }

    private void idQueue() throws Exception {
        clients.step("DistributedIdQueue: an item is removed by its id");
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        DistributedIdQueue<String> source = builder(one, null, "/ids").buildIdQueue();
        source.start();
        for (String item : List.of("a", "b", "c")) {
            source.put(item, "id-" + item);
        }
        expect(source.flushPuts(Steps.WAIT_S, TimeUnit.SECONDS), "all put");
        equal(1, source.remove("id-b"));
        equal(0, source.remove("id-none"));
        DistributedIdQueue<String> sink = builder(two, into(got), "/ids").buildIdQueue();
        sink.start();
        equal(List.of("a", "c"), take(got, 2));
        source.close();
        sink.close();
    }

    private void simpleQueue() throws Exception {
        clients.step("SimpleDistributedQueue: offer, peek, element, poll, take, remove");
        SimpleDistributedQueue mine = new SimpleDistributedQueue(one, root + "/simple");
        SimpleDistributedQueue theirs = new SimpleDistributedQueue(two, root + "/simple");
        Future<byte[]> waiting = start(theirs::take);
        expect(mine.offer(data("0")), "offered");
        equal("0", new String(result(waiting)));
        expect(mine.poll(50, TimeUnit.MILLISECONDS) == null && mine.peek() == null, "empty");
        try {
            mine.element();
            throw new AssertionError("an element of an empty queue");
        } catch (NoSuchElementException e) {
            // That is what it promises.
        }
        for (int i = 1; i <= 4; i++) {
            mine.offer(data("" + i));
        }
        equal("1", new String(theirs.peek()));
        equal("1", new String(theirs.element()));
        equal("1", new String(theirs.poll()));
        equal("2", new String(mine.remove()));
        equal("3", new String(theirs.take()));
        equal("4", new String(mine.poll(Steps.WAIT_S, TimeUnit.SECONDS)));
    }

    private QueueBuilder<String> builder(
        CuratorFramework client, QueueConsumer<String> consumer, String name) {
        return QueueBuilder.builder(client, consumer, new QueueSerializer<>() {
            @Override
            public byte[] serialize(String item) {
                return data(item);
            }

            @Override
            public String deserialize(byte[] bytes) {
                return new String(bytes);
            }
        }, root + name);
    }

    private static Consumer into(BlockingQueue<String> got) {
        return new Consumer() {
            @Override
            public void consumeMessage(String item) {
                got.add(item);
            }
        };
    }

    private abstract static class Consumer implements QueueConsumer<String> {
        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {
            // No connection is cut here.
        }
    }
}
