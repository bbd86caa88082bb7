package ostler.interop;

import static ostler.interop.RecipeClients.eventually;
import static ostler.interop.RecipeClients.take;
import static ostler.interop.RecipeClients.takeUntil;
import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;

/** The caches of before CuratorCache, which live on one-shot watches. */
@SuppressWarnings("deprecation")
final class OlderCacheRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    OlderCacheRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/older";
    }

    Object run() throws Exception {
        two.create().creatingParentsIfNeeded().forPath(root, data(""));
        tree();
        children();
        node();
        return null;
    }

    private void tree() throws Exception {
        clients.step("TreeCache: follows, and catches up after a cut and after a dead session");
        String top = root + "/tree";
        two.create().forPath(top, data("top"));
        two.create().forPath(top + "/early", data("1"));
        TreeCache cache = TreeCache.newBuilder(one, top).setMaxDepth(3).build();
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        cache.getListenable().addListener((client, event) ->
            seen.add(line("" + event.getType(), event.getData(), top)));
        cache.start();
        equal(List.of("NODE_ADDED ", "NODE_ADDED /early", "INITIALIZED"), take(seen, 3));
        two.create().forPath(top + "/late", data("2"));
        equal(List.of("NODE_ADDED /late"), take(seen, 1));
        two.setData().forPath(top + "/early", data("3"));
        equal(List.of("NODE_UPDATED /early"), take(seen, 1));
        clients.whileCut(() -> {
            two.setData().forPath(top + "/early", data("4"));
            two.delete().forPath(top + "/late");
            return two.create().forPath(top + "/early/below", data("5"));
        });
        equal(Set.of("CONNECTION_SUSPENDED", "CONNECTION_RECONNECTED", "NODE_UPDATED /early",
            "NODE_REMOVED /late", "NODE_ADDED /early/below"), Set.copyOf(take(seen, 5)));
        equal("4", new String(cache.getCurrentData(top + "/early").getData()));
        clients.killSession();
        takeUntil(seen, "CONNECTION_RECONNECTED");
        two.create().forPath(top + "/last", data("6"));
        takeUntil(seen, "NODE_ADDED /last");
        equal(Set.of("early", "last"), cache.getCurrentChildren(top).keySet());
        two.delete().deletingChildrenIfNeeded().forPath(top);
        takeUntil(seen, "NODE_REMOVED ");
        cache.close();
    }

    private void children() throws Exception {
        clients.step("PathChildrenCache: follows the children and their data, over a cut too");
        String top = root + "/children";
        two.create().forPath(top);
        two.create().forPath(top + "/early", data("1"));
        PathChildrenCache cache = new PathChildrenCache(one, top, true);
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        cache.getListenable().addListener((client, event) ->
            seen.add(line("" + event.getType(), event.getData(), top)));
        cache.start(PathChildrenCache.StartMode.POST_INITIALIZED_EVENT);
        takeUntil(seen, "CHILD_ADDED /early");
        takeUntil(seen, "INITIALIZED");
        two.create().forPath(top + "/a", data("1"));
        equal(List.of("CHILD_ADDED /a"), take(seen, 1));
        two.setData().forPath(top + "/a", data("2"));
        equal(List.of("CHILD_UPDATED /a"), take(seen, 1));
        clients.whileCut(() -> {
            two.setData().forPath(top + "/early", data("3"));
            two.delete().forPath(top + "/a");
            return two.create().forPath(top + "/b", data("4"));
        });
        eventually(() -> names(cache.getCurrentData(), top).equals(List.of("/b=4", "/early=3")),
            "caught up: " + seen);
        two.delete().forPath(top + "/b");
        takeUntil(seen, "CHILD_REMOVED /b");
        cache.close();
    }

    private void node() throws Exception {
        clients.step("NodeCache: there, changed, gone, and again, over a cut too");
        String path = root + "/node";
        NodeCache cache = new NodeCache(one, path);
        BlockingQueue<String> values = new LinkedBlockingQueue<>();
        cache.getListenable().addListener(() -> values.add(cache.getCurrentData() == null
            ? "none" : new String(cache.getCurrentData().getData())));
        cache.start(true);
        expect(cache.getCurrentData() == null, "not there yet");
        two.create().forPath(path, data("1"));
        equal(List.of("1"), take(values, 1));
        two.setData().forPath(path, data("2"));
        equal(List.of("2"), take(values, 1));
        clients.whileCut(() -> two.setData().forPath(path, data("3")));
        equal(List.of("3"), take(values, 1));
        two.delete().forPath(path);
        equal(List.of("none"), take(values, 1));
        two.create().forPath(path, data("4"));
        equal(List.of("4"), take(values, 1));
        cache.close();
    }

    private static String line(String type, ChildData node, String top) {
        return node == null ? type : type + " " + node.getPath().substring(top.length());
    }

    private static List<String> names(List<ChildData> nodes, String top) {
        return nodes.stream().sorted()
            .map(node -> node.getPath().substring(top.length()) + "=" + new String(node.getData()))
            .toList();
    }
}
