<?php
// Rows of a stack in PHP: row(name, work) says one, run() runs those named on the command line (else all), each in two
// processes (or CLIENTS) at once, and prints a line for each.
$rows = [];

function row(string $name, callable $work): void
{
    global $rows;
    $rows[$name] = $work;
}

function same($wanted, $found, string $what = ''): void
{
    if ($wanted !== $found) {
        throw new Exception("$what: wanted " . json_encode($wanted) . ', found ' . json_encode($found));
    }
}

function one_client(string $name, int $number): int
{
    global $rows;
    try {
        $rows[$name]($number);
        return 0;
    } catch (Throwable $error) {
        $why = get_class($error) . " in line {$error->getLine()}: {$error->getMessage()}";
        echo "not ok $name: " . str_replace("\n", ' ', $why) . "\n";
        return 1;
    }
}

function run(): void
{
    global $rows, $argv;
    $failed = 0;
    foreach (count($argv) > 1 ? array_slice($argv, 1) : array_keys($rows) as $name) {
        $children = [];
        for ($number = 2; $number <= (int) (getenv('CLIENTS') ?: 2); $number++) {
            $child = pcntl_fork();
            if ($child === 0) {
                exit(one_client($name, $number));
            }
            $children[] = $child;
        }
        $bad = one_client($name, 1);
        foreach ($children as $child) {
            pcntl_waitpid($child, $status);
            $bad = $bad || $status !== 0;
        }
        if ($bad) {
            $failed = 1;
        } else {
            echo "ok $name\n";
        }
    }
    exit($failed);
}
