package ostler.interop;

import static ostler.interop.RecipeClients.eventually;
import static ostler.interop.RecipeClients.result;
import static ostler.interop.RecipeClients.start;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Locker;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.shared.SharedCount;

/** Curator's locks and semaphores. */
final class LockRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    LockRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/locks";
    }

    Object run() throws Exception {
        mutexExcludes();
        mutexReenters();
        mutexIsRevoked();
        mutexOfDeadSession();
        readWriteLock();
        semaphore();
        semaphoreWithSharedCount();
        multiLock();
        return null;
    }

    private void mutexExcludes() throws Exception {
        clients.step("InterProcessMutex: two clients, four threads, one inside at a time");
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger total = new AtomicInteger();
        List<Future<?>> pending = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            InterProcessMutex mutex = new InterProcessMutex(i % 2 == 0 ? one : two, root + "/m");
            pending.add(start(() -> {
                for (int turn = 0; turn < 10; turn++) {
                    try (Locker held = new Locker(mutex, Steps.WAIT_S, TimeUnit.SECONDS)) {
                        equal(1, inside.incrementAndGet());
                        expect(mutex.isOwnedByCurrentThread() && held != null, "owned");
                        total.incrementAndGet();
                        inside.decrementAndGet();
                    }
                }
                return null;
            }));
        }
        for (Future<?> each : pending) {
            result(each);
        }
        equal(40, total.get());
    }

    private void mutexReenters() throws Exception {
        clients.step("InterProcessMutex: reentrant, and released only by its owner");
        InterProcessMutex mine = new InterProcessMutex(one, root + "/again");
        InterProcessMutex theirs = new InterProcessMutex(two, root + "/again");
        mine.acquire();
        mine.acquire();
        expect(!theirs.acquire(50, TimeUnit.MILLISECONDS), "taken");
        equal(1, theirs.getParticipantNodes().size());
        mine.release();
        expect(!theirs.acquire(50, TimeUnit.MILLISECONDS), "still taken");
        boolean refused = result(start(() -> {
            try {
                mine.release();
                return false;
            } catch (IllegalMonitorStateException e) {
                return true;
            }
        }));
        expect(refused && mine.isAcquiredInThisProcess(), "another thread cannot release it");
        Future<Boolean> waiter = start(() -> {
            boolean got = theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS);
            theirs.release();
            return got;
        });
        eventually(() -> mine.getParticipantNodes().size() == 2, "the waiter queues");
        mine.release();
        expect(result(waiter), "handed over");
    }

    private void mutexIsRevoked() throws Exception {
        clients.step("InterProcessMutex: the holder is asked to give it up");
        InterProcessMutex mine = new InterProcessMutex(one, root + "/revoked");
        CountDownLatch asked = new CountDownLatch(1);
        mine.makeRevocable(mutex -> asked.countDown());
        mine.acquire();
        String node = mine.getParticipantNodes().iterator().next();
        Revoker.attemptRevoke(two, node);
        expect(asked.await(Steps.WAIT_S, TimeUnit.SECONDS), "told of it");
        mine.release();
        InterProcessMutex theirs = new InterProcessMutex(two, root + "/revoked");
        expect(theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS), "free");
        theirs.release();
    }

    private void mutexOfDeadSession() throws Exception {
        clients.step("InterProcessMutex, InterProcessSemaphoreMutex: free when the session ends");
        InterProcessMutex mine = new InterProcessMutex(one, root + "/dead");
        InterProcessMutex theirs = new InterProcessMutex(two, root + "/dead");
        InterProcessLock simple = new InterProcessSemaphoreMutex(one, root + "/simple");
        InterProcessLock other = new InterProcessSemaphoreMutex(two, root + "/simple");
        mine.acquire();
        simple.acquire();
        expect(!other.acquire(50, TimeUnit.MILLISECONDS), "not reentrant, and taken");
        Future<Boolean> waiter = start(() -> theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS)
            && other.acquire(Steps.WAIT_S, TimeUnit.SECONDS));
        eventually(() -> theirs.getParticipantNodes().size() == 2, "the waiter queues");
        clients.killSession();
        expect(result(waiter), "handed over");
        mine.release();
        other.release();
        expect(other.acquire(Steps.WAIT_S, TimeUnit.SECONDS), "free again");
        other.release();
    }

    private void readWriteLock() throws Exception {
        clients.step("InterProcessReadWriteLock: shared, exclusive, in order, downgraded");
        InterProcessReadWriteLock mine = new InterProcessReadWriteLock(one, root + "/rw");
        InterProcessReadWriteLock theirs = new InterProcessReadWriteLock(two, root + "/rw");
        mine.readLock().acquire();
        expect(theirs.readLock().acquire(Steps.WAIT_S, TimeUnit.SECONDS), "readers share");
        theirs.readLock().release();
        expect(!theirs.writeLock().acquire(50, TimeUnit.MILLISECONDS), "a reader keeps it out");
        Future<Boolean> writer = start(() -> {
            boolean got = theirs.writeLock().acquire(Steps.WAIT_S, TimeUnit.SECONDS);
            // The lock that is held for writing may be taken for reading as well.
            theirs.readLock().acquire();
            theirs.writeLock().release();
            return got;
        });
        eventually(() -> mine.writeLock().getParticipantNodes().size() == 1, "the writer queues");
        boolean overtaken = result(start(() -> new InterProcessReadWriteLock(one, root + "/rw")
            .readLock().acquire(50, TimeUnit.MILLISECONDS)));
        expect(!overtaken, "a later reader waits behind the writer");
        mine.readLock().release();
        expect(result(writer), "then the writer");
        expect(mine.readLock().acquire(Steps.WAIT_S, TimeUnit.SECONDS), "downgraded to reading");
        expect(!mine.writeLock().acquire(50, TimeUnit.MILLISECONDS), "which keeps writers out");
        mine.readLock().release();
    }

    private void semaphore() throws Exception {
        clients.step("InterProcessSemaphoreV2: as many leases as it has, those of the dead too");
        InterProcessSemaphoreV2 mine = new InterProcessSemaphoreV2(one, root + "/s", 3);
        InterProcessSemaphoreV2 theirs = new InterProcessSemaphoreV2(two, root + "/s", 3);
        mine.setNodeData(Steps.data("mine"));
        var taken = mine.acquire(2, Steps.WAIT_S, TimeUnit.SECONDS);
        equal(2, taken.size());
        equal("mine", new String(taken.iterator().next().getData()));
        expect(theirs.acquire(2, 50, TimeUnit.MILLISECONDS) == null, "not two more");
        equal(2, theirs.getParticipantNodes().size());
        Lease third = theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS);
        expect(third != null, "but one");
        mine.returnLease(taken.iterator().next());
        Lease fourth = theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS);
        expect(fourth != null, "the returned one");
        clients.killSession();
        Lease fifth = theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS);
        expect(fifth != null, "that of the dead session");
        theirs.returnAll(List.of(third, fourth, fifth));
        equal(0, theirs.getParticipantNodes().size());
    }

    private void semaphoreWithSharedCount() throws Exception {
        clients.step("InterProcessSemaphoreV2 with a SharedCount: leases come while one waits");
        SharedCount here = new SharedCount(one, root + "/leases", 1);
        SharedCount there = new SharedCount(two, root + "/leases", 1);
        here.start();
        there.start();
        InterProcessSemaphoreV2 mine = new InterProcessSemaphoreV2(one, root + "/sc", here);
        InterProcessSemaphoreV2 theirs = new InterProcessSemaphoreV2(two, root + "/sc", there);
        Lease first = mine.acquire(Steps.WAIT_S, TimeUnit.SECONDS);
        expect(first != null, "the only one");
        expect(theirs.acquire(50, TimeUnit.MILLISECONDS) == null, "no other");
        Future<Lease> waiter = start(() -> theirs.acquire(Steps.WAIT_S, TimeUnit.SECONDS));
        eventually(() -> mine.getParticipantNodes().size() == 2, "one waits");
        here.setCount(2);
        Lease second = result(waiter);
        expect(second != null, "a second");
        mine.returnLease(first);
        theirs.returnLease(second);
        here.close();
        there.close();
    }

    private void multiLock() throws Exception {
        clients.step("InterProcessMultiLock: all of them or none");
        List<String> paths = List.of(root + "/multi-a", root + "/multi-b");
        InterProcessLock both = new InterProcessMultiLock(two, paths);
        InterProcessMutex second = new InterProcessMutex(one, paths.get(1));
        second.acquire();
        expect(!both.acquire(50, TimeUnit.MILLISECONDS), "one of them is taken");
        InterProcessMutex first = new InterProcessMutex(one, paths.get(0));
        expect(first.acquire(Steps.WAIT_S, TimeUnit.SECONDS), "and the other given back");
        first.release();
        second.release();
        expect(both.acquire(Steps.WAIT_S, TimeUnit.SECONDS), "both free");
        expect(!first.acquire(50, TimeUnit.MILLISECONDS), "the first is held");
        expect(!second.acquire(50, TimeUnit.MILLISECONDS), "the second is held");
        both.release();
        expect(first.acquire(Steps.WAIT_S, TimeUnit.SECONDS), "released");
        first.release();
    }
}
