/* tests/unit/test_upstream.c - connection strings, and libpq's password file. */
#include "config/upstream.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

/* What is read is compared as upstream_text writes it: host and port always, the others if set. */
static const struct {
	const char *rule, *text, *want;
} good[] = {
	{ "a host is enough", "host=db1", "host=db1 port=5432" },
	{ "all the words", "host=db1 port=6000 dbname=app user=web password=x target_session_attrs=standby",
	  "host=db1 port=6000 dbname=app user=web password=*** target_session_attrs=standby" },
	{ "blanks around the = and at the ends don't count", "  host = db1\tport =6000 ", "host=db1 port=6000" },
	{ "a newline is a blank: the text may come from a file", "host=db1\nport=1\n", "host=db1 port=1" },
	{ "quotes hold blanks", "host=db1 dbname='my db'", "host=db1 port=5432 dbname='my db'" },
	{ "two quotes inside of quotes are one", "host=db1 dbname='it''s'", "host=db1 port=5432 dbname='it\\'s'" },
	{ "a backslash takes the next byte as it is", "host=db1 dbname='it\\'s' user=a\\ b\\\\",
	  "host=db1 port=5432 dbname='it\\'s' user='a b\\\\'" },
	{ "an empty value is as good as none", "host=db1 user='' dbname='' port=''", "host=db1 port=5432" },
	{ "several hosts share a port", "host=a,b,c port=1", "host=a,b,c port=1" },
	{ "or each has one", "host=a,b port=1,2", "host=a,b port=1,2" },
	{ "an empty port in a list is the default", "host=a,b port=,2", "host=a,b port=5432,2" },
	{ "a directory is for Unix sockets", "host=/var/run/postgresql", "host=/var/run/postgresql port=5432" },
	{ "IPv6 needs no brackets in words", "host=::1 port=1", "host=::1 port=1" },
	{ "any is the default of target_session_attrs", "host=a target_session_attrs=any", "host=a port=5432" },
	{ "settings go to PostgreSQL as they are", "host=a application_name='my app' TimeZone=UTC options='-c x=1'",
	  "host=a port=5432 application_name='my app' TimeZone=UTC options='-c x=1'" },
	{ "each host has a zone, or none that is known", "host=a,b,c zones=eu,,us",
	  "host=a,b,c port=5432 zones=eu,,us" },
	{ "names with a dot belong to extensions", "host=a my.tenant=7", "host=a port=5432 my.tenant=7" },
	{ "an empty setting stays", "host=a search_path=''", "host=a port=5432 search_path=''" },
	{ "text with a blank and a semicolon could end an ini line", "host=a options='-c a=b ;c'",
	  "host=a port=5432 options='-c a=b \\;c'" },

	{ "a URI", "postgres://web:x@db1:6000/app", "host=db1 port=6000 dbname=app user=web password=***" },
	{ "its other scheme", "postgresql://db1", "host=db1 port=5432" },
	{ "blanks before it don't count", "  postgres://db1/", "host=db1 port=5432" },
	{ "SQLAlchemy's scheme", "postgresql+psycopg2://web@db1/app", "host=db1 port=5432 dbname=app user=web" },
	{ "several hosts with or without a port", "postgres://a:1,b/app", "host=a,b port=1,5432 dbname=app" },
	{ "IPv6 in brackets", "postgres://u@[::1]:1,[fe80::1]/", "host=::1,fe80::1 port=1,5432 user=u" },
	{ "percent and two digits are a byte", "postgres://%77eb:p%40ss@db1/my%20db",
	  "host=db1 port=5432 dbname='my db' user=web password=***" },
	{ "a directory percent-encoded", "postgres://%2Fvar%2Frun/app", "host=/var/run port=5432 dbname=app" },
	{ "a directory as a parameter", "postgres:///app?host=/tmp&port=7", "host=/tmp port=7 dbname=app" },
	{ "parameters are words", "postgres://a?target_session_attrs=primary&application_name=x%26y",
	  "host=a port=5432 target_session_attrs=primary application_name=x&y" },
	{ "an empty parameter is as good as none", "postgres://a?application_name=", "host=a port=5432" },
	{ "a user without a password", "postgres://web:@a", "host=a port=5432 user=web" },
	{ "protocol 3.2 may be asked for", "host=a max_protocol_version=3.2",
	  "host=a port=5432 max_protocol_version=3.2" },
	{ "3.2 is the latest", "host=a max_protocol_version=latest", "host=a port=5432 max_protocol_version=3.2" },
	{ "3.0 is what is spoken anyway", "host=a min_protocol_version=3.0 max_protocol_version=3.0",
	  "host=a port=5432" },
	{ "it may be demanded", "postgres://a?min_protocol_version=latest&max_protocol_version=3.2",
	  "host=a port=5432 min_protocol_version=3.2 max_protocol_version=3.2" },
	{ "a password may hold a colon", "postgres://web:a:b@h", "host=h port=5432 user=web password=***" },
};

