<?php
// What test_tls_drivers.py asks of each driver: see there. PDO has no cancel.
try {
    $more = getenv('PGSSLCERT') ? ';sslcert=' . getenv('PGSSLCERT') . ';sslkey=' . getenv('PGSSLKEY') : '';
    $db = new PDO('pgsql:host=' . getenv('PGHOST') . ';port=' . getenv('PGPORT') . ';dbname=' . getenv('PGDATABASE') .
        ';sslmode=verify-full;sslrootcert=' . getenv('PGSSLROOTCERT') . $more, getenv('PGUSER'), getenv('PGPASSWORD'));
} catch (PDOException $error) {
    echo "refused: {$error->getMessage()}\n";
    exit(3);
}

function must(string $step, bool $is_so): void
{
    if (!$is_so) {
        echo "not ok $step\n";
        exit(1);
    }
}

must('query', $db->query('SELECT 42')->fetchColumn() === 42);
echo "ok query\n";
$statement = $db->prepare('SELECT ?::int * 2');
for ($i = 0; $i < 20; $i++) {
    $statement->execute([$i]);
    must('prepared', $statement->fetchColumn() === 2 * $i);
}
echo "ok prepared\n";
must('large', strlen($db->query("SELECT repeat('x', 8000000)")->fetchColumn()) === 8000000);
$rows = $db->query("SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i")->fetchAll();
must('large', count($rows) === 20000);
echo "ok large\n";
