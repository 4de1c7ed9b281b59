# What test_tls_drivers.py asks of each driver: see there.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:async);

my $db = eval { DBI->connect('dbi:Pg:', '', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1 }) };
if (!$db) {
	print "refused: $@";
	exit 3;
}

sub must { my ($step, $is_so) = @_; return if $is_so; print "not ok $step\n"; exit 1 }

must('query', $db->selectrow_array('SELECT 42') == 42);
print "ok query\n";
my $statement = $db->prepare('SELECT ?::int * 2');
for my $i (0 .. 19) {
	$statement->execute($i);
	must('prepared', ($statement->fetchrow_array)[0] == 2 * $i);
}
print "ok prepared\n";
must('large', length($db->selectrow_array("SELECT repeat('x', 8000000)")) == 8000000);
my $rows = $db->selectall_arrayref("SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i");
must('large', @$rows == 20000);
print "ok large\n";
$db->do('SELECT pg_sleep(30)', { pg_async => PG_ASYNC });
select undef, undef, undef, 0.3;
must('cancel', $db->pg_cancel);
must('cancel', $db->selectrow_array('SELECT 1') == 1);
print "ok cancel\n";
$db->disconnect;
