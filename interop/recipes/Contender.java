import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.retry.RetryNTimes;

/**
 * Contends with others for one of Curator's recipes: Contender host:port kind path rounds dir.
 *
 * <p>What it does while it holds is what the `witness` beside it does.
 */
public final class Contender {
    private static final int LEASES = 2;
    private static final int MEMBERS = 3;

    private final CuratorFramework client;
    private final String kind;
    private final String path;
    private final Path dir;
    private int rounds;

    private Contender(CuratorFramework client, String kind, String path, Path dir) {
        this.client = client;
        this.kind = kind;
        this.path = path;
        this.dir = dir;
    }

    public static void main(String[] words) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(
                words[0], 10_000, 10_000, new ExponentialBackoffRetry(50, 8));
        client.start();
        Path dir = Path.of(words[4]);
        Files.createDirectories(dir.resolve("shared"));
        Contender contender = new Contender(client, words[1], words[2], dir);
        for (int round = 0; round < Integer.parseInt(words[3]); round++) {
            contender.round();
        }
        client.close();
        System.exit(0);
    }

    private void round() throws Exception {
        switch (kind) {
            case "mutex" -> holding(new InterProcessMutex(client, path), this::exclusive);
            case "write" -> holding(
                    new InterProcessReadWriteLock(client, path).writeLock(), this::exclusive);
            case "read" -> holding(
                    new InterProcessReadWriteLock(client, path).readLock(), this::shared);
            case "leases" -> leases();
            case "latch" -> latch();
            case "election" -> election();
            case "long" -> counted(new DistributedAtomicLong(client, path, new RetryNTimes(99, 2))
                    .increment().succeeded());
            case "int" -> counted(new DistributedAtomicInteger(client, path, new RetryNTimes(99, 2))
                    .increment().succeeded());
            case "shared" -> sharedCount();
            case "double" -> doubleBarrier();
            case "gate" -> new DistributedBarrier(client, path).waitOnBarrier();
            case "hold" -> holding(new InterProcessMutex(client, path), () -> {
                System.out.println("held");
                new CountDownLatch(1).await();
            });
            default -> throw new IllegalArgumentException(kind);
        }
    }

    private interface Section {
        void run() throws Exception;
    }

    private static void holding(InterProcessLock lock, Section section) throws Exception {
        lock.acquire();
        try {
            section.run();
        } finally {
            lock.release();
        }
    }

    private void leases() throws Exception {
        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, path, LEASES);
        Lease lease = semaphore.acquire();
        Path own = Files.createDirectory(own());
        try (var others = Files.list(dir.resolve("shared"))) {
            if (others.count() > LEASES) {
                violated("more than " + LEASES);
            }
        }
        pause();
        Files.delete(own);
        semaphore.returnLease(lease);
    }

    private void latch() throws Exception {
        LeaderLatch latch = new LeaderLatch(client, path, "curator");
        latch.start();
        latch.await();
        exclusive();
        latch.close();
    }

    private void election() throws Exception {
        Semaphore done = new Semaphore(0);
        LeaderSelector selector = new LeaderSelector(client, path, new LeaderSelectorListenerAdapter() {
            @Override
            public void takeLeadership(CuratorFramework client) throws Exception {
                exclusive();
                done.release();
            }
        });
        selector.setId("curator");
        selector.start();
        done.acquire();
        selector.close();
    }

    private void sharedCount() throws Exception {
        try (SharedCount count = new SharedCount(client, path, 0)) {
            count.start();
            while (true) {
                var now = count.getVersionedValue();
                if (count.trySetCount(now, now.getValue() + 1)) {
                    return;
                }
            }
        }
    }

    private void doubleBarrier() throws Exception {
        DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(
                client, path + "/" + ++rounds, MEMBERS);
        barrier.enter();
        pause();
        barrier.leave();
    }

    private static void counted(boolean succeeded) {
        if (!succeeded) {
            throw new IllegalStateException("Curator gives up");
        }
    }

    private void exclusive() throws Exception {
        try {
            Files.createDirectory(dir.resolve("exclusive"));
        } catch (FileAlreadyExistsException e) {
            violated("somebody is here");
        }
        nobodyReads();
        Path file = dir.resolve("count");
        int count;
        try {
            count = Integer.parseInt(Files.readString(file).strip());
        } catch (NoSuchFileException e) {
            count = 0;
        }
        pause();
        Files.writeString(file, (count + 1) + "\n");
        nobodyReads();
        Files.delete(dir.resolve("exclusive"));
    }

    private void shared() throws Exception {
        Path own = Files.createDirectory(own());
        nobodyWrites();
        pause();
        nobodyWrites();
        Files.delete(own);
    }

    private Path own() {
        return dir.resolve("shared/java-" + ProcessHandle.current().pid());
    }

    private void nobodyReads() throws Exception {
        try (var readers = Files.list(dir.resolve("shared"))) {
            if (readers.findAny().isPresent()) {
                violated("somebody reads");
            }
        }
    }

    private void nobodyWrites() throws Exception {
        if (Files.exists(dir.resolve("exclusive"))) {
            violated("somebody writes");
        }
    }

    private static void pause() throws InterruptedException {
        Thread.sleep(ThreadLocalRandom.current().nextInt(10));
    }

    private void violated(String text) throws Exception {
        Files.writeString(dir.resolve("violations"), kind + " (Curator): " + text + "\n",
                StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        System.exit(1);
    }
}
