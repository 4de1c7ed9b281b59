package Rows;

# Rows of a stack in Perl: row(name, work) says one, run() runs those named on the command line (else all), each in two
# processes at once, and prints a line for each.

use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(row run same);
my (%rows, @names);

sub row { my ($name, $work) = @_; $rows{$name} = $work; push @names, $name; return; }

sub same
{
	my ($wanted, $found) = @_;
	my ($first, $second) = map { ref $_ ? join(',', map { $_ // 'undef' } @$_) : $_ // 'undef' } ($wanted, $found);
	die "wanted $first, found $second, line " . (caller)[2] . "\n" if $first ne $second;
	return;
}

sub one_client
{
	my ($name, $number) = @_;
	return 0 if eval { $rows{$name}->($number); 1 };
	my $why = $@;
	$why =~ s/\s+/ /g;
	print "not ok $name: $why\n";
	return 1;
}

sub run
{
	my $failed = 0;
	$| = 1;
	for my $name (@ARGV ? @ARGV : @names) {
		my $child = fork // die "fork: $!";
		exit one_client($name, 2) if $child == 0;
		my $bad = one_client($name, 1);
		waitpid $child, 0;
		if ($bad || $?) { $failed = 1 } else { print "ok $name\n" }
	}
	exit $failed;
}

1;
