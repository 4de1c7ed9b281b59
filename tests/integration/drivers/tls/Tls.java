// What test_tls_drivers.py asks of each driver: see there.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;
import java.util.Timer;
import java.util.TimerTask;

public class Tls {
    static void must(String step, boolean isSo) {
        if (!isSo) {
            System.out.println("not ok " + step);
            System.exit(1);
        }
    }

    static Connection connect() {
        Map<String, String> env = System.getenv();
        String more = env.containsKey("PGSSLCERT")
            ? "&sslcert=" + env.get("PGSSLCERT") + "&sslkey=" + env.get("PGSSLKEY_DER") : "";
        try {
            return DriverManager.getConnection("jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/"
                + env.get("PGDATABASE") + "?user=" + env.get("PGUSER") + "&password=" + env.get("PGPASSWORD")
                + "&sslmode=verify-full&sslrootcert=" + env.get("PGSSLROOTCERT") + more);
        } catch (SQLException error) {
            System.out.println("refused: " + error.getMessage());
            System.exit(3);
            return null;
        }
    }

    static ResultSet ask(Statement statement, String sql) throws SQLException {
        ResultSet found = statement.executeQuery(sql);
        found.next();
        return found;
    }

    public static void main(String[] arguments) throws SQLException {
        Connection db = connect();
        Statement statement = db.createStatement();
        must("query", ask(statement, "SELECT 42").getInt(1) == 42);
        System.out.println("ok query");
        try (PreparedStatement prepared = db.prepareStatement("SELECT ?::int * 2")) {
            for (int i = 0; i < 20; i++) {
                prepared.setInt(1, i);
                ResultSet found = prepared.executeQuery();
                must("prepared", found.next() && found.getInt(1) == 2 * i);
            }
        }
        System.out.println("ok prepared");
        must("large", ask(statement, "SELECT repeat('x', 8000000)").getString(1).length() == 8000000);
        ResultSet rows = statement.executeQuery("SELECT repeat('y', 300) FROM generate_series(1, 20000) i");
        int count = 0;
        while (rows.next()) {
            count++;
        }
        must("large", count == 20000);
        System.out.println("ok large");
        new Timer(true).schedule(new TimerTask() {
            @Override
            public void run() {
                try {
                    statement.cancel();
                } catch (SQLException error) {
                    System.out.println(error);
                }
            }
        }, 300);
        try {
            ask(statement, "SELECT pg_sleep(30)");
        } catch (SQLException error) {
            must("cancel", error.getSQLState().equals("57014"));
            System.out.println("ok cancel");
        }
        db.close();
    }
}
