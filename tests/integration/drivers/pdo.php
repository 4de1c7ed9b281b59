<?php
// PDO with its pgsql driver: prepares on the server and sends DEALLOCATE when a statement goes.
require __DIR__ . '/rows.php';

function connect(string $more = '', array $options = [], ?string $database = null): PDO
{
    $dsn = vsprintf('pgsql:host=%s;port=%s;dbname=%s;user=%s;%s',
        [getenv('PGHOST'), getenv('PGPORT'), $database ?? getenv('PGDATABASE'), getenv('PGUSER'), $more]);
    return new PDO($dsn, null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION] + $options);
}

function value(PDO $db, string $sql, array $values = [])
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement->fetchColumn();
}

row('prepared_statements_that_come_and_go', function (int $number) {
    $db = connect();
    for ($i = 0; $i < 40; $i++) {
        same($i + $number, value($db, 'SELECT ?::int + ?::int', [$i, $number]));
    }
});

row('one_statement_many_times', function (int $number) {
    $db = connect();
    $statement = $db->prepare('SELECT :a::int * ' . $number . ', :b::text');
    for ($i = 0; $i < 40; $i++) {
        $statement->execute(['a' => $i, 'b' => "row $i"]);
        same([$i * $number, "row $i"], $statement->fetch(PDO::FETCH_NUM));
    }
});

row('pins_nothing', function (int $number) {
    $db = connect();
    for ($i = 0; $i < 8; $i++) {
        $db->beginTransaction();
        $insert = $db->prepare("INSERT INTO audited (owner, v) VALUES (?, 'pdo') RETURNING v");
        $insert->execute([$number]);
        same('pdo', $insert->fetchColumn());
        unset($insert);
        same(1, value($db, "SELECT count(*) FROM audited WHERE owner = ? AND v = 'pdo'", [$number]));
        if ($i % 2 === 0) {
            $db->exec("DELETE FROM audited WHERE owner = $number AND v = 'pdo'");
            $db->commit();
        } else {
            $db->rollBack();
        }
        same(0, value($db, "SELECT count(*) FROM audited WHERE owner = ? AND v = 'pdo'", [$number]));
    }
});

row('emulated_prepares', function (int $number) {
    $db = connect('', [PDO::ATTR_EMULATE_PREPARES => true]);
    for ($i = 0; $i < 20; $i++) {
        same("it's $i", value($db, 'SELECT ?', ["it's $i"]));
    }
});

row('persistent_connection', function (int $number) {
    for ($i = 0; $i < 15; $i++) {
        $db = connect('', [PDO::ATTR_PERSISTENT => true]);
        same($i, value($db, 'SELECT ?::int', [$i]));
        $db = null;
    }
});