Test(upstream, what_is_understood)
{
	EACH(row, good) {
		struct fail why = { 0 };
		struct upstream *up = upstream_parse(row->text, false, &why);
		char *text = up != NULL ? upstream_text(up, false) : NULL;

		cr_expect_not_null(up, "%s: %s", row->rule, why.text);
		if (text != NULL)
			cr_expect_str_eq(text, row->want, "%s: got %s", row->rule, text);
		free(text);
		upstream_free(up);
	}
}

Test(upstream, each_host_has_its_own_zone)
{
	struct upstream *up = upstream_parse("host=a,b,c zones=eu,,eu2", false, NULL), one = upstream_of_host(up, 2);
	size_t len;

	cr_expect(upstream_is_in_zone(up, 0, "eu") && !upstream_is_in_zone(up, 0, "eu2"));
	cr_expect(upstream_is_in_zone(up, 2, "eu2") && !upstream_is_in_zone(up, 2, "eu"));
	cr_expect(!upstream_is_in_zone(up, 1, "eu") && !upstream_is_in_zone(up, 1, ""), "nothing is in no zone");
	cr_expect_eq(strncmp(upstream_zone(up, 2, &len), "eu2", 4), 0);
	cr_expect_eq(len, 3);
	upstream_zone(&one, 0, &len);
	cr_expect_eq(len, 0, "connections to one host stay when its zone changes");
	upstream_free(up);
	up = upstream_parse("host=a,b", false, NULL);
	cr_expect(!upstream_is_in_zone(up, 1, "") && !upstream_is_in_zone(up, 1, "eu"));
	upstream_free(up);
}

Test(upstream, its_text_reads_back_as_the_same)
{
	EACH(row, good) {
		struct upstream *up = upstream_parse(row->text, false, NULL), *again;
		char *text = upstream_text(up, false), *text_again;

		again = upstream_parse(text, false, NULL);
		cr_assert_not_null(again, "%s", row->rule);
		text_again = upstream_text(again, false);
		cr_expect_str_eq(text, text_again, "%s", row->rule);
		cr_expect_eq(upstream_equal(up, again), strstr(text, "***") == NULL, "%s", row->rule);
		free(text);
		free(text_again);
		upstream_free(up);
		upstream_free(again);
	}
}

