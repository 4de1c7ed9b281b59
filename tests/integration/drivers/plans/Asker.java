// Clients of pgJDBC that do what the lines of the standard input say: see test_keep_plans_drivers.py.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Asker {
    static final Pattern PLACE = Pattern.compile("\\$(\\d+)");

    // One line of JSON: objects, lists, strings, whole numbers, true, false, null.
    static class Json {
        final String text;
        int at;

        Json(String text) {
            this.text = text;
        }

        boolean skip(char wanted) {
            while (text.charAt(at) == ' ') {
                at++;
            }
            boolean is = text.charAt(at) == wanted;
            at += is ? 1 : 0;
            return is;
        }

        Object read() {
            if (skip('{')) {
                Map<String, Object> all = new LinkedHashMap<>();
                while (!skip('}')) {
                    String name = (String) read();
                    skip(':');
                    all.put(name, read());
                    skip(',');
                }
                return all;
            }
            if (skip('[')) {
                List<Object> all = new ArrayList<>();
                while (!skip(']')) {
                    all.add(read());
                    skip(',');
                }
                return all;
            }
            if (skip('"')) {
                StringBuilder out = new StringBuilder();
                while (text.charAt(at) != '"') {
                    char c = text.charAt(at++);
                    if (c == '\\') {
                        c = text.charAt(at++);
                        if (c == 'u') {
                            c = (char) Integer.parseInt(text.substring(at, at + 4), 16);
                            at += 4;
                        }
                    }
                    out.append(c);
                }
                at++;
                return out.toString();
            }
            int begin = at;
            while (",]} ".indexOf(text.charAt(at)) < 0) {
                at++;
            }
            String word = text.substring(begin, at);
            return word.equals("null") ? null : word.equals("true") || word.equals("false") ? Boolean.valueOf(word) : Long.valueOf(word);
        }

        static String write(Object value) {
            if (value == null) {
                return "null";
            }
            if (value instanceof Map<?, ?> all) {
                List<String> parts = new ArrayList<>();
                all.forEach((name, one) -> parts.add(write(name) + ":" + write(one)));
                return "{" + String.join(",", parts) + "}";
            }
            if (value instanceof List<?> all) {
                return "[" + String.join(",", all.stream().map(Json::write).toList()) + "]";
            }
            StringBuilder out = new StringBuilder("\"");
            for (char c : value.toString().toCharArray()) {
                out.append(c == '"' || c == '\\' || c < ' ' || c > '~' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
            }
            return out.append('"').toString();
        }
    }

    static void bind(PreparedStatement statement, int at, Object value) throws SQLException {
        if (value instanceof Long number) {
            if (number == number.intValue()) {
                statement.setInt(at, number.intValue());
            } else {
                statement.setLong(at, number);
            }
        } else if (value instanceof List<?> all) {
            Object[] numbers = all.stream().map(one -> ((Long) one).intValue()).toArray();
            statement.setArray(at, statement.getConnection().createArrayOf("int4", numbers));
        } else if (value instanceof Map<?, ?> only) {
            Object content = only.values().iterator().next();
            switch ((String) only.keySet().iterator().next()) {
                case "date" -> statement.setObject(at, LocalDate.parse((String) content));
                case "numeric" -> statement.setBigDecimal(at, new BigDecimal((String) content));
                default -> statement.setObject(at, Json.write(content), Types.OTHER);
            }
        } else {
            statement.setObject(at, value);
        }
    }

    static PreparedStatement prepare(Connection db, String sql, List<?> values) throws SQLException {
        Matcher place = PLACE.matcher(sql);
        List<Object> order = new ArrayList<>();
        PreparedStatement statement = db.prepareStatement(place.replaceAll(found -> {
            order.add(values.get(Integer.parseInt(found.group(1)) - 1));
            return "?";
        }));
        for (int i = 0; i < order.size(); i++) {
            bind(statement, i + 1, order.get(i));
        }
        return statement;
    }

    static Map<String, Object> told(Statement statement, boolean hasRows) throws SQLException {
        Map<String, Object> said = new HashMap<>();
        if (!hasRows) {
            said.put("tag", statement.getUpdateCount());
        } else {
            try (ResultSet found = statement.getResultSet()) {
                ResultSetMetaData meta = found.getMetaData();
                List<Object> columns = new ArrayList<>();
                for (int i = 1; i <= meta.getColumnCount(); i++) {
                    columns.add(List.of(meta.getColumnName(i), meta.getColumnTypeName(i)));
                }
                said.put("columns", columns);
                List<Object> rows = new ArrayList<>();
                while (found.next()) {
                    List<Object> row = new ArrayList<>();
                    for (int i = 1; i <= meta.getColumnCount(); i++) {
                        row.add(found.getString(i));
                    }
                    rows.add(row);
                }
                said.put("rows", rows);
            }
        }
        List<Object> notices = new ArrayList<>();
        for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) {
            notices.add(warning.getMessage());
        }
        said.put("notices", notices);
        return said;
    }

    static Map<String, Object> ask(Connection db, String sql, List<?> values, int size) throws SQLException {
        if (values.isEmpty()) {
            try (Statement statement = db.createStatement()) {
                return told(statement, statement.execute(sql));
            }
        }
        db.setAutoCommit(size == 0);    // rows come some at a time in a transaction alone
        try (PreparedStatement statement = prepare(db, sql, values)) {
            statement.setFetchSize(size);
            return told(statement, statement.execute());
        } finally {
            db.setAutoCommit(true);
        }
    }

    static Map<String, Object> failed(SQLException error) {
        Map<String, Object> said = new HashMap<>();
        SQLException first = error instanceof BatchUpdateException && error.getNextException() != null ? error.getNextException() : error;
        said.put("error", List.of(String.valueOf(first.getSQLState()), String.valueOf(first.getMessage())));
        return said;
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> answer(Connection db, Map<String, Object> todo) {
        if (todo.containsKey("many")) {
            List<Object> all = new ArrayList<>();
            for (List<Object> each : (List<List<Object>>) todo.get("many")) {
                all.add(answer(db, new HashMap<>(Map.of("sql", each.get(0), "values", each.get(1)))));
            }
            return new HashMap<>(Map.of("all", all));
        }
        try {
            return ask(db, (String) todo.get("sql"), (List<Object>) todo.get("values"), ((Long) todo.getOrDefault("size", 0L)).intValue());
        } catch (SQLException error) {
            return failed(error);
        }
    }

    @SuppressWarnings("unchecked")
    public static void main(String[] arguments) throws Exception {
        Map<String, Connection> clients = new HashMap<>();
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/app?user=web&sslmode=disable&gssEncMode=disable"
            + (arguments[0].equals("jdbc_unnamed") ? "&prepareThreshold=0" : "");
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> todo = (Map<String, Object>) new Json(line).read();
            String to = (String) todo.get("to");
            if (!clients.containsKey(to)) {
                clients.put(to, DriverManager.getConnection(url));
            }
            out.println(Json.write(answer(clients.get(to), todo)));
        }
    }
}
