package ostler.interop;

import static ostler.interop.Steps.data;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.api.transaction.OperationType;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.OpResult;

/** Transactions through Curator, both ways it has. */
final class TransactionRecipes {
    private final RecipeClients clients;
    private final CuratorFramework one;
    private final CuratorFramework two;
    private final String root;

    TransactionRecipes(RecipeClients clients) {
        this.clients = clients;
        this.one = clients.one;
        this.two = clients.two;
        this.root = clients.root + "/transactions";
    }

    Object run() throws Exception {
        two.create().creatingParentsIfNeeded().forPath(root, data(""));
        operations();
        rolledBack();
        fluent();
        background();
        return null;
    }

    private void operations() throws Exception {
        clients.step("transaction().forOperations: every kind of operation, committed");
        String path = root + "/all";
        List<CuratorTransactionResult> results = List.copyOf(one.transaction().forOperations(
            one.transactionOp().create().forPath(path, data("0")),
            one.transactionOp().create().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                .forPath(path + "/e-", data("e")),
            one.transactionOp().create().withMode(CreateMode.CONTAINER).forPath(path + "/box"),
            one.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL)
                .forPath(path + "/s-", data("s")),
            one.transactionOp().setData().withVersion(0).forPath(path, data("1")),
            one.transactionOp().check().withVersion(1).forPath(path),
            one.transactionOp().delete().withVersion(0).forPath(path + "/box")));
        // Curator has no path for a container: it does not look into the answer to create2.
        List<String> paths = new ArrayList<>();
        results.forEach(result -> paths.add(result.getType() + " " + result.getError() + " "
            + (result.getResultPath() == null ? "" : result.getResultPath())));
        equal(List.of("CREATE 0 " + path, "CREATE 0 " + path + "/e-0000000000",
            "CREATE 0 ", "CREATE 0 " + path + "/s-0000000002",
            "SET_DATA 0 ", "CHECK 0 ", "DELETE 0 "), paths);
        equal(1, results.get(4).getResultStat().getVersion());
        var ephemeral = two.checkExists().forPath(path + "/e-0000000000");
        equal(one.getZookeeperClient().getZooKeeper().getSessionId(),
            ephemeral.getEphemeralOwner());
        equal(results.get(4).getResultStat().getMzxid(), ephemeral.getCzxid());
        equal("s", new String(two.getData().forPath(path + "/s-0000000002")));
        expect(two.checkExists().forPath(path + "/box") == null, "made and deleted");
    }

    private void rolledBack() throws Exception {
        clients.step("transaction().forOperations: all or nothing, and which one failed");
        String path = root + "/never";
        try {
            one.transaction().forOperations(
                one.transactionOp().create().forPath(path, data("")),
                one.transactionOp().setData().withVersion(7).forPath(root, data("")),
                one.transactionOp().delete().forPath(path));
            throw new AssertionError("the transaction should have failed");
        } catch (KeeperException e) {
            equal(Code.BADVERSION, e.code());
            List<Integer> codes = new ArrayList<>();
            e.getResults().forEach(result -> codes.add(((OpResult.ErrorResult) result).getErr()));
            equal(List.of(0, Code.BADVERSION.intValue(),
                Code.RUNTIMEINCONSISTENCY.intValue()), codes);
        }
        expect(two.checkExists().forPath(path) == null, "rolled back");
    }

    @SuppressWarnings("deprecation")
    private void fluent() throws Exception {
        clients.step("inTransaction: the older way, committed and refused");
        String path = root + "/fluent";
        Collection<CuratorTransactionResult> results = one.inTransaction()
            .create().withMode(CreateMode.PERSISTENT).forPath(path, data("0"))
            .and().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath(path + "/s-")
            .and().setData().withVersion(0).forPath(path, data("1"))
            .and().check().withVersion(1).forPath(path)
            .and().commit();
        equal(4, results.size());
        var created = results.stream().filter(result ->
            CuratorTransactionResult.ofTypeAndPath(OperationType.CREATE, path + "/s-")
                .apply(result)).findFirst().orElseThrow();
        equal(path + "/s-0000000000", created.getResultPath());
        Steps.refused(Code.NODEEXISTS, () -> one.inTransaction()
            .delete().forPath(path + "/s-0000000000").and().create().forPath(path)
            .and().commit());
        expect(two.checkExists().forPath(path + "/s-0000000000") != null, "rolled back");
        equal("1", new String(two.getData().forPath(path)));
    }

    private void background() throws Exception {
        clients.step("transaction in background: answered with its results or its error");
        CompletableFuture<CuratorEvent> done = new CompletableFuture<>();
        one.transaction().inBackground((client, event) -> done.complete(event)).forOperations(
            one.transactionOp().create().forPath(root + "/b1"),
            one.transactionOp().create().forPath(root + "/b2"));
        CuratorEvent event = done.get(Steps.WAIT_S, TimeUnit.SECONDS);
        equal(0, event.getResultCode());
        equal(2, event.getOpResults().size());
        CompletableFuture<CuratorEvent> failed = new CompletableFuture<>();
        one.transaction().inBackground((client, e) -> failed.complete(e)).forOperations(
            one.transactionOp().create().forPath(root + "/b3"),
            one.transactionOp().create().forPath(root + "/b1"));
        equal(Code.NODEEXISTS.intValue(),
            failed.get(Steps.WAIT_S, TimeUnit.SECONDS).getResultCode());
        expect(two.checkExists().forPath(root + "/b3") == null, "rolled back");
    }
}