static const struct {
	const char *rule, *text, *why, *hint;
} bad[] = {
	{ "nothing at all", "", "host is missing", "Write host=127.0.0.1, for example" },
	{ "no host", "dbname=app", "host is missing", "/var/run/postgresql" },
	{ "a URI without a host", "postgres:///app", "host is missing", "" },
	{ "a URI of another kind", "mysql://a/b", "must begin with postgres://", "" },
	{ "a word without =", "host=a password=my secret", "the parameter at byte 20 has no \"=\"", "single quotes" },
	{ "a word without a name", "host=a =5", "the parameter at byte 8 has no valid name", "" },
	{ "a quote without an end", "host=a password='x", "the quote after password= has no end", "" },
	{ "a word twice", "host=a host=b", "\"host\" is given twice", "" },
	{ "a setting twice, in whatever case", "host=a TimeZone=UTC timezone=CET", "\"timezone\" is given twice", "" },
	{ "an unknown word", "host=a zebra=5", "\"zebra\" is not known here", "options='-c name=value'" },
	{ "all unknown words at once", "hots=a prot=5", "\"hots\", \"prot\" are not known here",
	  "Did you mean \"host\", \"port\"?" },
	{ "a host and its port", "db1:5432", "the parameter at byte 1 has no \"=\"", "Write host=db1 port=5432" },
	{ "an @ in a password", "postgres://u:pa@ss@h/app", "there is an @ where only host, port and database may be",
	  "write %40 for @" },
	{ "an @ and a slash in a password", "postgres://u:p/a@h/app",
	  "there is an @ where only host, port and database", "%2F for /" },
	{ "no such sslmode", "host=a sslmode=on",
	  "sslmode cannot be \"on\": use disable, allow, prefer, require, verify-ca or verify-full", "" },
	{ "nearly an sslmode", "host=a sslmode=requre", "sslmode cannot be \"requre\": use disable",
	  "Did you mean require?" },
	{ "short for two sslmodes", "host=a sslmode=verify", "sslmode cannot be \"verify\": use disable", "" },
	{ "an empty sslmode", "host=a sslmode=''", "sslmode cannot be \"\": use disable", "" },
	{ "an empty path", "host=a sslcert=''", "sslcert cannot be empty", "" },
	{ "a path that could be anywhere", "host=a sslrootcert=ca.pem",
	  "sslrootcert must be a path that begins with /, or system", "" },
	{ "a certificate is no list of authorities", "host=a sslcert=system",
	  "sslcert must be a path that begins with /", "" },
	{ "nor is a key", "host=a sslkey=system", "sslkey must be a path that begins with /", "" },
	{ "a word of TLS twice", "host=a sslmode=require sslmode=require", "\"sslmode\" is given twice", "" },
	{ "a word we don't have", "host=a sslcrl=/x", "\"sslcrl\" is not known here", "[tls_server]" },
	{ "a password file would not be read", "host=a passfile=/x", "\"passfile\" is not known here",
	  "${file:/path}" },
	{ "connect_timeout has a place", "host=a connect_timeout=5", "\"connect_timeout\" is not known", "[timeouts]" },
	{ "PgBouncer's words", "host=a pool_size=5", "\"pool_size\" is not known here", "a setting of its own" },
	{ "hostaddr", "hostaddr=127.0.0.1", "\"hostaddr\" is not known here", "Write the address into host." },
	{ "a dotted name that is none", "postgres://a?a.%3D=1", "is not known here", "" },
	{ "an empty host in a list", "host=a,,b", "a host in the list is empty", "" },
	{ "a host with odd characters", "host=a;b", "\"a;b\" is not the name of a host", "" },
	{ "an abstract socket", "host=@x", "abstract Unix sockets", "" },
	{ "port 0", "host=a port=0", "a port must be a number from 1 to 65535", "" },
	{ "port 65536", "host=a port=65536", "a port must be a number from 1 to 65535", "" },
	{ "a port of letters", "host=a port=http", "a port must be a number from 1 to 65535", "" },
	{ "a port of very many digits", "host=a port=99999999999999999999", "a port must be a number from 1 to 65535",
	  "" },
	{ "too few ports", "host=a,b,c port=1,2", "there are 2 ports for 3 hosts", "" },
	{ "too many ports", "host=a port=1,2", "there are 2 ports for 1 host", "" },
	{ "too few zones", "host=a,b,c zones=eu", "zones has 1 entry for 3 hosts", "" },
	{ "too many zones", "host=a zones=eu,", "zones has 2 entries for 1 host", "" },
	{ "zones that are none", "host=a zones=''", "zones cannot be empty", "" },
	{ "zones twice", "host=a zones=b zones=b", "\"zones\" is given twice", "" },
	{ "an unknown target", "host=a target_session_attrs=leader",
	  "target_session_attrs cannot be \"leader\": use any, read-write", "" },
	{ "nearly a target", "host=a target_session_attrs=readwrite", "target_session_attrs cannot be \"readwrite\"",
	  "Did you mean read-write?" },
	{ "protocol 3.1 never existed", "host=a max_protocol_version=3.1", "max_protocol_version must be 3.0, 3.2 or",
	  "" },
	{ "a protocol of the future", "host=a min_protocol_version=3.3", "min_protocol_version must be 3.0, 3.2 or",
	  "" },
	{ "a least protocol beyond the newest", "host=a min_protocol_version=3.2",
	  "min_protocol_version is greater than max_protocol_version", "add max_protocol_version=3.2" },
	{ "IPv6 without its end", "postgres://[::1/app", "must end with ]", "" },
	{ "IPv6 of nothing", "postgres://[]/app", "must end with ]", "" },
	{ "text after IPv6", "postgres://[::1]x/app", "only :port may follow", "" },
	{ "percent without digits", "postgres://a/%zz", "two hexadecimal digits", "%25" },
	{ "percent at the end", "postgres://a/b%4", "two hexadecimal digits", "" },
	{ "a zero byte", "postgres://a/b%00", "%00 is not allowed", "" },
	{ "a parameter without =", "postgres://a?sslmode", "each parameter is name=value", "" },
	{ "a parameter with two", "postgres://a?options=-c%20a=b", "each parameter is name=value", "" },
	{ "a parameter without a name", "postgres://a?=b", "has no valid name", "" },
	{ "host as a parameter, too", "postgres://a?host=b", "\"host\" is given twice", "" },
	{ "a control character in a name", "host=a user='a\tb'", "must not contain control characters", "" },
	{ "a control character in a setting", "host=a options='a\nb'", "contains a control character", "" },
};

