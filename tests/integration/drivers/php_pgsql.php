<?php
// PHP's pgsql extension: pg_prepare with names of its own, pg_query_params, asynchronous queries, pg_insert.
require __DIR__ . '/rows.php';

function connect(string $more = '')
{
    return pg_connect("host=" . getenv('PGHOST') . " $more", PGSQL_CONNECT_FORCE_NEW);
}

function value($db, string $sql, array $values = [])
{
    return pg_fetch_result(pg_query_params($db, $sql, $values), 0, 0);
}

row('unnamed_and_named_statements', function (int $number) {
    $db = connect();
    pg_prepare($db, 'add', "SELECT \$1::int + $number");
    pg_prepare($db, '', "SELECT \$1::int * $number");
    for ($i = 0; $i < 25; $i++) {
        same((string) ($i + $number), pg_fetch_result(pg_execute($db, 'add', [$i]), 0, 0));
        same((string) ($i * $number), pg_fetch_result(pg_execute($db, '', [$i]), 0, 0));
    }
});

row('deallocate_and_prepare_again', function (int $number) {
    $db = connect();
    for ($i = 0; $i < 15; $i++) {
        pg_prepare($db, 'again', "SELECT $i + \$1::int");
        same((string) ($i + $number), pg_fetch_result(pg_execute($db, 'again', [$number]), 0, 0));
        pg_query($db, 'DEALLOCATE again');
    }
});

row('settings_of_the_session', function (int $number) {
    $db = connect("options='-c search_path=tenant_$number'");
    pg_query($db, "SET app.user_id = '$number'");
    pg_set_client_encoding($db, 'LATIN1');
    for ($i = 0; $i < 20; $i++) {
        same("tenant_$number", value($db, 'SELECT name FROM place'));
        same((string) $number, value($db, 'SELECT count(*) FROM public.document'));
        same("\xe4", value($db, "SELECT \$1", ["\xe4"]));
        same('1', value($db, 'SELECT length($1)', ["\xe4"]));
    }
});

row('pipelined_asynchronous_queries', function (int $number) {
    $db = connect();
    for ($i = 0; $i < 20; $i++) {
        pg_send_query_params($db, 'SELECT $1::int', [$i]);
        same((string) $i, pg_fetch_result(pg_get_result($db), 0, 0));
        same(false, pg_get_result($db));
    }
});

row('persistent_connection_resets', function (int $number) {
    for ($i = 0; $i < 10; $i++) {
        $db = pg_pconnect('host=' . getenv('PGHOST'));
        same((string) $i, value($db, 'SELECT $1::int', [$i]));
    }
});

row('listen', function (int $number) {
    $db = connect();
    pg_query($db, "LISTEN php_$number");
    pg_query(connect(), "NOTIFY php_$number, 'hello'");
    $deadline = microtime(true) + 10;
    while (!($got = pg_get_notify($db)) && microtime(true) < $deadline) {
        pg_query($db, 'SELECT 1');
    }
    same("php_$number", $got['message'] ?? null);
    same('hello', $got['payload']);
});

run();