row('startup_settings', function (int $number) {
    $db = connect("application_name='shop $number';options='-c search_path=tenant_$number -c statement_timeout=7000'");
    for ($i = 0; $i < 20; $i++) {
        same("tenant_$number", value($db, 'SELECT name FROM place'));
        same(['7s', "shop $number"], $db->query("SELECT current_setting('statement_timeout'),
            current_setting('application_name')")->fetch(PDO::FETCH_NUM));
    }
});

row('set_names_and_schema_as_laravel_does', function (int $number) {
    $db = connect();
    $db->prepare("set names 'utf8'")->execute();
    $db->prepare("set time zone 'Asia/Tokyo'")->execute();
    $db->prepare("set search_path to \"tenant_$number\"")->execute();
    $db->prepare("set application_name to 'laravel'")->execute();
    for ($i = 0; $i < 20; $i++) {
        same("tenant_$number", value($db, 'SELECT name FROM place'));
        same('Asia/Tokyo', value($db, 'SHOW timezone'));
    }
});

row('transactions_and_savepoints', function (int $number) {
    $db = connect();
    $table = "pdo_tx_$number";
    $db->exec("DROP TABLE IF EXISTS $table");
    $db->exec("CREATE TABLE $table (id int PRIMARY KEY)");
    $db->beginTransaction();
    $db->exec("INSERT INTO $table VALUES (1)");
    $db->exec('SAVEPOINT trans2');
    try {
        $db->prepare("INSERT INTO $table VALUES (?)")->execute([1]);
        throw new LogicException('no error');
    } catch (PDOException $error) {
        same('23505', $error->getCode());
    }
    $db->exec('ROLLBACK TO SAVEPOINT trans2');
    $db->exec("INSERT INTO $table VALUES (2)");
    $db->commit();
    $db->beginTransaction();
    $db->exec("DELETE FROM $table");
    $db->rollBack();
    same(2, value($db, "SELECT count(*) FROM $table"));
    $db->exec("DROP TABLE $table");
});

// Where nobody waits: while others do, an id is kept for 20 ms, which a busy machine may take (state/test_currval.py).
row('last_insert_id', function (int $number) {
    $db = connect(database: 'app2');
    $table = "pdo_seq_$number";
    $db->exec("DROP TABLE IF EXISTS $table");
    $db->exec("CREATE TABLE $table (id serial PRIMARY KEY, v int)");
    $insert = $db->prepare("INSERT INTO $table (v) VALUES (?)");
    for ($i = 1; $i <= 15; $i++) {
        $insert->execute([$i]);
        same((string) $i, $db->lastInsertId());
        same((string) $i, $db->lastInsertId("{$table}_id_seq"));
    }
    $db->exec("DROP TABLE $table");
});

row('listen_and_get_notify', function (int $number) {
    $db = connect();
    $db->exec("LISTEN pdo_$number");
    $other = connect();
    for ($i = 0; $i < 3; $i++) {
        $other->exec("NOTIFY pdo_$number, 'hello $i'");
        $got = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 10000);
        same(["pdo_$number", "hello $i"], [$got['message'] ?? null, $got['payload'] ?? null]);
    }
});

row('advisory_lock', function (int $number) {
    $db = connect();
    value($db, 'SELECT pg_advisory_lock(?)', [900 + $number]);
    $other = connect();
    for ($i = 0; $i < 10; $i++) {
        same(false, value($other, 'SELECT pg_try_advisory_lock(?)', [900 + $number]));
        value($db, 'SELECT 1');
    }
    same(true, value($db, 'SELECT pg_advisory_unlock(?)', [900 + $number]));
});

row('temporary_table', function (int $number) {
    $db = connect();
    $db->exec('CREATE TEMPORARY TABLE basket (n int)');
    $insert = $db->prepare('INSERT INTO basket VALUES (?)');
    for ($i = 0; $i < 15; $i++) {
        $insert->execute([$i]);
    }
    same(105, value($db, 'SELECT sum(n)::int FROM basket'));
});

row('scroll_cursor', function (int $number) {
    $db = connect();
    $db->beginTransaction();
    $statement = $db->prepare('SELECT i FROM generate_series(1, 100) i', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $statement->execute();
    same(10, $statement->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 10)[0]);
    same(100, $statement->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST)[0]);
    $statement = null;
    $db->commit();
});

row('set_config_for_row_security', function (int $number) {
    $db = connect();
    value($db, "SELECT set_config('app.user_id', ?, false)", [(string) $number]);
    for ($i = 0; $i < 20; $i++) {
        same($number, value($db, 'SELECT count(*) FROM document'));
    }
});

row('table_altered_while_a_statement_is_kept', function (int $number) {
    $db = connect();
    $table = "pdo_ddl_$number";
    $db->exec("DROP TABLE IF EXISTS $table");
    $db->exec("CREATE TABLE $table (a int)");
    $db->exec("INSERT INTO $table VALUES (1)");
    same(['a' => 1], $db->query("SELECT * FROM $table")->fetch(PDO::FETCH_ASSOC));
    $db->exec("ALTER TABLE $table ADD COLUMN b int DEFAULT 2");
    for ($i = 0; $i < 10; $i++) {
        $statement = connect()->prepare("SELECT * FROM $table");
        $statement->execute();
        same(['a' => 1, 'b' => 2], $statement->fetch(PDO::FETCH_ASSOC));
    }
    $db->exec("DROP TABLE $table");
});

row('errors_then_going_on', function (int $number) {
    $db = connect();
    for ($i = 0; $i < 15; $i++) {
        foreach (['SELECT * FROM pdo_nowhere WHERE a = ?' => '42P01', 'SELECT 1/?::int' => '22012'] as $sql => $code) {
            try {
                value($db, $sql, [0]);
                throw new LogicException('no error');
            } catch (PDOException $error) {
                same($code, $error->getCode());
            }
        }
        same($i, value($db, 'SELECT ?::int', [$i]));
    }
});

row('copy_both_ways', function (int $number) {
    $db = connect();
    $table = "pdo_copy_$number";
    $db->exec("DROP TABLE IF EXISTS $table");
    $db->exec("CREATE TABLE $table (id int, v text)");
    $lines = array_map(fn($i) => "$i\trow $i", range(1, 2000));
    same(true, $db->pgsqlCopyFromArray($table, $lines));
    same(array_map(fn($line) => "$line\n", $lines), $db->pgsqlCopyToArray($table));
    $db->exec("DROP TABLE $table");
});

run();