Test(upstream, what_is_refused_and_why)
{
	EACH(row, bad) {
		struct fail why = { 0 };
		struct upstream *up = upstream_parse(row->text, false, &why);

		cr_expect_null(up, "%s", row->rule);
		cr_expect_not_null(strstr(why.text, row->why), "%s: %s", row->rule, why.text);
		cr_expect_not_null(strstr(why.hint, row->hint), "%s: hint %s", row->rule, why.hint);
		cr_expect_null(strstr(why.text, "secret"), "%s: part of a password is repeated: %s", row->rule,
			       why.text);
		upstream_free(up);
	}
}

Test(upstream, lengths_have_limits)
{
	static const struct {
		const char *rule, *before;
		size_t len;
		bool is_fine;
	} rows[] = {
		{ "a database name of 63 bytes", "host=a dbname=", 63, true },
		{ "one of 64", "host=a dbname=", 64, false },
		{ "a user of 64", "host=a user=", 64, false },
		{ "a password of 4096", "host=a password=", 4096, true },
		{ "one of 4097", "host=a password=", 4097, false },
		{ "a host of 255", "host=", 255, true },
		{ "one of 256", "host=", 256, false },
		{ "a directory whose socket just fits", "host=/", 91, true },
		{ "one byte more", "host=/", 92, false },
		{ "settings of 7000", "host=a options=", 7000, true },
		{ "settings of 8000", "host=a options=", 8000, false },
		{ "a word's name of 64", "host=a ", 64, false },
		{ "all of it 65 KiB", "host=a password=x port=", 65 * 1024, false },
	};

	EACH(row, rows) {
		size_t before_len = strlen(row->before);
		char *text = malloc(before_len + row->len + 1);
		struct upstream *up;

		memcpy(text, row->before, before_len);
		memset(text + before_len, 'x', row->len);
		text[before_len + row->len] = '\0';
		up = upstream_parse(text, false, NULL);
		cr_expect_eq(up != NULL, row->is_fine, "%s", row->rule);
		upstream_free(up);
		free(text);
	}
}

