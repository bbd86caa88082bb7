package ostler.interop;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.MultiOperationRecord;
import org.apache.zookeeper.MultiResponse;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.data.StatPersisted;
import org.apache.zookeeper.proto.AddWatchRequest;
import org.apache.zookeeper.proto.AuthPacket;
import org.apache.zookeeper.proto.CheckVersionRequest;
import org.apache.zookeeper.proto.CheckWatchesRequest;
import org.apache.zookeeper.proto.ConnectRequest;
import org.apache.zookeeper.proto.ConnectResponse;
import org.apache.zookeeper.proto.Create2Response;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.CreateResponse;
import org.apache.zookeeper.proto.CreateTTLRequest;
import org.apache.zookeeper.proto.DeleteRequest;
import org.apache.zookeeper.proto.ErrorResponse;
import org.apache.zookeeper.proto.ExistsRequest;
import org.apache.zookeeper.proto.ExistsResponse;
import org.apache.zookeeper.proto.GetACLRequest;
import org.apache.zookeeper.proto.GetACLResponse;
import org.apache.zookeeper.proto.GetAllChildrenNumberRequest;
import org.apache.zookeeper.proto.GetAllChildrenNumberResponse;
import org.apache.zookeeper.proto.GetChildren2Request;
import org.apache.zookeeper.proto.GetChildren2Response;
import org.apache.zookeeper.proto.GetChildrenRequest;
import org.apache.zookeeper.proto.GetChildrenResponse;
import org.apache.zookeeper.proto.GetDataRequest;
import org.apache.zookeeper.proto.GetDataResponse;
import org.apache.zookeeper.proto.GetEphemeralsRequest;
import org.apache.zookeeper.proto.GetEphemeralsResponse;
import org.apache.zookeeper.proto.GetSASLRequest;
import org.apache.zookeeper.proto.ReconfigRequest;
import org.apache.zookeeper.proto.RemoveWatchesRequest;
import org.apache.zookeeper.proto.ReplyHeader;
import org.apache.zookeeper.proto.RequestHeader;
import org.apache.zookeeper.proto.SetACLRequest;
import org.apache.zookeeper.proto.SetACLResponse;
import org.apache.zookeeper.proto.SetDataRequest;
import org.apache.zookeeper.proto.SetDataResponse;
import org.apache.zookeeper.proto.SetSASLResponse;
import org.apache.zookeeper.proto.SetWatches;
import org.apache.zookeeper.proto.SetWatches2;
import org.apache.zookeeper.proto.SyncRequest;
import org.apache.zookeeper.proto.SyncResponse;
import org.apache.zookeeper.proto.WatcherEvent;
import org.apache.zookeeper.proto.WhoAmIResponse;
import org.apache.zookeeper.server.persistence.FileHeader;
import org.apache.zookeeper.txn.CheckVersionTxn;
import org.apache.zookeeper.txn.CloseSessionTxn;
import org.apache.zookeeper.txn.CreateContainerTxn;
import org.apache.zookeeper.txn.CreateSessionTxn;
import org.apache.zookeeper.txn.CreateTTLTxn;
import org.apache.zookeeper.txn.CreateTxn;
import org.apache.zookeeper.txn.CreateTxnV0;
import org.apache.zookeeper.txn.DeleteTxn;
import org.apache.zookeeper.txn.ErrorTxn;
import org.apache.zookeeper.txn.MultiTxn;
import org.apache.zookeeper.txn.SetACLTxn;
import org.apache.zookeeper.txn.SetDataTxn;
import org.apache.zookeeper.txn.Txn;
import org.apache.zookeeper.txn.TxnDigest;
import org.apache.zookeeper.txn.TxnHeader;

/**
 * Prints the bytes that Apache's own record classes make of known field values.
 *
 * <p>Each vector is two lines: {@code # field values} and {@code kind name hex}. Bodies are without
 * frame length and without header; {@code entry} is one whole log record body (header, txn,
 * digest).
 */
public final class Records {
    private static final HexFormat HEX = HexFormat.of();
    private static final long SESSION = 0x0100_0013_EBAF_0000L;
    private static final long ZXID = 0x0000_0001_0000_0002L;
    private static final long TIME = 1_700_000_000_000L;
    private static final byte[] HELLO = "hello".getBytes(StandardCharsets.UTF_8);
    private static final byte[] PASSWORD = HEX.parseHex("dd37d22a2fad27a2ad12b484c492aa78");
    private static final String DIGEST_ID = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=";

