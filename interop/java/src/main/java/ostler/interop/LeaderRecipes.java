package ostler.interop;

import static ostler.interop.RecipeClients.eventually;
import static ostler.interop.RecipeClients.result;
import static ostler.interop.RecipeClients.start;
import static ostler.interop.RecipeClients.take;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.leader.Participant;

/** Curator's elections and barriers. */
final class LeaderRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    LeaderRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/leaders";
    }

    Object run() throws Exception {
        latch();
        selectorsTakeTurns();
        selectorOfDeadSession();
        barrier();
        doubleBarrier();
        return null;
    }

    private void latch() throws Exception {
        clients.step("LeaderLatch: the next leads when the leader dies, and it queues up again");
        LeaderLatch first = new LeaderLatch(one, root + "/latch", "first");
        LeaderLatch second = new LeaderLatch(two, root + "/latch", "second");
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        first.addListener(listener("first", told));
        second.addListener(listener("second", told));
        first.start();
        expect(first.await(Steps.WAIT_S, TimeUnit.SECONDS), "the first leads");
        second.start();
        eventually(() -> ids(second.getParticipants()).size() == 2, "both take part");
        equal("first", second.getLeader().getId());
        expect(!second.await(50, TimeUnit.MILLISECONDS), "one leader");
        equal(List.of("first leads"), take(told, 1));
        clients.killSession();
        expect(second.await(Steps.WAIT_S, TimeUnit.SECONDS), "the second leads");
        equal(Set.of("first does not", "second leads"), Set.copyOf(take(told, 2)));
        eventually(() -> ids(second.getParticipants()).equals(Set.of("first", "second")),
            "the first takes part again");
        expect(!first.hasLeadership(), "but does not lead");
        second.close(LeaderLatch.CloseMode.NOTIFY_LEADER);
        expect(first.await(Steps.WAIT_S, TimeUnit.SECONDS), "the first leads again");
        equal(Set.of("second does not", "first leads"), Set.copyOf(take(told, 2)));
        equal(Set.of("first"), ids(first.getParticipants()));
        first.close();
    }

    private static LeaderLatchListener listener(String name, BlockingQueue<String> told) {
        return new LeaderLatchListener() {
            @Override
            public void isLeader() {
                told.add(name + " leads");
            }

            @Override
            public void notLeader() {
                told.add(name + " does not");
            }
        };
    }

    private void selectorsTakeTurns() throws Exception {
        clients.step("LeaderSelector: three of them lead in turn, one at a time");
        AtomicInteger leading = new AtomicInteger();
        BlockingQueue<String> led = new LinkedBlockingQueue<>();
        List<LeaderSelector> selectors = new ArrayList<>();
        for (String id : List.of("a", "b", "c")) {
            LeaderSelector selector = new LeaderSelector(
                id.equals("b") ? two : one, root + "/turns", new LeaderSelectorListenerAdapter() {
                    @Override
                    public void takeLeadership(CuratorFramework client) {
                        led.add(leading.incrementAndGet() == 1 ? id : "two at a time");
                        leading.decrementAndGet();
                    }
                });
            selector.setId(id);
            selector.autoRequeue();
            selectors.add(selector);
        }
        selectors.forEach(LeaderSelector::start);
        // A turn each is certain only once all of them are in the queue.
        eventually(() -> ids(selectors.get(0).getParticipants()).size() == 3, "three take part");
        led.clear();
        Set<String> names = new TreeSet<>();
        for (int turn = 0; turn < 100 && names.size() < 3; turn++) {
            names.addAll(take(led, 1));
        }
        equal(Set.of("a", "b", "c"), names);
        selectors.forEach(LeaderSelector::close);
    }

    private void selectorOfDeadSession() throws Exception {
        clients.step("LeaderSelector: interrupted when its session dies, and the other leads");
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        CountDownLatch enough = new CountDownLatch(1);
        LeaderSelector mine = holding(one, "mine", told, enough);
        LeaderSelector theirs = holding(two, "theirs", told, enough);
        mine.start();
        equal(List.of("mine leads"), take(told, 1));
        theirs.start();
        eventually(() -> ids(mine.getParticipants()).size() == 2, "both take part");
        equal("mine", theirs.getLeader().getId());
        expect(mine.hasLeadership() && !theirs.hasLeadership(), "one leader");
        clients.killSession();
        equal(Set.of("mine is interrupted", "theirs leads"), Set.copyOf(take(told, 2)));
        expect(mine.requeue(), "queued again");
        eventually(() -> ids(theirs.getParticipants()).size() == 2, "both take part again");
        theirs.interruptLeadership();
        equal(Set.of("theirs is interrupted", "mine leads"), Set.copyOf(take(told, 2)));
        enough.countDown();
        equal(List.of("mine is done"), take(told, 1));
        mine.close();
        theirs.close();
    }

    private LeaderSelector holding(CuratorFramework client, String id, BlockingQueue<String> told,
        CountDownLatch enough) {
        LeaderSelector selector =
            new LeaderSelector(client, root + "/held", new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework leader) throws Exception {
                    told.add(id + " leads");
                    try {
                        enough.await();
                        told.add(id + " is done");
                    } catch (InterruptedException e) {
                        told.add(id + " is interrupted");
                        throw e;
                    }
                }
            });
        selector.setId(id);
        return selector;
    }

    private void barrier() throws Exception {
        clients.step("DistributedBarrier: held until it is removed");
        DistributedBarrier mine = new DistributedBarrier(one, root + "/barrier");
        DistributedBarrier theirs = new DistributedBarrier(two, root + "/barrier");
        expect(theirs.waitOnBarrier(Steps.WAIT_S, TimeUnit.SECONDS), "there is none yet");
        mine.setBarrier();
        expect(!theirs.waitOnBarrier(50, TimeUnit.MILLISECONDS), "held");
        Future<Boolean> waiter = start(() -> new DistributedBarrier(two, root + "/barrier")
            .waitOnBarrier(Steps.WAIT_S, TimeUnit.SECONDS));
        mine.removeBarrier();
        expect(result(waiter), "let go");
    }

    private void doubleBarrier() throws Exception {
        clients.step("DistributedDoubleBarrier: all enter together and leave together");
        int members = 4;
        AtomicInteger arrived = new AtomicInteger();
        AtomicInteger leaving = new AtomicInteger();
        List<Future<Boolean>> passed = new ArrayList<>();
        for (int i = 0; i < members; i++) {
            DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(
                i % 2 == 0 ? one : two, root + "/double", members);
            passed.add(start(() -> {
                arrived.incrementAndGet();
                boolean entered = barrier.enter(Steps.WAIT_S, TimeUnit.SECONDS);
                equal(members, arrived.get());
                leaving.incrementAndGet();
                boolean left = barrier.leave(Steps.WAIT_S, TimeUnit.SECONDS);
                equal(members, leaving.get());
                return entered && left;
            }));
        }
        for (Future<Boolean> each : passed) {
            expect(result(each), "entered and left");
        }
    }

    private static Set<String> ids(Iterable<Participant> participants) {
        Set<String> ids = new TreeSet<>();
        for (Participant each : participants) {
            ids.add(each.getId());
        }
        return ids;
    }
}