Test(upstream, many_hosts_are_too_many)
{
	char text[512] = "host=a";

	for (size_t i = 1; i < 64; i++)
		strcat(text, ",a");
	struct upstream *up = upstream_parse(text, false, NULL);
	cr_assert_not_null(up);
	cr_expect_eq(up->host_count, 64);
	upstream_free(up);
	strcat(text, ",a");
	cr_expect_null(upstream_parse(text, false, NULL));
}

Test(upstream, fields_are_where_they_belong)
{
	struct upstream *up = upstream_parse(
	    "postgres://web:it%27s@a:1,/tmp/app?target_session_attrs=prefer-standby&options=-c%20a%3Db", false, NULL);

	cr_expect_null(up, "a bare slash begins the database name: /tmp/app is no host");
	up = upstream_parse("host=a,/tmp port=1,2 user=web password='it''s' dbname=app "
			    "target_session_attrs=prefer-standby options='-c a=b'",
			    false, NULL);
	cr_assert_not_null(up);
	cr_expect_eq(up->host_count, 2);
	cr_expect_str_eq(up->hosts[0].host, "a");
	cr_expect_eq(up->hosts[0].port, 1);
	cr_expect_str_eq(up->hosts[1].host, "/tmp");
	cr_expect_eq(up->hosts[1].port, 2);
	cr_expect_str_eq(up->user, "web");
	cr_expect_str_eq(up->password, "it's");
	cr_expect_str_eq(up->dbname, "app");
	cr_expect_eq(up->target, TARGET_PREFER_STANDBY);
	cr_expect_str_eq(up->settings[0], "options");
	cr_expect_str_eq(up->settings[1], "-c a=b");
	cr_expect_null(up->settings[2]);
	upstream_free(up);
}

Test(upstream, a_copy_is_equal_until_something_differs)
{
	static const char *const others[] = {
		"host=a,c port=1,2 dbname=d user=u password=p options=o",
		"host=a,b port=1,3 dbname=d user=u password=p options=o",
		"host=a,b port=1,2 dbname=e user=u password=p options=o",
		"host=a,b port=1,2 dbname=d user=v password=p options=o",
		"host=a,b port=1,2 dbname=d user=u password=q options=o",
		"host=a,b port=1,2 dbname=d user=u password=p options=x",
		"host=a,b port=1,2 dbname=d user=u password=p",
		"host=a port=1 dbname=d user=u password=p options=o",
		"host=a,b port=1,2 dbname=d user=u password=p options=o target_session_attrs=primary",
		"host=a,b port=1,2 dbname=d user=u password=p options=o max_protocol_version=3.2",
		"host=a,b port=1,2 dbname=d user=u password=p options=o max_protocol_version=3.2 "
		"min_protocol_version=3.2"
	};
	struct upstream *up = upstream_parse("host=a,b port=1,2 dbname=d user=u password=p options=o", false, NULL);
	struct upstream *copy = upstream_copy(up);

	cr_expect(upstream_equal(up, copy));
	upstream_free(up);
	for (size_t i = 0; i < COUNT(others); i++) {
		up = upstream_parse(others[i], false, NULL);
		cr_expect(!upstream_equal(up, copy), "%s", others[i]);
		cr_expect(!upstream_equal(copy, up), "%s", others[i]);
		upstream_free(up);
	}
	up = upstream_parse("host=a,b port=1,2 dbname=d user=u password=p options=o zones=,eu", false, NULL);
	cr_expect(upstream_equal(up, copy), "a host's connections stay when its zone changes");
	upstream_free(up);
	upstream_free(copy);
	upstream_free(NULL);
}

