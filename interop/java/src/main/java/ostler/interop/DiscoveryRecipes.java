package ostler.interop;

import static ostler.interop.RecipeClients.eventually;
import static ostler.interop.Steps.equal;
import static ostler.interop.Steps.expect;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.x.discovery.DownInstancePolicy;
import org.apache.curator.x.discovery.ProviderStrategy;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.ServiceType;
import org.apache.curator.x.discovery.strategies.RandomStrategy;
import org.apache.curator.x.discovery.strategies.RoundRobinStrategy;
import org.apache.curator.x.discovery.strategies.StickyStrategy;

/** Curator's service discovery. */
final class DiscoveryRecipes {
    private final RecipeClients clients;
    private final ServiceDiscovery<String> mine;
    private final ServiceDiscovery<String> theirs;

    DiscoveryRecipes(RecipeClients clients) {
        this.clients = clients;
        this.mine = discovery(clients.one, clients.root + "/services");
        this.theirs = discovery(clients.two, clients.root + "/services");
    }

    Object run() throws Exception {
        mine.start();
        theirs.start();
        queries();
        cache();
        strategies();
        mine.close();
        theirs.close();
        return null;
    }

    private static ServiceDiscovery<String> discovery(CuratorFramework client, String path) {
        return ServiceDiscoveryBuilder.builder(String.class)
            .client(client).basePath(path).watchInstances(true).build();
    }

    private static ServiceInstance<String> instance(String name, String id, String payload)
        throws Exception {
        return ServiceInstance.<String>builder()
            .name(name).id(id).address("127.0.0.1").port(80).payload(payload).build();
    }

    private void queries() throws Exception {
        clients.step("service discovery: register, query, update, unregister");
        ServiceInstance<String> first = instance("web", "w1", "one");
        mine.registerService(first);
        theirs.registerService(instance("web", "w2", "two"));
        theirs.registerService(ServiceInstance.<String>builder().name("db").id("d1")
            .address("127.0.0.2").serviceType(ServiceType.PERMANENT).build());
        equal(Set.of("db", "web"), new HashSet<>(mine.queryForNames()));
        equal(Set.of("w1", "w2"), ids(mine.queryForInstances("web")));
        equal("two", mine.queryForInstance("web", "w2").getPayload());
        expect(mine.queryForInstance("web", "w3") == null, "no such");
        equal(Set.of(), ids(mine.queryForInstances("none")));
        mine.updateService(instance("web", "w1", "changed"));
        equal("changed", theirs.queryForInstance("web", "w1").getPayload());
        mine.unregisterService(first);
        equal(Set.of("w2"), ids(theirs.queryForInstances("web")));
    }

    private void cache() throws Exception {
        clients.step("service discovery: a cache follows, and a dead session's service comes back");
        mine.registerService(instance("api", "a1", "one"));
        ServiceCache<String> cache = theirs.serviceCacheBuilder().name("api").build();
        cache.start();
        equal(Set.of("a1"), ids(cache.getInstances()));
        ServiceInstance<String> second = instance("api", "a2", "two");
        theirs.registerService(second);
        eventually(() -> ids(cache.getInstances()).equals(Set.of("a1", "a2")), "the second");
        theirs.unregisterService(second);
        eventually(() -> ids(cache.getInstances()).equals(Set.of("a1")), "it left");
        String path = clients.root + "/services/api/a1";
        long owner = clients.two.checkExists().forPath(path).getEphemeralOwner();
        clients.killSession();
        eventually(() -> {
            var stat = clients.two.checkExists().forPath(path);
            return stat != null && stat.getEphemeralOwner() != owner
                && ids(cache.getInstances()).equals(Set.of("a1"));
        }, "registered again");
        cache.close();
    }

    private void strategies() throws Exception {
        clients.step("service discovery: round robin, random, sticky, and instances that are down");
        for (String id : List.of("r1", "r2", "r3")) {
            mine.registerService(instance("rpc", id, id));
        }
        Set<String> all = Set.of("r1", "r2", "r3");
        ServiceProvider<String> robin = provider(new RoundRobinStrategy<>());
        List<String> order = picks(robin, 6);
        equal(all, new HashSet<>(order.subList(0, 3)));
        equal(order.subList(0, 3), order.subList(3, 6));
        ServiceProvider<String> random = provider(new RandomStrategy<>());
        eventually(() -> new HashSet<>(picks(random, 20)).equals(all), "all of them by and by");
        ServiceProvider<String> sticky = provider(new StickyStrategy<>(new RandomStrategy<>()));
        List<String> same = picks(sticky, 10);
        equal(1, new HashSet<>(same).size());
        ServiceInstance<String> bad = mine.queryForInstance("rpc", "r2");
        robin.noteError(bad);
        expect(!picks(robin, 6).contains("r2"), "r2 is down");
        for (ServiceProvider<String> each : List.of(robin, random, sticky)) {
            each.close();
        }
    }

    private ServiceProvider<String> provider(ProviderStrategy<String> strategy) throws Exception {
        ServiceProvider<String> provider = theirs.serviceProviderBuilder()
            .serviceName("rpc").providerStrategy(strategy)
            .downInstancePolicy(new DownInstancePolicy(60, TimeUnit.SECONDS, 1)).build();
        provider.start();
        eventually(() -> provider.getAllInstances().size() == 3, "three instances");
        return provider;
    }

    private static List<String> picks(ServiceProvider<String> provider, int count)
        throws Exception {
        List<String> picks = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            picks.add(provider.getInstance().getId());
        }
        return picks;
    }

    private static Set<String> ids(Collection<ServiceInstance<String>> instances) {
        Set<String> ids = new TreeSet<>();
        instances.forEach(instance -> ids.add(instance.getId()));
        return ids;
    }
}
