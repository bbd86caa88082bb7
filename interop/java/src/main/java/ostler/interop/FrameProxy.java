package ostler.interop;

import java.io.Closeable;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * A TCP proxy between ZooKeeper clients and one server that works frame by frame.
 *
 * <p>It can note every frame ({@code C hex} from the client, {@code S hex} from the server, without
 * the length) and cut all connections, which a client sees as a broken network. It is not for
 * four-letter words, which are not framed.
 */
final class FrameProxy implements Closeable {
    private final ServerSocket listener;
    private final InetSocketAddress server;
    private final List<Socket> open = new ArrayList<>();
    // Null when nothing is to be noted. Guarded by itself being only appended under `this`.
    private final List<String> notes;
    private int connections;
    private boolean refusing;

    FrameProxy(String server, boolean noting) throws IOException {
        int colon = server.lastIndexOf(':');
        this.server = new InetSocketAddress(
            server.substring(0, colon), Integer.parseInt(server.substring(colon + 1)));
        this.notes = noting ? new ArrayList<>() : null;
        this.listener = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
        start(this::accept);
    }

    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Adds a comment line to the notes. */
    void comment(String text) {
        note("# " + text);
    }

    synchronized List<String> notes() {
        return List.copyOf(notes);
    }

    /** Breaks every connection at once; new ones are served as before. */
    synchronized void cut() {
        note("# all connections cut");
        for (Socket socket : open) {
            closeQuietly(socket);
        }
        open.clear();
    }

    /** While true, new connections are closed as soon as they come. */
    synchronized void refuse(boolean now) {
        refusing = now;
    }

    @Override
    public void close() throws IOException {
        listener.close();
        cut();
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listener.accept();
                synchronized (this) {
                    if (refusing) {
                        closeQuietly(client);
                        continue;
                    }
                }
                join(client);
            }
        } catch (IOException e) {
            // The listener was closed: the proxy is done.
        }
    }

    private void join(Socket client) {
        Socket upstream = new Socket();
        try {
            upstream.connect(server);
            client.setTcpNoDelay(true);
            upstream.setTcpNoDelay(true);
        } catch (IOException e) {
            closeQuietly(client);
            closeQuietly(upstream);
            return;
        }
        synchronized (this) {
            connections++;
            note("# connection " + connections);
            open.add(client);
            open.add(upstream);
        }
        start(() -> pump(client, upstream, "C "));
        start(() -> pump(upstream, client, "S "));
    }

    private void pump(Socket from, Socket to, String direction) {
        try {
            DataInputStream in = new DataInputStream(from.getInputStream());
            while (true) {
                int size = in.readInt();
                byte[] frame = new byte[4 + size];
                for (int i = 0; i < 4; i++) {
                    frame[i] = (byte) (size >>> (24 - 8 * i));
                }
                in.readFully(frame, 4, size);
                note(direction + HexFormat.of().formatHex(frame, 4, frame.length));
                to.getOutputStream().write(frame);
            }
        } catch (IOException e) {
            closeQuietly(from);
            closeQuietly(to);
        }
    }

    private synchronized void note(String line) {
        if (notes != null) {
            notes.add(line);
        }
    }

    private static void start(Runnable task) {
        Thread thread = new Thread(task, "proxy");
        thread.setDaemon(true);
        thread.start();
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // Closing is all that was wanted.
        }
    }
}