    private static final List<ACL> OPEN = List.of(new ACL(31, new Id("world", "anyone")));
    private static final List<ACL> MIXED = List.of(
        new ACL(1, new Id("world", "anyone")),
        new ACL(31, new Id("digest", DIGEST_ID)),
        new ACL(0x7fff_ffff, new Id("ip", "10.0.0.0/8")),
        new ACL(16, new Id("auth", "")));
    private static final Stat STAT = new Stat(
        ZXID, ZXID + 1, TIME, TIME + 250, 3, -1, 2, SESSION, 5, 7, ZXID + 2);
    private static final Stat ZERO_STAT = new Stat(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

    private Records() {
    }

    public static void main(String[] arguments) throws IOException {
        System.out.println(
            "# Bytes of Apache ZooKeeper 3.9.5's own record classes; made by interop/capture.");
        System.out.println(
            "# Each vector: a line with the field values, then: kind name hex ('-' = no bytes).");
        parts();
        connect();
        headers();
        pathRequests();
        writeRequests();
        watchRequests();
        replies();
        multi();
        transactions();
        multiTransactions();
        logEntries();
    }

    private static void parts() throws IOException {
        print("part", "stat", STAT);
        print("part", "stat.zero", ZERO_STAT);
        print("part", "statPersisted", new StatPersisted(
            ZXID, ZXID + 1, TIME, TIME + 250, 3, 9, 2, SESSION, ZXID + 2));
        print("part", "id", new Id("world", "anyone"));
        print("part", "id.null", new Id(null, null));
        print("part", "acl", OPEN.get(0));
        // Java writes a character beyond U+FFFF as two surrogates of three bytes each.
        print("part", "acl.beyondBmp", new ACL(5, new Id("sasl", "\u00e9\u4e2d\ud83d\ude00")));
        print("part", "clientInfo", new ClientInfo("ip", "127.0.0.1"));
        print("part", "fileHeader.log", new FileHeader(0x5A4B4C47, 2, 0));
        print("part", "fileHeader.snapshot", new FileHeader(0x5A4B534E, 2, -1));
    }

    private static void connect() throws IOException {
        ConnectRequest fresh = new ConnectRequest(0, 0, 30000, 0, new byte[16], false);
        ConnectRequest again = new ConnectRequest(0, ZXID, 10000, SESSION, PASSWORD, true);
        print("connectRequest", "new", fresh);
        print("connectRequest", "reattach", again);
        print("connectRequest", "nullPassword", new ConnectRequest(0, 0, 30000, 0, null, false));
        printHex("connectRequest", "old", describe(fresh) + " without the readOnly byte",
            bytes(archive -> {
                archive.writeInt(0, "protocolVersion");
                archive.writeLong(0, "lastZxidSeen");
                archive.writeInt(30000, "timeOut");
                archive.writeLong(0, "sessionId");
                archive.writeBuffer(new byte[16], "passwd");
            }));
        ConnectResponse accepted = new ConnectResponse(0, 10000, SESSION, PASSWORD, false);
        print("connectResponse", "accepted", accepted);
        print("connectResponse", "readOnly",
            new ConnectResponse(0, 10000, SESSION, PASSWORD, true));
        print("connectResponse", "expired", new ConnectResponse(0, 0, 0, new byte[16], false));
        printHex("connectResponse", "old", describe(accepted) + " without the readOnly byte",
            bytes(archive -> {
                archive.writeInt(0, "protocolVersion");
                archive.writeInt(10000, "timeOut");
                archive.writeLong(SESSION, "sessionId");
                archive.writeBuffer(PASSWORD, "passwd");
            }));
    }

    private static void headers() throws IOException {
        print("requestHeader", "create", new RequestHeader(1, OpCode.create));
        print("requestHeader", "ping", new RequestHeader(-2, OpCode.ping));
        print("requestHeader", "auth", new RequestHeader(-4, OpCode.auth));
        print("requestHeader", "setWatches", new RequestHeader(-8, OpCode.setWatches));
        print("requestHeader", "closeSession", new RequestHeader(17, OpCode.closeSession));
        print("replyHeader", "ok", new ReplyHeader(1, ZXID, 0));
        print("replyHeader", "noNode", new ReplyHeader(2, ZXID + 1, -101));
        print("replyHeader", "event", new ReplyHeader(-1, -1, 0));
        print("event", "nodeCreated", new WatcherEvent(1, 3, "/a"));
        print("event", "nodeDeleted", new WatcherEvent(2, 3, "/a"));
        print("event", "nodeDataChanged", new WatcherEvent(3, 3, "/a/b"));
        print("event", "nodeChildrenChanged", new WatcherEvent(4, 3, "/"));
    }

    private static void pathRequests() throws IOException {
        print("request", "exists", new ExistsRequest("/a", true));
        print("request", "exists.noWatch", new ExistsRequest("/a", false));
        print("request", "exists.nullPath", new ExistsRequest(null, false));
        print("request", "getData", new GetDataRequest("/a/\u00e9\u4e2d", true));
        print("request", "getChildren", new GetChildrenRequest("/", false));
        print("request", "getChildren2", new GetChildren2Request("/", true));
        print("request", "getACL", new GetACLRequest("/a"));
        print("request", "sync", new SyncRequest("/a"));
        print("request", "check", new CheckVersionRequest("/a", 4));
        print("request", "delete", new DeleteRequest("/a", -1));
        print("request", "delete.version", new DeleteRequest("/a/b", 12));
        print("request", "getEphemerals", new GetEphemeralsRequest("/a"));
        print("request", "getAllChildrenNumber", new GetAllChildrenNumberRequest("/a"));
        printHex("request", "ping", "no body", new byte[0]);
        printHex("request", "closeSession", "no body", new byte[0]);
        printHex("request", "whoAmI", "no body", new byte[0]);
    }

    private static void writeRequests() throws IOException {
        for (CreateMode mode : CreateMode.values()) {
            if (!mode.isTTL()) {
                print("request", "create." + mode.name(),
                    new CreateRequest("/a", HELLO, OPEN, mode.toFlag()));
            }
        }
        print("request", "create.nullData", new CreateRequest("/a", null, OPEN, 0));
        print("request", "create.emptyData", new CreateRequest("/a", new byte[0], MIXED, 0));
        print("request", "create.nullAcl", new CreateRequest("/a", HELLO, null, 0));
        print("request", "createTTL", new CreateTTLRequest("/a", HELLO, OPEN, 5, 60000));
        print("request", "createTTL.sequential", new CreateTTLRequest("/a-", null, OPEN, 6, 1));
        print("request", "setData", new SetDataRequest("/a", HELLO, 3));
        print("request", "setData.null", new SetDataRequest("/a", null, -1));
        print("request", "setACL", new SetACLRequest("/a", MIXED, 2));
        print("request", "setACL.empty", new SetACLRequest("/a", List.of(), -1));
        print("request", "reconfig", new ReconfigRequest(
            "server.4=h4:2888:3888:participant;2181", "1,2", null, -1));
        print("request", "auth",
            new AuthPacket(0, "digest", "u:p".getBytes(StandardCharsets.UTF_8)));
        print("request", "sasl", new GetSASLRequest(HEX.parseHex("0102ff")));
    }

    private static void watchRequests() throws IOException {
        print("request", "addWatch.persistent", new AddWatchRequest("/a", 0));
        print("request", "addWatch.recursive", new AddWatchRequest("/a", 1));
        print("request", "checkWatches", new CheckWatchesRequest("/a", 3));
        print("request", "removeWatches", new RemoveWatchesRequest("/a", 2));
        print("request", "setWatches", new SetWatches(
            ZXID, List.of("/a", "/b"), List.of("/c"), List.of("/", "/a/b")));
        print("request", "setWatches.empty", new SetWatches(0, List.of(), List.of(), List.of()));
        print("request", "setWatches2", new SetWatches2(
            ZXID, List.of("/a"), List.of(), List.of("/b"), List.of("/p"), List.of("/r", "/")));
    }

    private static void replies() throws IOException {
        print("reply", "create", new CreateResponse("/a0000000003"));
        print("reply", "create2", new Create2Response("/a", STAT));
        print("reply", "exists", new ExistsResponse(STAT));
        print("reply", "getData", new GetDataResponse(HELLO, STAT));
        print("reply", "getData.null", new GetDataResponse(null, ZERO_STAT));
        print("reply", "getData.empty", new GetDataResponse(new byte[0], ZERO_STAT));
        print("reply", "setData", new SetDataResponse(STAT));
        print("reply", "getACL", new GetACLResponse(MIXED, STAT));
        print("reply", "setACL", new SetACLResponse(STAT));
        print("reply", "getChildren", new GetChildrenResponse(List.of("a", "b", "zookeeper")));
        print("reply", "getChildren.none", new GetChildrenResponse(List.of()));
        print("reply", "getChildren2", new GetChildren2Response(List.of("x"), STAT));
        print("reply", "sync", new SyncResponse("/a"));
        print("reply", "getEphemerals", new GetEphemeralsResponse(List.of("/a/e1", "/a/e2")));
        print("reply", "getAllChildrenNumber", new GetAllChildrenNumberResponse(42));
        print("reply", "whoAmI", new WhoAmIResponse(
            List.of(new ClientInfo("ip", "127.0.0.1"), new ClientInfo("digest", "u"))));
        print("reply", "sasl", new SetSASLResponse(HEX.parseHex("00ff")));
        print("reply", "sasl.null", new SetSASLResponse(null));
        print("reply", "addWatch", new ErrorResponse(0));
    }

    private static void multi() throws IOException {
        List<Op> writes = List.of(
            Op.create("/a", HELLO, OPEN, CreateMode.PERSISTENT),
            Op.create("/a/s-", null, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL),
            Op.create("/a/c", new byte[0], MIXED, CreateMode.CONTAINER),
            Op.create("/a/t", HELLO, OPEN, CreateMode.PERSISTENT_WITH_TTL, 60000),
            Op.setData("/a", HELLO, 0),
            Op.check("/a", 1),
            Op.delete("/b", -1));
        printOps("multi", writes);
        printOps("multi.empty", List.of());
        printOps("multiRead", List.of(Op.getData("/a"), Op.getChildren("/")));

        MultiResponse done = new MultiResponse();
        done.add(new OpResult.CreateResult("/a"));
        done.add(new OpResult.CreateResult("/a/c", STAT));
        done.add(new OpResult.SetDataResult(STAT));
        done.add(new OpResult.CheckResult());
        done.add(new OpResult.DeleteResult());
        print("reply", "multi", done,
            "create /a; create2 /a/c with stat; setData stat; check; delete");

        MultiResponse failed = new MultiResponse();
        for (int code : new int[] {0, 0, -103, -2, -2}) {
            failed.add(new OpResult.ErrorResult(code));
        }
        print("reply", "multi.failed", failed, "errors 0, 0, -103, -2, -2");
        print("reply", "multi.empty", new MultiResponse(), "no results");

        MultiResponse read = new MultiResponse();
        read.add(new OpResult.GetDataResult(HELLO, STAT));
        read.add(new OpResult.GetChildrenResult(List.of("a", "b")));
        read.add(new OpResult.ErrorResult(-101));
        print("reply", "multiRead", read, "getData hello with stat; getChildren a, b; error -101");
    }

    private static void printOps(String name, List<Op> ops) throws IOException {
        StringBuilder text = new StringBuilder();
        for (Op op : ops) {
            text.append(text.length() == 0 ? "" : "; ").append("type=").append(op.getType())
                .append(' ').append(describe(op.toRequestRecord()));
        }
        print("request", name, new MultiOperationRecord(ops),
            text.length() == 0 ? "no ops" : text.toString());
    }

    private static void transactions() throws IOException {
        print("txnHeader", "create", new TxnHeader(SESSION, 7, ZXID, TIME, OpCode.create));
        print("txnHeader", "createSession",
            new TxnHeader(SESSION, 0, ZXID, TIME, OpCode.createSession));
        print("txnDigest", "digest", new TxnDigest(2, 0x1_51C6_D660L));
        print("txn", "1.create", new CreateTxn("/a", HELLO, OPEN, false, 1));
        print("txn", "1.create.ephemeral", new CreateTxn("/a/e0000000004", null, MIXED, true, 5));
        print("txn", "1.create.v0", new CreateTxnV0("/a", HELLO, OPEN, false));
        print("txn", "15.create2", new CreateTxn("/a", new byte[0], OPEN, false, 2));
        print("txn", "19.createContainer", new CreateContainerTxn("/c", HELLO, OPEN, 3));
        print("txn", "21.createTTL", new CreateTTLTxn("/t", HELLO, OPEN, 4, 60000));
        print("txn", "2.delete", new DeleteTxn("/a"));
        print("txn", "20.deleteContainer", new DeleteTxn("/c"));
        print("txn", "5.setData", new SetDataTxn("/a", HELLO, 1));
        print("txn", "5.setData.null", new SetDataTxn("/a", null, 2));
        print("txn", "16.reconfig", new SetDataTxn(
            "/zookeeper/config", "server.1=h1:2888:3888:participant;2181\nversion=100000000"
                .getBytes(StandardCharsets.UTF_8), -1));
        print("txn", "7.setACL", new SetACLTxn("/a", MIXED, 1));
        print("txn", "13.check", new CheckVersionTxn("/a", 1));
        print("txn", "-1.error", new ErrorTxn(-101));
        print("txn", "-10.createSession", new CreateSessionTxn(10000));
        print("txn", "-11.closeSession", new CloseSessionTxn(List.of("/a/e1", "/a/e2")));
        print("txn", "-11.closeSession.none", new CloseSessionTxn(List.of()));
    }

    private static List<Txn> goodSubs() throws IOException {
        List<Txn> subs = new ArrayList<>();
        subs.add(sub(OpCode.create, new CreateTxn("/a", HELLO, OPEN, false, 1)));
        subs.add(sub(OpCode.create2, new CreateTxn("/a/e", null, OPEN, true, 1)));
        subs.add(sub(OpCode.createContainer, new CreateContainerTxn("/a/c", HELLO, OPEN, 2)));
        subs.add(sub(OpCode.createTTL, new CreateTTLTxn("/a/t", HELLO, OPEN, 3, 60000)));
        subs.add(sub(OpCode.setData, new SetDataTxn("/a", HELLO, 1)));
        subs.add(sub(OpCode.check, new CheckVersionTxn("/a", 1)));
        subs.add(sub(OpCode.delete, new DeleteTxn("/a/e")));
        return subs;
    }

    private static void multiTransactions() throws IOException {
        print("txn", "14.multi", new MultiTxn(goodSubs()));
        List<Txn> failed = goodSubs().subList(0, 2);
        failed.add(sub(OpCode.error, new ErrorTxn(-103)));
        failed.add(sub(OpCode.error, new ErrorTxn(-2)));
        print("txn", "14.multi.failed", new MultiTxn(failed));
        print("txn", "14.multi.empty", new MultiTxn(Collections.emptyList()));
    }

    private static Txn sub(int type, Record record) throws IOException {
        return new Txn(type, bytes(archive -> record.serialize(archive, "txn")));
    }

    private static void logEntries() throws IOException {
        TxnDigest digest = new TxnDigest(2, 0x51C6D660L);
        entry("createSession", OpCode.createSession, 0, new CreateSessionTxn(10000), digest);
        entry("create", OpCode.create, 1, new CreateTxn("/a", HELLO, OPEN, false, 1), digest);
        entry("create.v0", OpCode.create, 1, new CreateTxnV0("/a", HELLO, OPEN, false), null);
        entry("error", OpCode.error, 2, new ErrorTxn(-101), null);
        entry("multi", OpCode.multi, 3, new MultiTxn(goodSubs()), digest);
        entry("closeSession", OpCode.closeSession, 4,
            new CloseSessionTxn(List.of("/a/e1")), digest);
        entry("closeSession.old", OpCode.closeSession, 4, null, null);
    }

    private static void entry(String name, int type, int cxid, Record txn, TxnDigest digest)
        throws IOException {
        TxnHeader header = new TxnHeader(SESSION, cxid, ZXID, TIME, type);
        byte[] body = bytes(archive -> {
            header.serialize(archive, "hdr");
            if (txn != null) {
                txn.serialize(archive, "txn");
            }
            if (digest != null) {
                digest.serialize(archive, "digest");
            }
        });
        printHex("entry", name, describe(header) + " txn " + (txn == null ? "none" : describe(txn))
            + " digest " + (digest == null ? "none" : describe(digest)), body);
    }

    private static void print(String kind, String name, Record record) throws IOException {
        print(kind, name, record, describe(record));
    }

    private static void print(String kind, String name, Record record, String text)
        throws IOException {
        printHex(kind, name, text, bytes(archive -> record.serialize(archive, "record")));
    }

    private static void printHex(String kind, String name, String text, byte[] bytes) {
        System.out.println("# " + text);
        String hex = bytes.length == 0 ? "-" : HEX.formatHex(bytes);
        System.out.println(kind + " " + name + " " + hex);
    }

    private interface Body {
        void write(BinaryOutputArchive archive) throws IOException;
    }

    private static byte[] bytes(Body body) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        body.write(BinaryOutputArchive.getArchive(out));
        return out.toByteArray();
    }

    /** The fields of a record in their order, as {@code {name=value ...}}; byte arrays in hex. */
    private static String describe(Object value) {
        if (value == null) {
            return "null";
        }
        if (value instanceof byte[] data) {
            return "x" + HEX.formatHex(data);
        }
        if (value instanceof String text) {
            return "\"" + text + "\"";
        }
        if (value instanceof List<?> list) {
            return Arrays.toString(list.stream().map(Records::describe).toArray());
        }
        if (!(value instanceof Record)) {
            return value.toString();
        }
        StringBuilder text = new StringBuilder("{");
        for (Field field : value.getClass().getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers())) {
                continue;
            }
            field.setAccessible(true);
            try {
                text.append(text.length() == 1 ? "" : " ").append(field.getName()).append('=')
                    .append(describe(field.get(value)));
            } catch (IllegalAccessException e) {
                throw new IllegalStateException(e);
            }
        }
        return text.append('}').toString();
    }
}
