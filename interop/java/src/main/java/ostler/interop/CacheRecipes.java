package ostler.interop;

import static ostler.interop.RecipeClients.eventually;
import static ostler.interop.RecipeClients.take;
import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheBridge;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;

/** CuratorCache, which lives on persistent recursive watches. */
final class CacheRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    CacheRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/caches";
    }

    Object run() throws Exception {
        two.create().creatingParentsIfNeeded().forPath(root, data(""));
        follows();
        survives();
        single();
        random();
        return null;
    }

    private void follows() throws Exception {
        clients.step("CuratorCache: creates, changes with old and new data, deletes, at any depth");
        String top = root + "/follows";
        two.create().forPath(top, data("top"));
        two.create().forPath(top + "/early", data("1"));
        CuratorCache cache = CuratorCache.build(one, top);
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        listen(cache, top, seen);
        equal(Set.of("+ =top", "+/early=1"), Set.copyOf(take(seen, 2)));
        equal(List.of("initialized"), take(seen, 1));
        two.setData().forPath(top + "/early", data("2"));
        equal(List.of("~/early=1>2"), take(seen, 1));
        two.create().creatingParentsIfNeeded().forPath(top + "/a/b/c", data("deep"));
        equal(Set.of("+/a=" + clientData(), "+/a/b=" + clientData(), "+/a/b/c=deep"),
            Set.copyOf(take(seen, 3)));
        equal("deep", new String(cache.get(top + "/a/b/c").orElseThrow().getData()));
        two.delete().deletingChildrenIfNeeded().forPath(top + "/a");
        equal(List.of("-/a/b/c=deep", "-/a/b=" + clientData(), "-/a=" + clientData()),
            take(seen, 3));
        two.transaction().forOperations(
            two.transactionOp().create().forPath(top + "/t1", data("t")),
            two.transactionOp().create().forPath(top + "/t2", data("t")),
            two.transactionOp().delete().forPath(top + "/early"));
        equal(Set.of("+/t1=t", "+/t2=t", "-/early=2"), Set.copyOf(take(seen, 3)));
        equal(3, cache.size());
        two.delete().deletingChildrenIfNeeded().forPath(top);
        equal(Set.of("-/t1=t", "-/t2=t", "- =top"), Set.copyOf(take(seen, 3)));
        two.create().forPath(top, data("again"));
        equal(List.of("+ =again"), take(seen, 1));
        cache.close();
    }

    private void survives() throws Exception {
        clients.step("CuratorCache: catches up after a cut connection and after a dead session");
        String top = root + "/survives";
        two.create().creatingParentsIfNeeded().forPath(top + "/kept/leaf", data("k"));
        two.create().forPath(top + "/goes", data("g"));
        CuratorCache cache = CuratorCache.build(one, top);
        CountDownLatch ready = new CountDownLatch(1);
        cache.listenable().addListener(
            CuratorCacheListener.builder().forInitialized(ready::countDown).build());
        cache.start();
        expect(ready.await(Steps.WAIT_S, TimeUnit.SECONDS), "initialised");
        clients.whileCut(() -> {
            two.setData().forPath(top + "/kept/leaf", data("changed"));
            two.create().creatingParentsIfNeeded().forPath(top + "/new/leaf", data("n"));
            two.delete().forPath(top + "/goes");
            return null;
        });
        // The watch is kept, and what happened meanwhile is read again.
        two.create().forPath(top + "/after", data("a"));
        eventually(() -> contents(cache).equals(tree(top)), "as the tree is: " + tree(top));
        clients.killSession();
        two.setData().forPath(top + "/kept/leaf", data("again"));
        two.delete().forPath(top + "/after");
        two.create().forPath(top + "/last", data("l"));
        eventually(() -> contents(cache).equals(tree(top)), "as the tree is: " + tree(top));
        cache.close();
    }

    private void single() throws Exception {
        clients.step("CuratorCache of a single node, and as the bridge to the older caches");
        String top = root + "/single";
        CuratorCache cache =
            CuratorCache.build(one, top, CuratorCache.Options.SINGLE_NODE_CACHE);
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        listen(cache, top, seen);
        equal(List.of("initialized"), take(seen, 1));
        two.create().forPath(top, data("1"));
        equal(List.of("+ =1"), take(seen, 1));
        two.create().forPath(top + "/child", data("not of interest"));
        two.setData().forPath(top, data("2"));
        equal(List.of("~ =1>2"), take(seen, 1));
        equal(1, cache.size());
        cache.close();
        CuratorCacheBridge bridge = CuratorCache.bridgeBuilder(one, top).build();
        expect(bridge.isCuratorCache(), "the server is taken for one with persistent watches");
        bridge.start();
        eventually(() -> bridge.size() == 2, "both nodes");
        bridge.close();
    }

    private void random() throws Exception {
        clients.step("CuratorCache: the tree itself after 300 random changes");
        String top = root + "/random";
        two.create().forPath(top, data(""));
        CuratorCache cache = CuratorCache.build(one, top);
        cache.start();
        Random random = new Random(9);
        for (int i = 0; i < 300; i++) {
            String path = top + "/" + random.nextInt(4);
            if (random.nextBoolean()) {
                path += "/" + random.nextInt(4);
            }
            if (random.nextInt(4) == 0) {
                two.delete().quietly().deletingChildrenIfNeeded().forPath(path);
            } else {
                two.create().orSetData().creatingParentsIfNeeded().forPath(path, data("" + i));
            }
        }
        eventually(() -> contents(cache).equals(tree(top)), "as the tree is: " + tree(top));
        cache.close();
    }

    /** Starts the cache and notes what it tells, as one line each. */
    private static void listen(CuratorCache cache, String top, BlockingQueue<String> seen) {
        cache.listenable().addListener(CuratorCacheListener.builder()
            .forCreates(node -> seen.add("+" + name(node, top) + "=" + text(node)))
            .forChanges((old, node) ->
                seen.add("~" + name(node, top) + "=" + text(old) + ">" + text(node)))
            .forDeletes(node -> seen.add("-" + name(node, top) + "=" + text(node)))
            .forInitialized(() -> seen.add("initialized"))
            .build());
        cache.start();
    }

    private static String name(ChildData node, String top) {
        return node.getPath().equals(top) ? " " : node.getPath().substring(top.length());
    }

    private static String text(ChildData node) {
        return new String(node.getData());
    }

    private static Map<String, String> contents(CuratorCache cache) {
        Map<String, String> contents = new TreeMap<>();
        cache.stream().forEach(node -> contents.put(node.getPath(),
            text(node) + " " + node.getStat().getMzxid()));
        return contents;
    }

    private Map<String, String> tree(String path) throws Exception {
        Map<String, String> contents = new TreeMap<>();
        var stat = new org.apache.zookeeper.data.Stat();
        byte[] value = two.getData().storingStatIn(stat).forPath(path);
        contents.put(path, new String(value) + " " + stat.getMzxid());
        for (String child : two.getChildren().forPath(path)) {
            contents.putAll(tree(path + "/" + child));
        }
        return contents;
    }

    /** What Curator gives to parents that it makes. */
    private static String clientData() {
        return "";
    }
}
