package ostler.interop;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * Curator's recipes as they come, each with what it promises: {@code CuratorRecipes host:port}.
 *
 * <p>One class per family of recipes. Most of the time a client waits before it connects again, so
 * the families run side by side, each with clients of its own. Names of families after the address
 * run only those.
 */
public final class CuratorRecipes {
    private static final String PROGRAM = "curator-recipes";
    private static final int PROGRAM_MAX_S = 90;

    private CuratorRecipes() {}

    public static void main(String[] arguments) {
        Steps.run(PROGRAM, () -> {
            Map<String, Function<RecipeClients, Steps.Call>> families = families();
            families.keySet().retainAll(arguments.length == 1
                ? families.keySet() : List.of(arguments).subList(1, arguments.length));
            runAll(families, arguments[0]);
            return null;
        });
    }

    private static Map<String, Function<RecipeClients, Steps.Call>> families() {
        Map<String, Function<RecipeClients, Steps.Call>> families = new LinkedHashMap<>();
        families.put("locks", clients -> new LockRecipes(clients)::run);
        families.put("leaders", clients -> new LeaderRecipes(clients)::run);
        families.put("shared", clients -> new SharedRecipes(clients)::run);
        families.put("caches", clients -> new CacheRecipes(clients)::run);
        families.put("older-caches", clients -> new OlderCacheRecipes(clients)::run);
        families.put("nodes", clients -> new NodeRecipes(clients)::run);
        families.put("queues", clients -> new QueueRecipes(clients)::run);
        families.put("discovery", clients -> new DiscoveryRecipes(clients)::run);
        families.put("watchers", clients -> new WatcherRecipes(clients)::run);
        families.put("transactions", clients -> new TransactionRecipes(clients)::run);
        return families;
    }

    /** Ends with the first that fails; a recipe that waits inside Curator has no other deadline. */
    private static void runAll(
        Map<String, Function<RecipeClients, Steps.Call>> families, String server)
        throws InterruptedException {
        BlockingQueue<Outcome> outcomes = new LinkedBlockingQueue<>();
        List<RecipeClients> running = new ArrayList<>();
        families.forEach((name, family) -> {
            RecipeClients clients = clients(name, server);
            running.add(clients);
            RecipeClients.start(() -> outcomes.add(run(family.apply(clients), clients)));
        });
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PROGRAM_MAX_S);
        while (!running.isEmpty()) {
            Outcome outcome = outcomes.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            if (outcome == null) {
                throw new AssertionError(
                    "stuck in " + running.stream().map(RecipeClients::current).toList());
            }
            if (outcome.failure != null) {
                throw new AssertionError("in " + outcome.clients.current(), outcome.failure);
            }
            running.remove(outcome.clients);
        }
    }

    /** The failure is null when there is none. */
    private record Outcome(RecipeClients clients, Throwable failure) {}

    private static Outcome run(Steps.Call family, RecipeClients clients) {
        try {
            family.run();
            clients.close();
            return new Outcome(clients, null);
        } catch (Throwable e) {
            return new Outcome(clients, e);
        }
    }

    private static RecipeClients clients(String family, String server) {
        try {
            return new RecipeClients(PROGRAM, family, server);
        } catch (Exception e) {
            throw new AssertionError("no connection", e);
        }
    }
}
