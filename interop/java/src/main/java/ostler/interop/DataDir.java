package ostler.interop;

import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.StatPersisted;
import org.apache.zookeeper.server.DataNode;
import org.apache.zookeeper.server.DataTree;
import org.apache.zookeeper.server.persistence.FileSnap;
import org.apache.zookeeper.server.persistence.FileTxnSnapLog;
import org.apache.zookeeper.txn.TxnDigest;

/**
 * Loads a standalone data directory with Apache's own classes and shows what is in it.
 *
 * <pre>
 * DataDir dump DIR            the tree, sessions and digest
 * DataDir dump-each DIR       the same from every snapshot in turn, which must all agree
 * DataDir snapshot DIR ZXID OUT  writes OUT/snapshot.ZXID of the state right after ZXID (hex)
 * </pre>
 *
 * <p>DIR itself is never touched: Apache's loader deletes and creates files, so it gets a copy.
 * Every txn digest is compared with the digest of Apache's tree; a mismatch or a missing one ends
 * the program with 1. Apache's server walks its tree while it changes, so what it wrote gets leave
 * for as much as that explains: {@code -Dinterop.fuzzy=snapshots} lets a snapshot's own digest
 * differ, {@code -Dinterop.fuzzy=tree}, for a server that was sent such a walk, any that does not
 * last to the end. Run it with {@code -Dzookeeper.extendedTypesEnabled=true} where there are TTL
 * nodes, or they are taken for ephemerals.
 *
 * <p>Dump lines: {@code path czxid mzxid pzxid ctime mtime version cversion aversion owner data
 * acl} with the stored cversion, zxids and owner in hex, data as hex, {@code -} (empty) or {@code
 * null}, acl as {@code scheme:id:perms,...}; then {@code session 0xID TIMEOUT}; then {@code digest
 * DECIMAL zxid HEX}.
 */
public final class DataDir {
    private final DataTree tree = new DataTree();
    private final ConcurrentHashMap<Long, Integer> sessions = new ConcurrentHashMap<>();
    private final List<Long> mismatches = new ArrayList<>();
    // Found at a snapshot's own digest.
    private final List<Long> snapshotMismatches = new ArrayList<>();
    private int txns;
    private int digests;
    private int errors;
    private int missing;
    private long lastZxid;

    private DataDir() {
    }

    public static void main(String[] arguments) throws IOException {
        Path directory = Path.of(arguments[1]);
        // As UTF-8, whatever the locale says.
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        switch (arguments[0]) {
            case "dump" -> load(copy(directory, file -> true)).forEach(out::println);
            case "dump-each" -> dumpEach(directory).forEach(out::println);
            case "snapshot" -> snapshot(
                directory, Long.parseUnsignedLong(arguments[2], 16), Path.of(arguments[3]));
            default -> throw new IllegalArgumentException("unknown command " + arguments[0]);
        }
        out.flush();
    }

    private static List<String> dumpEach(Path directory) throws IOException {
        // What a killed server had not finished is not a snapshot, and Apache's server passes it by.
        List<Path> snapshots = files(directory).stream().filter(DataDir::isSnapshot)
            .filter(file -> !file.toString().endsWith(".tmp"))
            .sorted(Comparator.comparingLong(DataDir::zxidOf).reversed()).toList();
        List<String> newest = null;
        for (Path only : snapshots) {
            System.err.println("from " + only.getFileName() + ":");
            if (!loads(copy(directory, only::equals))) {
                // Apache's server writes to the final name, so a kill can leave one short; who
                // calls this program knows whether that may be.
                System.err.println("cut short");
                continue;
            }
            List<String> lines =
                load(copy(directory, file -> !isSnapshot(file) || file.equals(only)));
            if (newest == null) {
                newest = lines;
            } else if (!newest.equals(lines)) {
                throw new IllegalStateException("not the tree of the newest: " + only);
            }
        }
        if (newest == null) {
            throw new IllegalStateException("no snapshot in " + directory);
        }
        return newest;
    }

