package ostler.interop;

import java.io.InputStream;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/**
 * What a running server shows of its tree and sessions: {@code TreeDump host:port [user:password]}.
 *
 * <p>The same lines as {@link DataDir} prints offline: a line per node, and {@code session 0xID}
 * for each session of the four-letter word {@code dump} but this program's own.
 */
public final class TreeDump {
    private static final Pattern SESSION = Pattern.compile("^\\s*0x([0-9a-f]+)", Pattern.MULTILINE);

    private final ZooKeeper client;
    private final List<String> lines = new ArrayList<>();

    private TreeDump(ZooKeeper client) {
        this.client = client;
    }

    public static void main(String[] arguments) throws Exception {
        Steps.Events events = new Steps.Events();
        ZooKeeper client = new ZooKeeper(arguments[0], 20000, events);
        events.await(KeeperState.SyncConnected);
        if (arguments.length > 1) {
            client.addAuthInfo("digest", Steps.data(arguments[1]));
        }
        TreeDump dump = new TreeDump(client);
        dump.addNode("/");
        dump.addSessions(fourLetters(arguments[0], "dump"));
        client.close();
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        dump.lines.forEach(out::println);
        out.flush();
    }

    private void addNode(String path) throws Exception {
        Stat stat = new Stat();
        byte[] data = client.getData(path, false, stat);
        Stat again = new Stat();
        List<String> children = client.getChildren(path, false, again);
        List<ACL> acl = client.getACL(path, again);
        if (!again.equals(stat) || stat.getNumChildren() != children.size()) {
            throw new IllegalStateException(
                path + " does not stand still: " + stat + again + children);
        }
        if (stat.getDataLength() != (data == null ? 0 : data.length)) {
            throw new IllegalStateException(path + " has another length than its Stat says");
        }
        // The server sends 2 * stored - children.
        int cversion = (stat.getCversion() + stat.getNumChildren()) / 2;
        lines.add(DataDir.line(path, new long[] {stat.getCzxid(), stat.getMzxid(), stat.getPzxid()},
            new long[] {stat.getCtime(), stat.getMtime()},
            new int[] {stat.getVersion(), cversion, stat.getAversion()},
            stat.getEphemeralOwner(), data, acl));
        for (String child : children.stream().sorted().collect(Collectors.toList())) {
            addNode((path.equals("/") ? "" : path) + "/" + child);
        }
    }

    private void addSessions(String text) throws KeeperException, InterruptedException {
        int end = text.indexOf("ephemeral nodes dump");
        if (end < 0) {
            throw new IllegalStateException("not an answer to dump: " + text);
        }
        TreeSet<Long> ids = new TreeSet<>();
        Matcher match = SESSION.matcher(text.substring(0, end));
        while (match.find()) {
            ids.add(Long.parseUnsignedLong(match.group(1), 16));
        }
        if (!ids.remove(client.getSessionId())) {
            throw new IllegalStateException("dump does not list a session that is open: " + text);
        }
        ids.forEach(id -> lines.add("session 0x" + Long.toHexString(id)));
    }

    private static String fourLetters(String address, String word) throws Exception {
        int colon = address.lastIndexOf(':');
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(
                address.substring(0, colon), Integer.parseInt(address.substring(colon + 1))));
            socket.getOutputStream().write(word.getBytes(StandardCharsets.US_ASCII));
            InputStream in = socket.getInputStream();
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
