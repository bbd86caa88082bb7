package ostler.interop;

import static ostler.interop.RecipeClients.eventually;
import static ostler.interop.RecipeClients.result;
import static ostler.interop.RecipeClients.start;
import static ostler.interop.RecipeClients.take;
import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.CachedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;

/** Curator's counters and shared values. */
final class SharedRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    SharedRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/shared";
    }

    Object run() throws Exception {
        count();
        value();
        atomicLong();
        otherAtomics();
        return null;
    }

    private void count() throws Exception {
        clients.step("SharedCount: versions, listeners, and what changed while it was cut off");
        SharedCount mine = new SharedCount(one, root + "/count", 5);
        SharedCount theirs = new SharedCount(two, root + "/count", 0);
        BlockingQueue<Integer> seen = new LinkedBlockingQueue<>();
        mine.addListener(new SharedCountListener() {
            @Override
            public void countHasChanged(SharedCountReader count, int now) {
                seen.add(now);
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
                // The count tells what matters.
            }
        });
        mine.start();
        theirs.start();
        equal(5, theirs.getCount());
        VersionedValue<Integer> stale = theirs.getVersionedValue();
        expect(theirs.trySetCount(stale, 6), "set");
        expect(!theirs.trySetCount(stale, 7), "not over a newer version");
        RecipeClients.takeUntil(seen, 6);
        equal(6, mine.getCount());
        clients.whileCut(() -> theirs.trySetCount(theirs.getVersionedValue(), 8));
        eventually(() -> mine.getCount() == 8, "caught up");
        mine.setCount(9);
        eventually(() -> theirs.getCount() == 9, "and the other way");
        mine.close();
        theirs.close();
    }

    private void value() throws Exception {
        clients.step("SharedValue: of four that set the same version, one succeeds");
        List<SharedValue> values = new ArrayList<>();
        List<VersionedValue<byte[]>> versions = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            SharedValue value =
                new SharedValue(i % 2 == 0 ? one : two, root + "/value", data("start"));
            value.start();
            values.add(value);
            versions.add(value.getVersionedValue());
            equal("start", new String(value.getValue()));
        }
        List<Future<Boolean>> tries = new ArrayList<>();
        for (int i = 0; i < values.size(); i++) {
            SharedValue value = values.get(i);
            VersionedValue<byte[]> version = versions.get(i);
            byte[] name = data("" + i);
            tries.add(start(() -> value.trySetValue(version, name)));
        }
        String winner = "";
        for (int i = 0; i < tries.size(); i++) {
            if (result(tries.get(i))) {
                winner += i;
            }
        }
        String only = winner;
        equal(1, only.length());
        for (SharedValue value : values) {
            eventually(() -> new String(value.getValue()).equals(only), "all see " + only);
            value.close();
        }
    }

    private void atomicLong() throws Exception {
        clients.step("DistributedAtomicLong: no increment is lost, with a lock or without");
        String path = root + "/long";
        DistributedAtomicLong total = new DistributedAtomicLong(one, path, new RetryNTimes(1, 1));
        expect(total.initialize(100L) && !total.initialize(7L), "initialised once");
        PromotedToLock lock = PromotedToLock.builder()
            .lockPath(root + "/long-lock").timeout(Steps.WAIT_S, TimeUnit.SECONDS)
            .retryPolicy(new RetryNTimes(100, 1)).build();
        List<Future<Integer>> pending = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            DistributedAtomicLong number = new DistributedAtomicLong(
                i % 2 == 0 ? one : two, path, new RetryNTimes(3, 1), lock);
            pending.add(start(() -> {
                int added = 0;
                for (int turn = 0; turn < 25; turn++) {
                    added += number.increment().succeeded() ? 1 : 0;
                }
                return added;
            }));
        }
        long expected = 100;
        for (Future<Integer> each : pending) {
            expected += result(each);
        }
        equal(200L, expected);
        equal(expected, total.get().postValue());
        expect(!total.compareAndSet(7L, 8L).succeeded(), "compared");
        expect(total.compareAndSet(expected, 8L).succeeded(), "and set");
        equal(List.of(8L, 3L), List.of(
            total.subtract(5L).preValue(), total.get().postValue()));
    }

    private void otherAtomics() throws Exception {
        clients.step("DistributedAtomicInteger, CachedAtomicLong");
        DistributedAtomicInteger number =
            new DistributedAtomicInteger(one, root + "/int", new RetryNTimes(5, 1));
        equal(0, number.get().preValue());
        number.forceSet(41);
        equal(42, number.increment().postValue());
        BlockingQueue<Long> handed = new LinkedBlockingQueue<>();
        for (CuratorFramework client : List.of(one, two)) {
            CachedAtomicLong cached = new CachedAtomicLong(new DistributedAtomicLong(
                client, root + "/cached", new RetryNTimes(5, 1)), 10);
            for (int i = 0; i < 15; i++) {
                handed.add(cached.next().postValue());
            }
        }
        equal(30L, take(handed, 30).stream().distinct().count());
    }
}
