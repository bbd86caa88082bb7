import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.UriSpec;

/** Curator's end of a shelf: ShelfPeer host:port what path word... */
public final class ShelfPeer {
    private static CuratorFramework client;
    private static String path;

    public static void main(String[] words) throws Exception {
        client = CuratorFrameworkFactory.newClient(words[0], 4000, 30000, new RetryForever(100));
        client.start();
        path = words[2];
        run(words[1], Arrays.copyOfRange(words, 3, words.length));
        client.close();
    }

    private static void run(String what, String[] words) throws Exception {
        SimpleDistributedQueue queue = new SimpleDistributedQueue(client, path);
        switch (what) {
            case "put":
                for (String word : words) {
                    queue.offer(bytes(word));
                }
                break;
            case "take":
                for (int i = 0; i < Integer.parseInt(words[0]); i++) {
                    System.out.println(text(queue.take()));
                }
                break;
            case "delay-put": {
                DistributedDelayQueue<String> delays = delays(null);
                long due = System.currentTimeMillis() + Long.parseLong(words[0]);
                for (int i = 1; i < words.length; i++) {
                    delays.put(words[i], due);
                }
                delays.close();
                break;
            }
            case "delay-take":
                delayTake(Integer.parseInt(words[0]));
                break;
            case "serve":
                serve(words);
                break;
            case "find":
                find(words[0]);
                break;
            case "join": {
                GroupMember member = new GroupMember(client, path, words[0], bytes(words[1]));
                member.start();
                System.out.println("joined");
                Thread.sleep(Long.MAX_VALUE);
                break;
            }
            case "members":
                members(words);
                break;
            default:
                throw new IllegalArgumentException(what);
        }
    }

    private static void delayTake(int count) throws Exception {
        CountDownLatch taken = new CountDownLatch(count);
        DistributedDelayQueue<String> delays = delays(new QueueConsumer<String>() {
            @Override
            public void consumeMessage(String message) {
                if (taken.getCount() > 0) {
                    System.out.println(message);
                }
                taken.countDown();
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
            }
        });
        taken.await();
        delays.close();
    }

    private static DistributedDelayQueue<String> delays(QueueConsumer<String> consumer)
        throws Exception {
        QueueSerializer<String> serializer = new QueueSerializer<>() {
            @Override
            public byte[] serialize(String item) {
                return bytes(item);
            }

            @Override
            public String deserialize(byte[] item) {
                return text(item);
            }
        };
        DistributedDelayQueue<String> delays = QueueBuilder.builder(client, consumer, serializer, path)
            .putInBackground(false).buildDelayQueue();
        delays.start();
        return delays;
    }

    private static void serve(String[] words) throws Exception {
        ServiceDiscovery<String> discovery = discovery();
        discovery.start();
        discovery.registerService(ServiceInstance.<String>builder()
            .name(words[0]).id(words[1]).address(words[2]).port(Integer.parseInt(words[3]))
            .payload(words[4]).uriSpec(new UriSpec("{scheme}://{address}:{port}")).build());
        System.out.println("serving");
        Thread.sleep(Long.MAX_VALUE);
    }

    /** Asks, and looks through a provider's cache: both have to know the same. */
    private static void find(String service) throws Exception {
        ServiceDiscovery<String> discovery = discovery();
        discovery.start();
        TreeMap<String, ServiceInstance<String>> found = new TreeMap<>();
        discovery.queryForInstances(service).forEach(each -> found.put(each.getId(), each));
        for (ServiceInstance<String> each : found.values()) {
            String uri = each.getUriSpec() == null ? "" : " " + each.buildUriSpec();
            System.out.println(each.getId() + " " + each.getAddress() + ":" + each.getPort() + " "
                + each.getPayload() + uri);
        }
        ServiceProvider<String> provider = discovery.serviceProviderBuilder()
            .serviceName(service).build();
        provider.start();
        int cached = provider.getAllInstances().size();
        if (cached != found.size()) {
            System.out.println("but the cache has " + cached);
        }
        provider.close();
        discovery.close();
    }

    private static ServiceDiscovery<String> discovery() {
        return ServiceDiscoveryBuilder.builder(String.class).client(client).basePath(path).build();
    }

    /** Joins for a moment; prints who else is there when all that are named are. */
    private static void members(String[] wanted) throws Exception {
        GroupMember member = new GroupMember(client, path, "asking", bytes(""));
        member.start();
        while (!member.getCurrentMembers().keySet().containsAll(Arrays.asList(wanted))) {
            TimeUnit.MILLISECONDS.sleep(20);
        }
        new TreeMap<>(member.getCurrentMembers()).forEach((id, data) -> {
            if (!id.equals("asking")) {
                System.out.println(id + " " + text(data));
            }
        });
        member.close();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
