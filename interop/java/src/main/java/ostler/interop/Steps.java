package ostler.interop;

import java.nio.charset.StandardCharsets;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;

/** What the client programs share: a line per step, and expectations that end the program. */
final class Steps {
    static final int WAIT_S = 20;

    private final String program;

    Steps(String program) {
        this.program = program;
    }

    void step(String text) {
        System.out.println(program + ": " + text);
    }

    static void expect(boolean holds, String text) {
        if (!holds) {
            throw new AssertionError(text);
        }
    }

    static void equal(Object wanted, Object got) {
        expect(Objects.equals(wanted, got), "wanted " + wanted + ", got " + got);
    }

    interface Call {
        Object run() throws Exception;
    }

    /** The call must end with this error code of the server. */
    static void refused(KeeperException.Code code, Call call) throws Exception {
        try {
            Object result = call.run();
            throw new AssertionError("wanted " + code + ", got " + result);
        } catch (KeeperException e) {
            equal(code, e.code());
        }
    }

    static byte[] data(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** A watcher to wait on. */
    static final class Events implements Watcher {
        private final BlockingQueue<WatchedEvent> queue = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            queue.add(event);
        }

        WatchedEvent next() throws InterruptedException {
            WatchedEvent event = queue.poll(WAIT_S, TimeUnit.SECONDS);
            expect(event != null, "no event came");
            return event;
        }

        /** The next event must be of this type and path. */
        void next(Event.EventType type, String path) throws InterruptedException {
            WatchedEvent event = next();
            equal(type + " " + path, event.getType() + " " + event.getPath());
        }

        void await(Event.KeeperState state) throws InterruptedException {
            while (next().getState() != state) {
                // Others come on the way there.
            }
        }

        boolean isEmpty() {
            return queue.isEmpty();
        }
    }

    /** Runs a program; whatever it throws becomes a line and exit code 1. */
    static void run(String program, Call body) {
        try {
            body.run();
        } catch (Throwable e) {
            System.err.println(program + ": FAILED: " + e);
            e.printStackTrace();
            System.exit(1);
        }
        System.out.println(program + ": done");
        System.exit(0);
    }
}
