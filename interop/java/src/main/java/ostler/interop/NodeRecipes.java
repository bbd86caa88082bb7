package ostler.interop;

import static ostler.interop.RecipeClients.eventually;
import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/** Curator's nodes that come back, and its groups of them. */
final class NodeRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    NodeRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/nodes";
    }

    Object run() throws Exception {
        persistentNode();
        sequentialNode();
        ttlNode();
        group();
        return null;
    }

    private void persistentNode() throws Exception {
        clients.step("PersistentNode: comes back when deleted and when its session dies");
        String path = root + "/ephemeral";
        PersistentNode node =
            new PersistentNode(one, CreateMode.EPHEMERAL, false, path, data("x"));
        node.start();
        expect(node.waitForInitialCreate(Steps.WAIT_S, TimeUnit.SECONDS), "created");
        Stat first = two.checkExists().forPath(path);
        two.delete().forPath(path);
        eventually(() -> {
            Stat stat = two.checkExists().forPath(path);
            return stat != null && stat.getCzxid() > first.getCzxid();
        }, "created again");
        node.setData(data("y"));
        eventually(() -> new String(two.getData().forPath(path)).equals("y"), "changed");
        Stat before = two.checkExists().forPath(path);
        clients.whileCut(() -> null);
        equal(before.getCzxid(), two.checkExists().forPath(path).getCzxid());
        clients.killSession();
        eventually(() -> {
            Stat stat = two.checkExists().forPath(path);
            return stat != null && stat.getEphemeralOwner() != before.getEphemeralOwner();
        }, "created by the new session");
        equal("y", new String(two.getData().forPath(path)));
        node.close();
        expect(two.checkExists().forPath(path) == null, "deleted when closed");
    }

    private void sequentialNode() throws Exception {
        clients.step("PersistentNode with a sequence number and protection: keeps its name");
        two.create().orSetData().creatingParentsIfNeeded().forPath(root + "/seq", data(""));
        PersistentNode node = new PersistentNode(
            one, CreateMode.EPHEMERAL_SEQUENTIAL, true, root + "/seq/n-", data("x"));
        node.start();
        expect(node.waitForInitialCreate(Steps.WAIT_S, TimeUnit.SECONDS), "created");
        String name = node.getActualPath();
        expect(name.contains("_c_") && name.endsWith("n-0000000000"), name);
        clients.whileCut(() -> null);
        equal(1, two.getChildren().forPath(root + "/seq").size());
        equal(name, node.getActualPath());
        two.delete().forPath(name);
        eventually(() -> !two.getChildren().forPath(root + "/seq").isEmpty(), "created again");
        equal(name, node.getActualPath());
        node.close();
    }

    private void ttlNode() throws Exception {
        try {
            two.create().withTtl(60_000).creatingParentsIfNeeded()
                .withMode(CreateMode.PERSISTENT_WITH_TTL).forPath(root + "/probe");
        } catch (KeeperException.UnimplementedException e) {
            clients.step("PersistentTtlNode: skipped, the server has no extended types");
            return;
        }
        clients.step("PersistentTtlNode: touched again and again, and comes back when deleted");
        String path = root + "/ttl";
        PersistentTtlNode node = new PersistentTtlNode(one, path, 400, data("x"));
        node.start();
        expect(node.waitForInitialCreate(Steps.WAIT_S, TimeUnit.SECONDS), "created");
        String touch = path + "/" + PersistentTtlNode.DEFAULT_CHILD_NODE_NAME;
        equal("x", new String(two.getData().forPath(path)));
        eventually(() -> two.checkExists().forPath(touch) != null, "the child that is touched");
        long first = two.checkExists().forPath(touch).getMzxid();
        eventually(() -> {
            Stat stat = two.checkExists().forPath(touch);
            return stat != null && stat.getMzxid() > first;
        }, "touched");
        two.delete().deletingChildrenIfNeeded().forPath(path);
        eventually(() -> two.checkExists().forPath(path) != null, "created again");
        node.close();
    }

    private void group() throws Exception {
        clients.step("GroupMember: members come, go, and come back with a new session");
        GroupMember mine = new GroupMember(one, root + "/group", "mine", data("1"));
        GroupMember theirs = new GroupMember(two, root + "/group", "theirs", data("2"));
        mine.start();
        theirs.start();
        Set<String> both = Set.of("mine", "theirs");
        eventually(() -> mine.getCurrentMembers().keySet().equals(both)
            && theirs.getCurrentMembers().keySet().equals(both), "both see both");
        equal("2", new String(mine.getCurrentMembers().get("theirs")));
        eventually(() -> takes(mine, "3"), "the answer to its create is handed out");
        eventually(() -> new String(theirs.getCurrentMembers().get("mine")).equals("3"),
            "the new data is seen");
        long owner = two.checkExists().forPath(root + "/group/mine").getEphemeralOwner();
        clients.killSession();
        eventually(() -> {
            Stat stat = two.checkExists().forPath(root + "/group/mine");
            return stat != null && stat.getEphemeralOwner() != owner
                && theirs.getCurrentMembers().keySet().equals(both);
        }, "back again");
        theirs.close();
        eventually(() -> mine.getCurrentMembers().keySet().equals(Set.of("mine")), "one left");
        mine.close();
    }

    /** A member refuses new data until its create is answered, and has no way to wait for that. */
    private static boolean takes(GroupMember member, String text) {
        try {
            member.setThisData(data(text));
            return true;
        } catch (IllegalStateException e) {
            return false;
        }
    }
}
