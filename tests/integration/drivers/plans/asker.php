<?php
// Clients of PHP's drivers that do what the lines of the standard input say: see test_keep_plans_drivers.py.

function typed($value)
{
    if (is_bool($value)) {
        return $value ? 't' : 'f';
    }
    if (!is_array($value)) {
        return $value;
    }
    if (array_is_list($value)) {
        return '{' . implode(',', $value) . '}';
    }
    return array_key_first($value) === 'json' ? json_encode($value['json']) : array_values($value)[0];
}

class Native
{
    private $connection;

    public function __construct()
    {
        $this->connection = pg_connect('user=web dbname=app', PGSQL_CONNECT_FORCE_NEW);
    }

    private function told($found): array
    {
        $error = pg_result_error_field($found, PGSQL_DIAG_SQLSTATE);
        if ($error !== null && $error !== false) {
            return ['error' => [$error, pg_result_error($found)]];
        }
        $columns = [];
        for ($i = 0; $i < pg_num_fields($found); $i++) {
            $columns[] = [pg_field_name($found, $i), (int) pg_field_type_oid($found, $i)];
        }
        return ['columns' => $columns, 'rows' => pg_fetch_all($found, PGSQL_NUM), 'tag' => pg_affected_rows($found)];
    }

    public function ask(string $sql, array $values): array
    {
        $values ? pg_send_query_params($this->connection, $sql, array_map('typed', $values)) : pg_send_query($this->connection, $sql);
        $said = ['error' => [pg_last_error($this->connection)]];
        while (($found = pg_get_result($this->connection)) !== false) {
            $said = $this->told($found);
        }
        $said['notices'] = pg_last_notice($this->connection, PGSQL_NOTICE_ALL) ?: [];
        pg_last_notice($this->connection, PGSQL_NOTICE_CLEAR);
        return $said;
    }
}

class ByPdo
{
    private $connection;

    public function __construct(array $options = [])
    {
        $this->connection = new PDO('pgsql:host=' . getenv('PGHOST') . ';port=' . getenv('PGPORT') . ';dbname=app', 'web', '',
                                    [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION] + $options);
    }

    public function ask(string $sql, array $values): array
    {
        try {
            if (!$values) {
                return ['tag' => $this->connection->exec($sql)];
            }
            $order = [];
            $words = preg_replace_callback('/\$(\d+)/', function ($found) use (&$order, $values) {
                $order[] = $values[$found[1] - 1];
                return '?';
            }, $sql);
            $statement = $this->connection->prepare($words);
            foreach ($order as $i => $value) {
                $statement->bindValue($i + 1, typed($value), is_int($value) ? PDO::PARAM_INT : PDO::PARAM_STR);
            }
            $statement->execute();
            $columns = [];
            for ($i = 0; $i < $statement->columnCount(); $i++) {
                $meta = $statement->getColumnMeta($i);
                $columns[] = [$meta['name'], $meta['pgsql:oid']];
            }
            return ['columns' => $columns, 'rows' => $columns ? $statement->fetchAll(PDO::FETCH_NUM) : [], 'tag' => $statement->rowCount()];
        } catch (PDOException $error) {
            return ['error' => [$error->getCode(), $error->getMessage()]];
        }
    }
}

$open = [
    'php_pgsql' => fn() => new Native(),
    'pdo' => fn() => new ByPdo(),
    'pdo_unnamed' => fn() => new ByPdo([PDO::PGSQL_ATTR_DISABLE_PREPARES => true]),
][$argv[1]];
$clients = [];
while (($line = fgets(STDIN)) !== false) {
    $todo = json_decode($line, true);
    $client = $clients[$todo['to']] ??= $open();
    $said = isset($todo['many']) ? ['all' => array_map(fn($one) => $client->ask(...$one), $todo['many'])]
        : $client->ask($todo['sql'], $todo['values']);
    fwrite(STDOUT, json_encode($said, JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
}
