// JDBC: prepares on the server from the fifth use on, fetches by named portals, sets extra_float_digits at the start.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public class Jdbc {
    interface Work {
        void run(int number) throws Exception;
    }

    static final Map<String, Work> rows = new LinkedHashMap<>();

    static void row(String name, Work work) {
        rows.put(name, work);
    }

    static void same(Object wanted, Object found) {
        if (!Objects.equals(wanted, found)) {
            throw new IllegalStateException("wanted " + wanted + ", found " + found);
        }
    }

    static Connection connect(String more) throws SQLException {
        return connect(System.getenv("PGDATABASE"), System.getenv("PGUSER"), more);
    }

    static Connection connect(String database, String user, String more) throws SQLException {
        Map<String, String> env = System.getenv();
        return DriverManager.getConnection("jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/"
            + database + "?user=" + user + "&sslmode=" + env.get("PGSSLMODE")
            + (env.containsKey("PGSSLROOTCERT") ? "&sslrootcert=" + env.get("PGSSLROOTCERT") : "")
            + "&gssEncMode=disable" + more);
    }

    static Object value(Connection db, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = db.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            try (ResultSet found = statement.executeQuery()) {
                found.next();
                return found.getObject(1);
            }
        }
    }

    static void execute(Connection db, String... texts) throws SQLException {
        try (Statement statement = db.createStatement()) {
            for (String text : texts) {
                statement.execute(text);
            }
        }
    }

    static void fails(String state, Work work) throws Exception {
        try {
            work.run(0);
        } catch (SQLException error) {
            same(state, error.getSQLState());
            return;
        }
        throw new IllegalStateException("no error, wanted " + state);
    }

    static void describe() {
        row("statements_prepared_from_the_fifth_use_on", number -> {
            try (Connection db = connect("")) {
                for (int i = 0; i < 40; i++) {
                    same(i + number, value(db, "SELECT ? + ?::int4", i, number));
                    same("row " + i, value(db, "SELECT ?::text", "row " + i));
                }
            }
        });
        row("prepared_at_the_first_use", number -> {
            try (Connection db = connect("&prepareThreshold=1")) {
                for (int i = 0; i < 30; i++) {
                    same(i * number, value(db, "SELECT ?::int4 * " + number, i));
                    same(i % 5, value(db, "SELECT ?::int4 -- " + i % 7, i % 5));
                }
            }
        });
        row("simple_query_mode", number -> {
            try (Connection db = connect("&preferQueryMode=simple")) {
                for (int i = 0; i < 20; i++) {
                    same(i, value(db, "SELECT ?::int4", i));
                }
            }
        });
        row("startup_settings", number -> {
            try (Connection db = connect("&currentSchema=tenant_" + number + "&ApplicationName=shop"
                    + "&options=-c%20statement_timeout=7000")) {
                for (int i = 0; i < 20; i++) {
                    same("tenant_" + number, value(db, "SELECT name FROM place"));
                    same("7s", value(db, "SHOW statement_timeout"));
                    same("shop", value(db, "SHOW application_name"));
                }
            }
        });
        row("set_schema_and_client_info", number -> {
            try (Connection db = connect("")) {
                db.setSchema("tenant_" + number);
                db.setClientInfo("ApplicationName", "shop " + number);
                for (int i = 0; i < 20; i++) {
                    same("tenant_" + number, value(db, "SELECT name FROM place"));
                    same("tenant_" + number, db.getSchema());
                    same("shop " + number, value(db, "SHOW application_name"));
                }
            }
        });
        row("isolation_and_read_only_of_a_session", number -> {
            try (Connection db = connect("&readOnlyMode=always")) {
                db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                db.setReadOnly(true);
                for (int i = 0; i < 15; i++) {
                    same("serializable", value(db, "SHOW transaction_isolation"));
                    same("on", value(db, "SHOW transaction_read_only"));
                }
                db.setAutoCommit(false);
                fails("25006", n -> execute(db, "CREATE TABLE jdbc_never (a int)"));
                db.rollback();
            }
        });
        row("transactions_and_savepoints", number -> {
            String table = "jdbc_tx_" + number;
            try (Connection db = connect("")) {
                execute(db, "DROP TABLE IF EXISTS " + table, "CREATE TABLE " + table + " (id int PRIMARY KEY)");
                db.setAutoCommit(false);
                for (int i = 0; i < 10; i++) {
                    int id = i;
                    String insert = "INSERT INTO " + table + " VALUES (?) RETURNING id";
                    same(i, value(db, insert, i));
                    Savepoint one = db.setSavepoint();
                    fails("23505", n -> value(db, insert, id));
                    db.rollback(one);
                    if (i % 2 == 0) {
                        db.commit();
                    } else {
                        db.rollback();
                    }
                }
                same(5L, value(db, "SELECT count(*) FROM " + table));
                execute(db, "DROP TABLE " + table);
                db.commit();
            }
        });
        row("autosave_always", number -> {
            try (Connection db = connect("&autosave=always")) {
                db.setAutoCommit(false);
                for (int i = 0; i < 12; i++) {
                    fails("22012", n -> value(db, "SELECT 1 / ?::int4", 0));
                    same(i, value(db, "SELECT ?::int4", i));
                }
                db.commit();
            }
        });
        row("fetch_size_uses_portals", number -> {
            try (Connection db = connect("&defaultRowFetchSize=50")) {
                db.setAutoCommit(false);
                for (int turn = 0; turn < 7; turn++) {
                    try (PreparedStatement statement = db.prepareStatement("SELECT i FROM generate_series(1, ?) i")) {
                        statement.setInt(1, 1000);
                        long sum = 0;
                        try (ResultSet found = statement.executeQuery()) {
                            while (found.next()) {
                                sum += found.getInt(1);
                            }
                        }
                        same(500500L, sum);
                    }
                    db.commit();
                }
            }
        });
        row("holdable_cursor", number -> {
            try (Connection db = connect("")) {
                execute(db, "DECLARE held CURSOR WITH HOLD FOR SELECT i FROM generate_series(1, 20) i");
                for (int i = 1; i <= 20; i++) {
                    same(i, value(db, "FETCH 1 FROM held"));
                }
                execute(db, "CLOSE held");
            }
        });
        row("batches_and_generated_keys", number -> {
            String table = "jdbc_batch_" + number;
            try (Connection db = connect("&reWriteBatchedInserts=" + (number == 1))) {
                execute(db, "DROP TABLE IF EXISTS " + table, "CREATE TABLE " + table + " (id serial, v text)");
                String[] keys = {"id"};
                String insert = "INSERT INTO " + table + " (v) VALUES (?)";
                try (PreparedStatement statement = db.prepareStatement(insert, keys)) {
                    for (int i = 0; i < 500; i++) {
                        statement.setString(1, "row " + i);
                        statement.addBatch();
                    }
                    same(500, statement.executeBatch().length);
                    ResultSet made = statement.getGeneratedKeys();
                    for (int i = 1; i <= 500; i++) {
                        made.next();
                        same(i, made.getInt(1));
                    }
                }
                execute(db, "DROP TABLE " + table);
            }
        });
        row("pins_nothing", number -> {
            for (String more : new String[] {"", "&prepareThreshold=1", "&prepareThreshold=1&reWriteBatchedInserts=true"}) {
                try (Connection db = connect(more)) {
                    for (int turn = 0; turn < 6; turn++) {
                        db.setAutoCommit(turn % 2 == 0);
                        try (PreparedStatement insert = db.prepareStatement("INSERT INTO audited (owner, v) VALUES (?, ?)")) {
                            for (int i = 0; i < 13; i++) {
                                insert.setInt(1, number);
                                insert.setString(2, i % 3 == 0 ? null : "jdbc " + i);
                                insert.addBatch();
                            }
                            same(13, insert.executeBatch().length);
                        }
                        try (PreparedStatement update = db.prepareStatement("UPDATE audited SET v = 'jdbc' WHERE owner = ? AND v = ?")) {
                            for (int i = 0; i < 5; i++) {
                                update.setInt(1, number);
                                if (i % 2 == 0) {
                                    update.setString(2, "jdbc " + i);
                                } else {
                                    update.setObject(2, "jdbc " + i, java.sql.Types.CHAR);
                                }
                                update.addBatch();
                            }
                            same(5, update.executeBatch().length);
                        }
                        try (Statement several = db.createStatement()) {
                            several.addBatch("INSERT INTO audited (owner, v) VALUES (" + number + ", 'jdbc')");
                            several.addBatch("UPDATE audited SET v = 'batched' WHERE owner = " + number + " AND v = 'jdbc'");
                            several.addBatch("DELETE FROM audited WHERE owner = " + number + " AND v = 'batched'");
                            same(3, several.executeBatch().length);
                        }
                        same(0L, value(db, "SELECT count(*) FROM audited WHERE owner = ? AND v = 'batched'", number));
                        if (turn % 2 != 0) {
                            db.rollback();
                        }
                    }
                    db.setAutoCommit(true);
                    execute(db, "DELETE FROM audited WHERE owner = " + number);
                }
            }
        });
        row("large_objects", number -> {            // by function calls, the fast path
            try (Connection db = connect("")) {
                db.setAutoCommit(false);
                LargeObjectManager objects = db.unwrap(PGConnection.class).getLargeObjectAPI();
                for (int turn = 0; turn < 4; turn++) {
                    byte[] bytes = (number + "/" + turn).getBytes();
                    long made = objects.createLO();
                    try (LargeObject object = objects.open(made)) {
                        object.write(bytes);
                        object.seek(0);
                        same(bytes.length, object.read(new byte[99], 0, 99));
                    }
                    db.commit();
                    try (LargeObject object = objects.open(made, LargeObjectManager.READ)) {
                        same(new String(bytes), new String(object.read(99)));
                    }
                    objects.delete(made);
                    db.commit();
                }
            }
        });
        row("listen", number -> {
            try (Connection db = connect(""); Connection other = connect("")) {
                execute(db, "LISTEN jdbc_" + number);
                for (int i = 0; i < 3; i++) {
                    execute(other, "NOTIFY jdbc_" + number + ", 'hello " + i + "'");
                    PGNotification[] got = db.unwrap(PGConnection.class).getNotifications(10000);
                    same(1, got == null ? 0 : got.length);
                    same("jdbc_" + number + " hello " + i, got[0].getName() + " " + got[0].getParameter());
                }
            }
        });
        row("advisory_lock_of_flyway", number -> {
            try (Connection db = connect(""); Connection other = connect("")) {
                long key = 77431708279161L + number;
                same(true, value(db, "SELECT pg_try_advisory_lock(?)", key));
                for (int i = 0; i < 10; i++) {
                    same(1, value(db, "SELECT 1"));
                    same(false, value(other, "SELECT pg_try_advisory_lock(?)", key));
                }
                same(true, value(db, "SELECT pg_advisory_unlock(?)", key));
            }
        });
        row("temporary_table", number -> {
            try (Connection db = connect("")) {
                execute(db, "CREATE TEMPORARY TABLE basket (n int)");
                try (PreparedStatement insert = db.prepareStatement("INSERT INTO basket VALUES (?)")) {
                    for (int i = 0; i < 15; i++) {
                        insert.setInt(1, i);
                        same(1, insert.executeUpdate());
                    }
                }
                same(105L, value(db, "SELECT sum(n) FROM basket"));
            }
        });
        row("role_and_setting_for_row_security", number -> {
            try (Connection db = connect("")) {
                execute(db, "SET ROLE clerk");
                value(db, "SELECT set_config('app.user_id', ?, false)", String.valueOf(number));
                for (int i = 0; i < 20; i++) {
                    same((long) number, value(db, "SELECT count(*) FROM document"));
                    same("clerk", value(db, "SELECT current_user::text"));
                }
                execute(db, "RESET ROLE");
                same("web", value(db, "SELECT current_user::text"));
            }
        });
        row("deallocate_all_and_discard_all", number -> {
            try (Connection db = connect("&prepareThreshold=1")) {
                for (int i = 0; i < 10; i++) {
                    same(i, value(db, "SELECT ?::int4", i));
                    same(i + 1, value(db, "SELECT ?::int4 + 1", i));
                    execute(db, i % 2 == 0 ? "DEALLOCATE ALL" : "DISCARD ALL");
                }
            }
        });
        row("table_altered_between_uses", number -> {
            String table = "jdbc_ddl_" + number, all = "SELECT * FROM " + table;
            try (Connection db = connect("")) {
                execute(db, "DROP TABLE IF EXISTS " + table, "CREATE TABLE " + table + " (a int)",
                    "INSERT INTO " + table + " VALUES (1)");
                for (int i = 0; i < 8; i++) {
                    same(1, value(db, all));
                }
                execute(db, "ALTER TABLE " + table + " ADD COLUMN b int DEFAULT 2");
                for (int i = 0; i < 8; i++) {
                    same(1, value(db, all));
                    try (Connection fresh = connect("&prepareThreshold=1");
                            Statement statement = fresh.createStatement();
                            ResultSet found = statement.executeQuery(all)) {
                        same(2, found.getMetaData().getColumnCount());
                    }
                }
                execute(db, "DROP TABLE " + table);
            }
        });
        row("copy_manager", number -> {
            String table = "jdbc_copy_" + number;
            try (Connection db = connect("")) {
                execute(db, "DROP TABLE IF EXISTS " + table, "CREATE TABLE " + table + " (id int, v text)");
                StringBuilder lines = new StringBuilder();
                for (int i = 0; i < 2000; i++) {
                    lines.append(i).append("\trow ").append(i).append('\n');
                }
                CopyManager copy = db.unwrap(PGConnection.class).getCopyAPI();
                same(2000L, copy.copyIn("COPY " + table + " FROM STDIN", new StringReader(lines.toString())));
                StringWriter out = new StringWriter();
                same(2000L, copy.copyOut("COPY " + table + " TO STDOUT", out));
                same(lines.toString(), out.toString());
                execute(db, "DROP TABLE " + table);
            }
        });
        row("types_and_metadata", number -> {
            try (Connection db = connect("&prepareThreshold=1")) {
                for (int i = 0; i < 8; i++) {
                    Array array = db.createArrayOf("int4", new Integer[] {1, i});
                    same(i, ((Integer[]) ((Array) value(db, "SELECT ?::int4[]", array)).getArray())[1]);
                    same("good", value(db, "SELECT ?::mood::text", "good"));
                    same("{\"a\": " + i + "}", value(db, "SELECT ?::jsonb", "{\"a\":" + i + "}").toString());
                    try (ResultSet columns = db.getMetaData().getColumns(null, "tenant_1", "place", "%")) {
                        same(true, columns.next());
                        same("name", columns.getString("COLUMN_NAME"));
                    }
                }
            }
        });
        row("query_timeout_then_going_on", number -> {
            try (Connection db = connect("")) {
                try (Statement statement = db.createStatement()) {
                    statement.setQueryTimeout(1);
                    fails("57014", n -> statement.execute("SELECT pg_sleep(20)"));
                }
                for (int i = 0; i < 5; i++) {
                    same(i, value(db, "SELECT ?::int4", i));
                }
            }
        });
    }

    static void describeConsole() {
        row("console", number -> {
            try (Connection db = connect("pgweir", "admin", "&preferQueryMode=simple")) {
                db.setAutoCommit(false);
                for (int i = 0; i < 10; i++) {
                    same("databases", value(db, "SHOW LISTS"));
                    db.commit();
                }
            }
            fails("0A000", n -> connect("pgweir", "admin", "").close());
        });
    }

    public static void main(String[] names) throws Exception {
        boolean failed = false;
        describe();
        describeConsole();
        int count = Integer.parseInt(System.getenv().getOrDefault("CLIENTS", "2"));
        ExecutorService clients = Executors.newFixedThreadPool(count);
        for (String name : names.length > 0 ? names : rows.keySet().toArray(new String[0])) {
            Work work = rows.get(name);
            List<Future<?>> all = new ArrayList<>();
            for (int i = 1; i <= count; i++) {
                int number = i;
                all.add(clients.submit(() -> {
                    work.run(number);
                    return null;
                }));
            }
            try {
                for (Future<?> one : all) {
                    one.get();
                }
                System.out.println("ok " + name);
            } catch (ExecutionException error) {
                failed = true;
                System.out.println("not ok " + name + ": " + error.getCause());
                error.getCause().printStackTrace();
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