    private static boolean loads(Path scratch) {
        try {
            new FileSnap(scratch.resolve("version-2").toFile())
                .deserialize(new DataTree(), new ConcurrentHashMap<>());
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    private static List<String> load(Path scratch) throws IOException {
        DataDir loaded = new DataDir();
        FileTxnSnapLog files = new FileTxnSnapLog(scratch.toFile(), scratch.toFile());
        loaded.restore(files);
        files.close();
        System.err.println(loaded.summary());
        if (!loaded.sound()) {
            System.exit(1);
        }
        return loaded.lines();
    }

    private static void snapshot(Path directory, long zxid, Path target) throws IOException {
        Path scratch = copy(directory, file -> !isSnapshot(file) || zxidOf(file) < zxid);
        DataDir loaded = new DataDir();
        FileTxnSnapLog files = new FileTxnSnapLog(scratch.toFile(), scratch.toFile());
        if (!files.truncateLog(zxid)) {
            throw new IllegalStateException("no zxid 0x" + Long.toHexString(zxid) + " in the log");
        }
        files.close();
        files = new FileTxnSnapLog(scratch.toFile(), scratch.toFile());
        loaded.restore(files);
        System.err.println(loaded.summary());
        File written = files.save(loaded.tree, loaded.sessions, true);
        files.close();
        Files.createDirectories(target);
        Files.copy(written.toPath(), target.resolve(written.getName()),
            StandardCopyOption.REPLACE_EXISTING);
    }

    private void restore(FileTxnSnapLog files) throws IOException {
        tree.addDigestWatcher(zxid -> {
            // A snapshot taken while txns are applied can hold one more than its digest counts. It
            // is only there in a server that walks the tree while it changes, and replay mends it.
            boolean ofSnapshot = tree.getDigestFromLoadedSnapshot() != null;
            (ofSnapshot ? snapshotMismatches : mismatches).add(zxid);
        });
        lastZxid = files.restore(tree, sessions, (header, txn, digest) -> {
            txns++;
            if (digest == null) {
                // Only a refused single operation is logged without a digest.
                errors += header.getType() == -1 ? 1 : 0;
                missing += header.getType() == -1 ? 0 : 1;
            } else {
                check(header.getZxid(), digest);
            }
        });
    }

    /** A second opinion beside Apache's own comparison, which might be off without our notice. */
    private void check(long zxid, TxnDigest digest) {
        boolean fuzzy = tree.getDigestFromLoadedSnapshot() != null;
        if (!fuzzy) {
            digests++;
            if (tree.getTreeDigest() != digest.getTreeDigest()) {
                mismatches.add(zxid);
            }
        }
    }

    private boolean sound() {
        Set<Long> wrong = new HashSet<>(mismatches);
        wrong.addAll(snapshotMismatches);
        switch (System.getProperty("interop.fuzzy", "")) {
            // A txn that the snapshot's digest does not count yet: the same finding when the log
            // tells the digest of that moment too, and mended by the next txn.
            case "snapshots" -> wrong.removeAll(snapshotMismatches);
            // The tree has other digests until what was ahead of its time is written once more.
            case "tree" -> wrong.retainAll(Set.of(lastZxid));
            default -> { }
        }
        return wrong.isEmpty() && missing == 0;
    }

    private String summary() {
        String wrong = hex(mismatches);
        return "replayed " + txns + " txns to zxid 0x" + Long.toHexString(lastZxid) + ", " + errors
            + " of them errors; compared " + digests + " digests"
            + (missing == 0 ? "" : "; MISSING in " + missing)
            + (snapshotMismatches.isEmpty() ? ""
                : "; the snapshot's own digest differs at " + hex(snapshotMismatches))
            + (wrong.isEmpty() ? ", all equal" : "; MISMATCH at " + wrong);
    }

    private static String hex(List<Long> zxids) {
        return zxids.stream().distinct().map(Long::toHexString).collect(Collectors.joining(" "));
    }

    private List<String> lines() {
        List<String> lines = new ArrayList<>();
        addNode("", lines);
        for (Map.Entry<Long, Integer> session : new TreeMap<>(sessions).entrySet()) {
            lines.add("session 0x" + Long.toHexString(session.getKey()) + " " + session.getValue());
        }
        lines.add("digest " + Long.toUnsignedString(tree.getTreeDigest()) + " zxid "
            + Long.toHexString(lastZxid));
        return lines;
    }

    private void addNode(String path, List<String> lines) {
        DataNode node = tree.getNode(path);
        StatPersisted stat = node.stat;
        lines.add(line(path.isEmpty() ? "/" : path,
            new long[] {stat.getCzxid(), stat.getMzxid(), stat.getPzxid()},
            new long[] {stat.getCtime(), stat.getMtime()},
            new int[] {stat.getVersion(), stat.getCversion(), stat.getAversion()},
            stat.getEphemeralOwner(), node.getData(), tree.getACL(node)));
        node.getChildren().stream().sorted().forEach(child -> addNode(path + "/" + child, lines));
    }

    /** One node as a dump line; {@link TreeDump} makes the same of what a client sees. */
    static String line(String path, long[] zxids, long[] times, int[] versions, long owner,
        byte[] data, List<ACL> acl) {
        List<String> fields = new ArrayList<>();
        fields.add(path.replace(" ", "\\s"));
        Arrays.stream(zxids).forEach(zxid -> fields.add(Long.toHexString(zxid)));
        Arrays.stream(times).forEach(time -> fields.add(Long.toString(time)));
        Arrays.stream(versions).forEach(version -> fields.add(Integer.toString(version)));
        fields.addAll(List.of(Long.toHexString(owner), data(data), acl(acl)));
        return String.join(" ", fields);
    }

    private static String data(byte[] data) {
        if (data == null) {
            return "null";
        }
        return data.length == 0 ? "-" : HexFormat.of().formatHex(data);
    }

    private static String acl(List<ACL> list) {
        return list.isEmpty() ? "-" : list.stream()
            .map(acl -> acl.getId().getScheme() + ":" + acl.getId().getId() + ":" + acl.getPerms())
            .collect(Collectors.joining(","));
    }

    private interface Choice {
        boolean keep(Path file);
    }

    private static Path copy(Path directory, Choice choice) throws IOException {
        Path scratch = Files.createTempDirectory("datadir");
        Path inner = Files.createDirectories(scratch.resolve("version-2"));
        for (Path file : files(directory)) {
            if (choice.keep(file)) {
                Files.copy(file, inner.resolve(file.getFileName()));
            }
        }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(scratch)));
        return scratch;
    }

    private static void delete(Path directory) {
        try (Stream<Path> all = Files.walk(directory)) {
            all.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
        } catch (IOException e) {
            System.err.println("left behind: " + directory);
        }
    }

    private static List<Path> files(Path directory) throws IOException {
        try (Stream<Path> all = Files.list(directory.resolve("version-2"))) {
            return all.toList();
        }
    }

    private static boolean isSnapshot(Path file) {
        return file.getFileName().toString().startsWith("snapshot.");
    }

    private static long zxidOf(Path file) {
        return Long.parseUnsignedLong(file.getFileName().toString().split("\\.")[1], 16);
    }
}
