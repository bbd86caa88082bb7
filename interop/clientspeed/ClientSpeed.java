import java.lang.management.ManagementFactory;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;

/** Apache's own client: servers get|set window bytes warm-up operations. Prints ops/s and CPU µs per op. */
public final class ClientSpeed {
  public static void main(String[] args) throws Exception {
    boolean isGet = args[1].equals("get");
    int window = Integer.parseInt(args[2]);
    byte[] data = new byte[Integer.parseInt(args[3])];
    CountDownLatch connected = new CountDownLatch(1);
    ZooKeeper client =
        new ZooKeeper(
            args[0],
            30000,
            event -> {
              if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
              }
            });
    connected.await();
    try {
      client.create("/speed", data, ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    } catch (KeeperException.NodeExistsException e) {
      client.setData("/speed", data, -1);
    }
    run(client, isGet, window, data, Integer.parseInt(args[4]));
    int count = Integer.parseInt(args[5]);
    var system =
        (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    long cpu = system.getProcessCpuTime();
    long start = System.nanoTime();
    run(client, isGet, window, data, count);
    double seconds = (System.nanoTime() - start) / 1e9;
    double cpuMicros = (system.getProcessCpuTime() - cpu) / 1e3 / count;
    System.out.printf("%.0f %.2f%n", count / seconds, cpuMicros);
    client.close();
  }

  private static void run(ZooKeeper client, boolean isGet, int window, byte[] data, int count)
      throws Exception {
    if (window == 1) {
      for (int i = 0; i < count; i++) {
        if (isGet) {
          client.getData("/speed", false, null);
        } else {
          client.setData("/speed", data, -1);
        }
      }
      return;
    }
    Semaphore room = new Semaphore(window);
    for (int i = 0; i < count; i++) {
      room.acquire();
      if (isGet) {
        client.getData("/speed", false, (rc, path, ctx, bytes, stat) -> answered(rc, room), null);
      } else {
        client.setData("/speed", data, -1, (rc, path, ctx, stat) -> answered(rc, room), null);
      }
    }
    room.acquire(window);
  }

  private static void answered(int rc, Semaphore room) {
    if (rc != 0) {
      System.err.println("error " + rc);
      System.exit(1);
    }
    room.release();
  }
}
