// JDBC's setReadOnly(true): BEGIN READ ONLY, and nothing while autocommit is on; readOnlyMode=always sets the session's default.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Map;

public class Marked {
    static Connection connect(String more) throws SQLException {
        Map<String, String> env = System.getenv();
        return DriverManager.getConnection("jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE")
            + "?user=" + env.get("PGUSER") + "&sslmode=disable&gssEncMode=disable" + more);
    }

    static void write(Connection db, int n, boolean isAutocommit) throws SQLException {
        db.setReadOnly(false);
        try (PreparedStatement statement = db.prepareStatement("INSERT INTO seen VALUES (?)")) {
            statement.setInt(1, n);
            statement.executeUpdate();
        }
        if (!isAutocommit) {
            db.commit();
        }
    }

    /* Returns whether a standby has answered; it must have this n. */
    static boolean read(Connection db, int n, int first, boolean isAutocommit) throws SQLException {
        db.setReadOnly(true);
        boolean isStandby;
        try (PreparedStatement statement = db.prepareStatement(
                 "SELECT pg_is_in_recovery(), coalesce(max(n), -1) FROM seen WHERE n / 1000 * 1000 = ?")) {
            statement.setInt(1, first);
            try (ResultSet found = statement.executeQuery()) {
                found.next();
                isStandby = found.getBoolean(1);
                if (found.getInt(2) != n) {
                    throw new IllegalStateException("wanted " + n + ", found " + found.getInt(2));
                }
            }
        }
        if (!isAutocommit) {
            db.commit();
        }
        return isStandby;
    }

    static void alternate(String name, int first, boolean isAutocommit, String more) throws SQLException {
        try (Connection db = connect(more)) {
            db.setAutoCommit(isAutocommit);
            while (!read(db, -1, first, isAutocommit)) {
            }
            for (int i = first; i < first + 10; i++) { // prepared on the server from the fifth use on
                write(db, i, isAutocommit);
                // Behind SET SESSION CHARACTERISTICS the server is kept for a moment; and where none to a standby is idle the primary answers.
                int tries = 0;
                while (!read(db, i, first, isAutocommit)) {
                    if (++tries == 100) {
                        throw new IllegalStateException("the primary has answered " + i + " a hundred times");
                    }
                }
            }
            write(db, first + 999, isAutocommit);
        }
        System.out.println("ok " + name);
    }

    public static void main(String[] arguments) throws SQLException {
        alternate("transactions", 6000, false, "");
        alternate("always", 7000, true, "&readOnlyMode=always");
    }
}