static const struct {
	const char *rule, *file, *want; /* want: the password for db1, 5432, app, web; NULL: none */
} lines[] = {
	{ "all five fields", "db1:5432:app:web:pw\n", "pw" },
	{ "the first that fits wins", "db1:5432:app:other:1\ndb1:5432:app:web:2\n*:*:*:*:3\n", "2" },
	{ "stars fit anything", "*:*:*:*:pw", "pw" },
	{ "a star with more is no star", "d*:*:*:*:pw\n", NULL },
	{ "a prefix is not enough", "db1:543:app:web:pw\n", NULL },
	{ "more is too much", "db11:5432:app:web:pw\n", NULL },
	{ "comments and empty lines are skipped", "# db1:5432:app:web:no\n\n*:*:*:*:pw\n", "pw" },
	{ "a line may end with CR LF", "*:*:*:*:pw\r\n", "pw" },
	{ "\\: is a colon in the password", "*:*:*:*:a\\:b\n", "a:b" },
	{ "\\\\ is a backslash", "*:*:*:*:a\\\\b\n", "a\\b" },
	{ "a colon ends the password", "*:*:*:*:a:b\n", "a" },
	{ "escapes count in the other fields too", "d\\b1:*:*:w\\eb:pw\n", "pw" },
	{ "an empty password is one", "*:*:*:*:\n", "" },
	{ "fields are missing", "*:*:*:pw\n", NULL },
	{ "an empty field fits nothing here", ":*:*:*:pw\n", NULL },
	{ "an empty file", "", NULL },
};

static const struct passfile_query query = { .host = "db1", .port = "5432", .dbname = "app", .user = "web" };

Test(passfile, lines)
{
	EACH(row, lines) {
		/* A copy of just its size, so that reading past the end is noticed. */
		size_t len = strlen(row->file);
		char *exact = malloc(len + 1), *got;

		memcpy(exact, row->file, len);
		got = passfile_match(exact, len, &query);
		cr_expect_eq(got == NULL, row->want == NULL, "%s", row->rule);
		if (got != NULL && row->want != NULL)
			cr_expect_str_eq(got, row->want, "%s", row->rule);
		free(got);
		free(exact);
	}
}

Test(passfile, others_must_not_read_it)
{
	char path[] = "/tmp/pgweir-passfile-XXXXXX", *got;
	int fd = mkstemp(path);
	struct fail why;

	cr_assert_eq(write(fd, "*:*:*:*:pw\n", 11), 11);
	close(fd);
	got = passfile_find(path, &query, &why);
	cr_assert_not_null(got);
	cr_expect_str_eq(got, "pw");
	free(got);
	chmod(path, 0640);
	cr_expect_null(passfile_find(path, &query, &why));
	cr_expect_not_null(strstr(why.text, "can be read by others (0640)"), "%s", why.text);
	unlink(path);
	cr_expect_null(passfile_find(path, &query, &why));
	cr_expect_str_eq(why.text, "", "a file that is not there is nothing to talk about");
	cr_expect_null(passfile_find("/tmp", &query, &why));
	cr_expect_not_null(strstr(why.text, "is a directory"));
}

Test(upstream, upstreams_that_share_a_host_are_of_one_cluster)
{
	struct {
		const char *a, *b;
		bool is_same;
	} rows[] = {
		{ "host=db1", "host=db1 dbname=other user=u", true },
		{ "host=db1", "host=db1 port=5433", false },
		{ "host=db1,db2", "host=db2,db3", true },
		{ "host=db1", "host=db1.example.com", false },
		{ "host=/run/postgresql", "host=/run/postgresql", true },
	};
	struct fail why;

	EACH(row, rows) {
		struct upstream *a = upstream_parse(row->a, false, &why), *b = upstream_parse(row->b, false, &why);

		cr_assert(a != NULL && b != NULL, "%s", why.text);
		cr_expect_eq(upstream_is_same_cluster(a, b), row->is_same, "%s", row->b);
		cr_expect_eq(upstream_is_same_cluster(b, a), row->is_same, "%s", row->b);
		upstream_free(a);
		upstream_free(b);
	}
}
