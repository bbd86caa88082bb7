package ostler.interop;

import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;
import static ostler.interop.Steps.refused;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.framework.WatcherRemoveCuratorFramework;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;

/** Persistent watches, and watches given up, through Curator. */
final class WatcherRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    WatcherRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/watchers";
    }

    Object run() throws Exception {
        two.create().creatingParentsIfNeeded().forPath(root, data(""));
        persistentWatcher();
        addWatch();
        removeOne();
        removeByType();
        watcherRemoveFramework();
        return null;
    }

    /** Notes the events of paths and nothing else. */
    private static final class Notes implements Watcher {
        private final BlockingQueue<String> queue = new LinkedBlockingQueue<>();
        private final String top;

        Notes(String top) {
            this.top = top;
        }

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() == EventType.None) {
                return;
            }
            // What tells of a watch being removed is of no interest here.
            if (!event.getType().name().endsWith("WatchRemoved")) {
                queue.add(event.getType() + " " + event.getPath().substring(top.length()));
            }
        }

        void expectNext(String... lines) throws InterruptedException {
            for (String line : lines) {
                equal(line, queue.poll(Steps.WAIT_S, TimeUnit.SECONDS));
            }
        }
    }

    /** Changes that reach every kind of watch on the path. */
    private void change(String path) throws Exception {
        two.setData().forPath(path, data("x"));
        two.create().forPath(path + "/c", data(""));
        two.delete().forPath(path + "/c");
    }

    /** When it returns, all events of earlier changes have been handed to their watchers. */
    private void fence() throws Exception {
        CountDownLatch passed = new CountDownLatch(1);
        // Events and answers to background calls are handed out in order, by one thread.
        one.sync().inBackground((client, event) -> passed.countDown()).forPath(root);
        expect(passed.await(Steps.WAIT_S, TimeUnit.SECONDS), "sync");
    }

    private void persistentWatcher() throws Exception {
        clients.step("PersistentWatcher: plain and recursive, kept over a cut and a dead session");
        String top = root + "/persistent";
        two.create().forPath(top, data(""));
        Notes plain = new Notes(top);
        Notes recursive = new Notes(top);
        BlockingQueue<String> resets = new LinkedBlockingQueue<>();
        PersistentWatcher flat = new PersistentWatcher(one, top, false);
        PersistentWatcher deep = new PersistentWatcher(one, top, true);
        flat.getListenable().addListener(plain);
        deep.getListenable().addListener(recursive);
        flat.getResetListenable().addListener(() -> resets.add("flat"));
        deep.getResetListenable().addListener(() -> resets.add("deep"));
        flat.start();
        deep.start();
        RecipeClients.take(resets, 2);
        for (int round = 0; round < 3; round++) {
            change(top);
            two.create().creatingParentsIfNeeded().forPath(top + "/a/b", data(""));
            two.delete().deletingChildrenIfNeeded().forPath(top + "/a");
            plain.expectNext("NodeDataChanged ", "NodeChildrenChanged ", "NodeChildrenChanged ",
                "NodeChildrenChanged ", "NodeChildrenChanged ");
            recursive.expectNext("NodeDataChanged ", "NodeCreated /c", "NodeDeleted /c",
                "NodeCreated /a", "NodeCreated /a/b", "NodeDeleted /a/b", "NodeDeleted /a");
            if (round == 0) {
                clients.whileCut(() -> null);
            } else if (round == 1) {
                clients.killSession();
            }
            // Set again after every return.
            RecipeClients.take(resets, round < 2 ? 2 : 0);
        }
        flat.close();
        deep.close();
        change(top);
        fence();
        expect(plain.queue.isEmpty() && recursive.queue.isEmpty(), "closed");
    }

    private void addWatch() throws Exception {
        clients.step("watchers().add: both modes, kept over a cut, with one-shot watches beside");
        String top = root + "/add";
        two.create().forPath(top, data(""));
        Notes plain = new Notes(top);
        Notes recursive = new Notes(top);
        Notes once = new Notes(top);
        one.watchers().add().withMode(AddWatchMode.PERSISTENT).usingWatcher(plain).forPath(top);
        one.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE)
            .usingWatcher(recursive).forPath(top);
        one.getData().usingWatcher(once).forPath(top);
        for (int round = 0; round < 2; round++) {
            change(top);
            plain.expectNext(
                "NodeDataChanged ", "NodeChildrenChanged ", "NodeChildrenChanged ");
            recursive.expectNext("NodeDataChanged ", "NodeCreated /c", "NodeDeleted /c");
            if (round == 0) {
                once.expectNext("NodeDataChanged ");
                clients.whileCut(() -> null);
                // The watches are set again by what a client sends first of all.
                fence();
            }
        }
        two.delete().forPath(top);
        two.create().forPath(top, data(""));
        plain.expectNext("NodeDeleted ", "NodeCreated ");
        recursive.expectNext("NodeDeleted ", "NodeCreated ");
        expect(once.queue.isEmpty(), "once");
        one.watchers().remove(plain).forPath(top);
        one.watchers().remove(recursive).forPath(top);
        change(top);
        fence();
        expect(plain.queue.isEmpty() && recursive.queue.isEmpty(), "removed");
    }

    private void removeOne() throws Exception {
        clients.step("watchers().remove: that one and no other, and only what there is");
        String top = root + "/remove";
        two.create().forPath(top, data(""));
        Notes given = new Notes(top);
        Notes kept = new Notes(top);
        one.getData().usingWatcher(given).forPath(top);
        one.getData().usingWatcher(kept).forPath(top);
        one.watchers().remove(given).forPath(top);
        refused(Code.NOWATCHER, () -> one.watchers().remove(given).forPath(top));
        one.watchers().remove(given).quietly().forPath(top);
        change(top);
        kept.expectNext("NodeDataChanged ");
        fence();
        expect(given.queue.isEmpty(), "removed");
        refused(Code.NOWATCHER, () -> one.watchers().removeAll().forPath(top));
        CountDownLatch answered = new CountDownLatch(1);
        one.getChildren().usingWatcher(given).forPath(top);
        one.watchers().remove(given).inBackground((client, event) -> {
            if (event.getResultCode() == 0) {
                answered.countDown();
            }
        }).forPath(top);
        expect(answered.await(Steps.WAIT_S, TimeUnit.SECONDS), "in background");
    }

    private void removeByType() throws Exception {
        clients.step("watchers().removeAll: by type, and all, also of a path that does not exist");
        String top = root + "/types";
        two.create().forPath(top, data(""));
        Notes values = new Notes(top);
        Notes children = new Notes(top);
        one.getData().usingWatcher(values).forPath(top);
        one.getChildren().usingWatcher(children).forPath(top);
        one.watchers().removeAll().ofType(Watcher.WatcherType.Data).forPath(top);
        change(top);
        children.expectNext("NodeChildrenChanged ");
        fence();
        expect(values.queue.isEmpty(), "the data watch is removed");
        one.getData().usingWatcher(values).forPath(top);
        one.getChildren().usingWatcher(children).forPath(top);
        one.watchers().removeAll().forPath(top);
        one.checkExists().usingWatcher(values).forPath(top + "/later");
        one.watchers().removeAll().ofType(Watcher.WatcherType.Data).forPath(top + "/later");
        change(top);
        two.create().forPath(top + "/later");
        fence();
        expect(values.queue.isEmpty() && children.queue.isEmpty(), "all removed");
    }

    private void watcherRemoveFramework() throws Exception {
        clients.step("newWatcherRemoveCuratorFramework: gives up what it set, and nothing else");
        String top = root + "/facade";
        two.create().forPath(top, data(""));
        Notes given = new Notes(top);
        Notes kept = new Notes(top);
        WatcherRemoveCuratorFramework facade = one.newWatcherRemoveCuratorFramework();
        facade.getData().usingWatcher(given).forPath(top);
        facade.getChildren().usingWatcher(given).forPath(top);
        facade.checkExists().usingWatcher(given).forPath(top + "/none");
        one.getData().usingWatcher(kept).forPath(top);
        facade.removeWatchers();
        // It does not wait for the answers itself.
        fence();
        change(top);
        kept.expectNext("NodeDataChanged ");
        fence();
        expect(given.queue.isEmpty(), "given up");
    }
}
