# Perl's DBD::Pg: prepares on the server from the second use on, deallocates by SQL, asks currval for last_insert_id.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use DBI;
use DBD::Pg qw(:pg_types :async);
use Rows;

sub connect_to
{
	my ($more, %options) = @_;
	return DBI->connect('dbi:Pg:' . ($more // ''), '', '',
		{ RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, %options });
}

sub value { my ($db, $sql, @values) = @_; return ($db->selectrow_array($sql, undef, @values))[0]; }

row 'statements_that_come_and_go' => sub {
	my ($number) = @_;
	my $db = connect_to();
	same($_ + $number, value($db, 'SELECT ?::int + ?::int', $_, $number)) for 1 .. 40;
};

row 'one_statement_many_times' => sub {
	my ($number) = @_;
	my $db = connect_to();
	my $statement = $db->prepare("SELECT ?::int * $number, ?::text");
	for my $i (1 .. 40) {
		$statement->execute($i, "row $i");
		same([$i * $number, "row $i"], [$statement->fetchrow_array]);
	}
};

row 'cached_statements' => sub {
	my ($number) = @_;
	my $db = connect_to();
	for my $i (1 .. 30) {
		my $statement = $db->prepare_cached('SELECT ?::int + ' . $i % 3);
		$statement->execute($i);
		same([$i + $i % 3], [$statement->fetchrow_array]);
		$statement->finish;
	}
};

row 'prepared_at_once' => sub {
	my ($number) = @_;
	my $db = connect_to('', pg_switch_prepared => 1);
	for my $i (1 .. 20) {
		my $statement = $db->prepare('SELECT ?::int', { pg_prepare_now => 1 });
		$statement->execute($i);
		same([$i], [$statement->fetchrow_array]);
	}
};

row 'startup_settings' => sub {
	my ($number) = @_;
	my $db = connect_to("application_name=shop;options='-c search_path=tenant_$number -c statement_timeout=7000'");
	for (1 .. 20) {
		same("tenant_$number", value($db, 'SELECT name FROM place'));
		same('7s', value($db, 'SHOW statement_timeout'));
	}
};

row 'set_and_show' => sub {
	my ($number) = @_;
	my $db = connect_to();
	$db->do("SET search_path TO tenant_$number");
	$db->do("SET TIME ZONE 'Asia/Tokyo'");
	$db->do("SET app.user_id = $number");
	for (1 .. 20) {
		same("tenant_$number", value($db, 'SELECT name FROM place'));
		same($number, value($db, 'SELECT count(*) FROM public.document'));
		same('Asia/Tokyo', value($db, 'SHOW timezone'));
	}
};

row 'transactions_and_savepoints' => sub {
	my ($number) = @_;
	my $db = connect_to('', AutoCommit => 0);
	$db->do("DROP TABLE IF EXISTS perl_tx_$number");
	$db->do("CREATE TABLE perl_tx_$number (id int PRIMARY KEY)");
	$db->commit;
	my $insert = $db->prepare("INSERT INTO perl_tx_$number VALUES (?)");
	for my $i (1 .. 10) {
		$insert->execute($i);
		$db->pg_savepoint('one');
		eval { $insert->execute($i) };
		same('23505', $db->state);
		$db->pg_rollback_to('one');
		$i % 2 ? $db->commit : $db->rollback;
	}
	same(5, value($db, "SELECT count(*) FROM perl_tx_$number"));
	$db->do("DROP TABLE perl_tx_$number");
	$db->commit;
};

# Where nobody waits: while others do, an id is kept for 20 ms, which a busy machine may take (state/test_currval.py).
row 'last_insert_id' => sub {
	my ($number) = @_;
	my $db = connect_to('dbname=app2');
	my $table = "perl_seq_$number";
	$db->do("DROP TABLE IF EXISTS $table");
	$db->do("CREATE TABLE $table (id serial PRIMARY KEY, v int)");
	for my $i (1 .. 15) {
		$db->do("INSERT INTO $table (v) VALUES (?)", undef, $i);
		same($i, $db->last_insert_id(undef, undef, $table, undef));
	}
	$db->do("DROP TABLE $table");
};

row 'listen_and_pg_notifies' => sub {
	my ($number) = @_;
	my $db = connect_to();
	$db->do("LISTEN perl_$number");
	my $other = connect_to();
	for my $i (1 .. 3) {
		$other->do("NOTIFY perl_$number, 'hello $i'");
		my ($got, $until) = (undef, time + 10);
		until ($got = $db->pg_notifies) {
			die "no notification\n" if time > $until;
			$db->ping;
		}
		same(["perl_$number", "hello $i"], [@$got[0, 2]]);
	}
};

row 'advisory_lock' => sub {
	my ($number) = @_;
	my ($db, $other) = (connect_to(), connect_to());
	value($db, 'SELECT pg_advisory_lock(?)', 700 + $number);
	for (1 .. 10) {
		value($db, 'SELECT 1');
		same(0, value($other, 'SELECT pg_try_advisory_lock(?)::int', 700 + $number));
	}
	same(1, value($db, 'SELECT pg_advisory_unlock(?)::int', 700 + $number));
};

row 'temporary_table' => sub {
	my ($number) = @_;
	my $db = connect_to();
	$db->do('CREATE TEMP TABLE basket (n int)');
	my $insert = $db->prepare('INSERT INTO basket VALUES (?)');
	$insert->execute($_) for 1 .. 15;
	same(120, value($db, 'SELECT sum(n) FROM basket'));
};

row 'held_cursor' => sub {
	my ($number) = @_;
	my $db = connect_to();
	$db->do('DECLARE held CURSOR WITH HOLD FOR SELECT i FROM generate_series(1, 100) i');
	my $sum = 0;
	while (my $part = $db->selectcol_arrayref('FETCH 10 FROM held')) {
		last unless @$part;
		$sum += $_ for @$part;
	}
	same(5050, $sum);
	$db->do('CLOSE held');
};

row 'sql_prepare' => sub {
	my ($number) = @_;
	my $db = connect_to();
	$db->do("PREPARE mine (int) AS SELECT \$1 * $number");
	same([$_ * $number], [$db->selectrow_array("EXECUTE mine ($_)")]) for 1 .. 15;
	$db->do('DEALLOCATE mine');
	eval { $db->do('EXECUTE mine (1)') };
	same('26000', $db->state);
};

row 'copy_both_ways' => sub {
	my ($number) = @_;
	my $db = connect_to();
	my $table = "perl_copy_$number";
	$db->do("DROP TABLE IF EXISTS $table");
	$db->do("CREATE TABLE $table (id int, v text)");
	$db->do("COPY $table FROM STDIN");
	$db->pg_putcopydata("$_\trow $_\n") for 1 .. 2000;
	$db->pg_putcopyend;
	$db->do("COPY $table TO STDOUT");
	my ($line, $count) = ('', 0);
	$count++ while $db->pg_getcopydata($line) >= 0;
	same(2000, $count);
	$db->do("DROP TABLE $table");
};

row 'table_altered_between_uses' => sub {
	my ($number) = @_;
	my $db = connect_to();
	my $table = "perl_ddl_$number";
	$db->do("DROP TABLE IF EXISTS $table");
	$db->do("CREATE TABLE $table (a int)");
	$db->do("INSERT INTO $table VALUES (1)");
	same([1], [$db->selectrow_array("SELECT * FROM $table WHERE a = ?", undef, 1)]) for 1 .. 8;
	$db->do("ALTER TABLE $table ADD COLUMN b int DEFAULT 2");
	same([1, 2], [$db->selectrow_array("SELECT * FROM $table WHERE a = ?", undef, 1)]) for 1 .. 8;
	$db->do("DROP TABLE $table");
};

row 'errors_then_going_on' => sub {
	my ($number) = @_;
	my $db = connect_to();
	for my $i (1 .. 15) {
		eval { value($db, 'SELECT 1 / ?::int', 0) };
		same('22012', $db->state);
		eval { value($db, 'SELECT * FROM perl_nowhere WHERE a = ?', 0) };
		same('42P01', $db->state);
		same($i, value($db, 'SELECT ?::int', $i));
	}
};

row 'asynchronous_query_cancelled' => sub {
	my ($number) = @_;
	my $db = connect_to();
	$db->do('SELECT pg_sleep(20)', { pg_async => PG_ASYNC });
	eval { $db->pg_cancel };
	same($number, value($db, 'SELECT ?::int', $number));
};

run();
