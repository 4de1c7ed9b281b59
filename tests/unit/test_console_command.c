/*
 * tests/unit/test_console_command.c - how the console reads what people and drivers write, who may do what, and how
 * values become rows. Links no socket and no pool.
 */
#include "admin/console_command.h"
#include "admin/console_rows.h"
#include "unit.h"

#include <math.h>

static int
parse(const char *text, struct command *out, struct fail *why)
{
	size_t used;

	return command_parse(text, strlen(text), &used, out, why);
}

/* --- reading --- */

Test(console_command, reads)
{
	static const struct {
		const char *rule, *text;
		enum command_id id;
		const char *name, *value; /* NULL: none */
	} rows[] = {
		{ "a command is its words", "SHOW POOLS", COMMAND_SHOW_POOLS, NULL, NULL },
		{ "in any case", "show Pools", COMMAND_SHOW_POOLS, NULL, NULL },
		{ "blanks and line ends do not matter", " \t Show\n  POOLS  ", COMMAND_SHOW_POOLS, NULL, NULL },
		{ "comments do not matter", "/* a /* nested */ one */ SHOW -- to here\n POOLS -- end",
		  COMMAND_SHOW_POOLS, NULL, NULL },
		{ "the longest phrase wins", "SHOW POOLS_EXTENDED", COMMAND_SHOW_POOLS_EXTENDED, NULL, NULL },
		{ "LIKE takes a pattern", "SHOW CONFIG LIKE 'pool.%'", COMMAND_SHOW_CONFIG, NULL, "pool.%" },
		{ "a quote is written twice", "SHOW USERS LIKE 'o''x'", COMMAND_SHOW_USERS, NULL, "o'x" },
		{ "SHOW alone is help", "SHOW", COMMAND_SHOW_HELP, NULL, NULL },
		{ "HELP too", "help", COMMAND_SHOW_HELP, NULL, NULL },
		{ "a database may follow", "PAUSE app", COMMAND_PAUSE, "app", NULL },
		{ "its case is its own", "pause App", COMMAND_PAUSE, "App", NULL },
		{ "in quotes it may be anything", "RESUME \"my \"\"db\"\"-1\"", COMMAND_RESUME, "my \"db\"-1", NULL },
		{ "a name is not a command", "PAUSE \"like\"", COMMAND_PAUSE, "like", NULL },
		{ "bytes of any alphabet are letters", "KILL caf\xe9", COMMAND_KILL, "caf\xe9", NULL },
		{ "all databases", "KILL", COMMAND_KILL, NULL, NULL },
		{ "RESTART takes no argument", "restart;", COMMAND_RESTART, NULL, NULL },
		{ "SHUTDOWN is at once", "SHUTDOWN", COMMAND_SHUTDOWN, NULL, NULL },
		{ "or waits for clients", "SHUTDOWN WAIT_FOR_CLIENTS", COMMAND_SHUTDOWN_CLIENTS, NULL, NULL },
		{ "or servers", "shutdown wait_for_servers", COMMAND_SHUTDOWN_SERVERS, NULL, NULL },
		{ "SET with =", "SET extra_float_digits = 3", COMMAND_SET, "extra_float_digits", "3" },
		{ "SET with TO and a string", "SET application_name TO 'a b'", COMMAND_SET, "application_name", "a b" },
		{ "a list is one value", "SET datestyle = ISO,MDY", COMMAND_SET, "datestyle", "ISO, MDY" },
		{ "a sign belongs to its number", "SET extra_float_digits TO -3", COMMAND_SET, "extra_float_digits",
		  "-3" },
		{ "DEFAULT is no value", "SET client_encoding TO DEFAULT", COMMAND_SET, "client_encoding", NULL },
		{ "SET SESSION", "SET SESSION statement_timeout = '5s'", COMMAND_SET, "statement_timeout", "5s" },
		{ "SET LOCAL", "SET LOCAL lock_timeout = 0", COMMAND_SET, "lock_timeout", "0" },
		{ "SET TIME ZONE", "SET TIME ZONE 'UTC'", COMMAND_SET, NULL, NULL },
		{ "SET NAMES", "SET NAMES 'UTF8'", COMMAND_SET, NULL, NULL },
		{ "session characteristics",
		  "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED", COMMAND_SET, NULL,
		  NULL },
		{ "one of ours", "SET pool.pool_size = 7", COMMAND_SET_CONFIGURATION, "pool.pool_size", "7" },
		{ "a time needs no quotes", "SET timeouts.query_timeout TO 5s", COMMAND_SET_CONFIGURATION,
		  "timeouts.query_timeout", "5s" },
		{ "RESET", "RESET application_name", COMMAND_NOTHING, "application_name", NULL },
		{ "RESET ALL", "RESET ALL", COMMAND_NOTHING, "ALL", NULL },
		{ "SHOW of a setting", "SHOW TimeZone", COMMAND_SHOW_SETTING, NULL, NULL },
		{ "SHOW TIME ZONE", "SHOW TIME ZONE", COMMAND_SHOW_SETTING, NULL, NULL },
		{ "as SQLAlchemy asks", "show transaction isolation level", COMMAND_SHOW_SETTING, NULL, NULL },
		{ "as SQLAlchemy asks on connect", "select pg_catalog.version()", COMMAND_SELECT_VERSION, NULL, NULL },
		{ "the schema", "select current_schema()", COMMAND_SELECT_SCHEMA, NULL, NULL },
		{ "the ping of pools", "SELECT 1", COMMAND_SELECT_ONE, NULL, NULL },
		{ "where do we write", "select pg_catalog.pg_is_in_recovery()", COMMAND_SELECT_RECOVERY, NULL, NULL },
		{ "BEGIN with anything", "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", COMMAND_BEGIN,
		  NULL, NULL },
		{ "START TRANSACTION", "START TRANSACTION", COMMAND_BEGIN, NULL, NULL },
		{ "END is COMMIT", "END", COMMAND_COMMIT, NULL, NULL },
		{ "ABORT is ROLLBACK", "ABORT", COMMAND_ROLLBACK, NULL, NULL },
		{ "ROLLBACK TO is not ROLLBACK", "ROLLBACK TO SAVEPOINT a", COMMAND_REFUSED, NULL, NULL },
		{ "DEALLOCATE ALL", "DEALLOCATE ALL", COMMAND_NOTHING, NULL, NULL },
		{ "as asyncpg does", "UNLISTEN *", COMMAND_NOTHING, NULL, NULL },
		{ "DISCARD ALL", "DISCARD ALL", COMMAND_NOTHING, NULL, NULL },
		{ "DISABLE names a database", "DISABLE app", COMMAND_DISABLE, "app", NULL },
		{ "SUSPEND", "SUSPEND", COMMAND_SUSPEND, NULL, NULL },
		{ "what PgBouncer has is known", "SHOW FDS", COMMAND_REFUSED, NULL, NULL },
	};

	EACH(r, rows) {
		struct command c;
		struct fail why = { 0 };

		cr_assert_eq(parse(r->text, &c, &why), 0, "%s: %s", r->rule, why.text);
		cr_assert_not_null(c.row, "%s", r->rule);
		cr_expect_eq(c.row->id, r->id, "%s: got %s", r->rule, c.row->phrase);
		cr_expect_eq(c.has_name, r->name != NULL, "%s", r->rule);
		cr_expect_str_eq(c.name, r->name != NULL || c.has_name ? r->name : c.name, "%s", r->rule);
		cr_expect_eq(c.has_text, r->value != NULL, "%s", r->rule);
		cr_expect_str_eq(c.text, r->value != NULL ? r->value : "", "%s", r->rule);
	}
}

Test(console_command, takes_sql_to_look_up)
{
	char text[400] = "SHOW DATABASE_CODE FOR '";
	struct command c;
	struct fail why;

	cr_assert_eq(parse("SHOW DATABASE_CODE FOR 'SELECT ''a''';", &c, &why), 0);
	cr_expect(c.has_for && !c.has_text);
	cr_expect_str_eq(c.text, "SELECT 'a'");
	cr_assert_eq(parse("SHOW DATABASE_CODE LIKE 'app'", &c, &why), 0);
	cr_expect(c.has_text && !c.has_for);
	cr_expect_eq(parse("SHOW DATABASE_CODE FOR", &c, &why), -1);
	cr_expect_eq(parse("SHOW DATABASE_CODE FOR 'a' 'b'", &c, &why), -1);
	cr_expect_eq(parse("SHOW POOLS FOR 'a'", &c, &why), -1);
	memset(text + strlen(text), 'x', 256);
	memcpy(text + strlen(text), "'", 2);
	cr_expect_eq(parse(text, &c, &why), -1, "half of it would be another statement");
}

Test(console_command, knows_a_client_by_its_number)
{
	struct command c;
	struct fail why;

	cr_assert_eq(parse("KILL_CLIENT 18446744073709551615", &c, &why), 0);
	cr_expect_eq(c.row->id, COMMAND_KILL_CLIENT);
	cr_expect_eq(c.client_id, UINT64_MAX);
}

Test(console_command, empty_statements_are_no_error)
{
	static const char *const texts[] = { "", " ", ";", "-- ping", "/* ping */", "\n\n" };

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct command c;
		struct fail why;

		cr_expect_eq(parse(texts[i], &c, &why), 0, "\"%s\"", texts[i]);
		cr_expect_null(c.row, "\"%s\"", texts[i]);
	}
}

Test(console_command, statements_end_at_their_semicolon)
{
	const char *text = "SHOW LISTS LIKE 'a;b' ; /* ; */ ;RELOAD";
	const enum command_id ids[] = { COMMAND_SHOW_LISTS, COMMAND_COUNT, COMMAND_RELOAD };
	size_t at = 0, used;
	struct command c;
	struct fail why;

	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(command_parse(text + at, strlen(text) - at, &used, &c, &why), 0);
		cr_expect_eq(c.row == NULL ? COMMAND_COUNT : c.row->id, ids[i]);
		at += used;
	}
	cr_expect_eq(at, strlen(text));
}

Test(console_command, refuses)
{
	static const struct {
		const char *rule, *text, *message, *hint; /* beginnings */
	} rows[] = {
		{ "one letter is missing", "SHOW POOL", "unknown command \"SHOW POOL\"", "Did you mean SHOW POOLS?" },
		{ "one is too many", "show poolss;", "unknown command \"show poolss\"", "Did you mean SHOW POOLS?" },
		{ "two changed places", "RELAOD", "unknown command \"RELAOD\"", "Did you mean RELOAD?" },
		{ "the first word tells", "PAUS app", "unknown command \"PAUS app\"", "Did you mean PAUSE?" },
		{ "LIKE does not disturb", "SHOW CLIENT LIKE 'x'", "unknown command \"SHOW CLIENT LIKE\"",
		  "Did you mean SHOW CLIENTS?" },
		{ "nothing is near", "DROP TABLE x", "unknown command \"DROP TABLE x\"", "SHOW HELP lists" },
		{ "a setting nobody has", "SHOW work_mem", "unknown command \"SHOW work_mem\"", "SHOW HELP lists" },
		{ "SQL is not run here", "SELECT * FROM pg_class", "unknown command \"SELECT\"",
		  "SHOW HELP lists the commands. No SQL runs here, and psql's \\d and \\l are SQL" },
		{ "a sign", "\\d", "unknown command \"\\\"", "SHOW HELP lists" },
		{ "control characters are not repeated", "\x01\x02", "unknown command \"\"", "SHOW HELP lists" },
		{ "a string that never ends", "SHOW USERS LIKE 'x", "unterminated quoted string", "" },
		{ "a name that never ends", "PAUSE \"app", "unterminated quoted name", "" },
		{ "a comment that never ends", "SHOW /* POOLS", "unterminated /* comment", "" },
		{ "more than one database", "PAUSE app app2", "syntax error at or near \"app2\" after PAUSE",
		  "Only the name of one database" },
		{ "a name that needs quotes", "PAUSE my-db", "syntax error at or near \"-\"", "Only the name" },
		{ "no name at all", "PAUSE *", "syntax error at or near \"*\"", "" },
		{ "too long a name",
		  "PAUSE "
		  "a123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		  "012345678901234567890123456789",
		  "the name \"a1234567890123456789012345678901...\" is longer than 127 bytes", "" },
		{ "too long a name of parts",
		  "SET "
		  "pool."
		  "a123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		  "01234567890123456789012 = 1",
		  "syntax error at or near \"a12345678901", "" },
		{ "a pattern without quotes", "SHOW POOLS LIKE app%", "LIKE takes a pattern", "" },
		{ "something else than LIKE", "SHOW POOLS app", "syntax error at or near \"app\"", "Only LIKE" },
		{ "no client", "KILL_CLIENT", "KILL_CLIENT takes the id of one client",
		  "It is id in SHOW CLIENTS, and client_id in all others." },
		{ "not a number", "KILL_CLIENT 12ab", "KILL_CLIENT takes",
		  "It is id in SHOW CLIENTS, and client_id in all others." },
		{ "SET without a value", "SET x", "syntax error in SET", "Write SET name = value." },
		{ "SET without anything", "SET", "syntax error in SET", "Write SET name = value." },
		{ "an argument where none is", "RELOAD now", "syntax error at or near \"now\" after RELOAD", "" },
		{ "more words than any command has",
		  "SHOW POOLS LIKE 'a' a a a a a a a a a a a a a a a a a a a a a a a a a a a",
		  "the statement is too long", "" },
	};

	EACH(row, rows) {
		struct command c;
		struct fail why = { 0 };

		cr_assert_eq(parse(row->text, &c, &why), -1, "%s", row->rule);
		cr_expect_str_eq(why.sqlstate, "42601", "%s", row->rule);
		cr_expect_eq(strncmp(why.text, row->message, strlen(row->message)), 0, "%s: %s", row->rule, why.text);
		cr_expect_eq(strncmp(why.hint, row->hint, strlen(row->hint)), 0, "%s: %s", row->rule, why.hint);
		cr_expect(row->hint[0] != '\0' || why.hint[0] == '\0', "%s: %s", row->rule, why.hint);
	}
}

Test(console_command, survives_long_and_strange_text)
{
	static char text[70000];
	struct command c;
	struct fail why;

	memset(text, 'x', sizeof(text) - 1);
	cr_expect_eq(parse(text, &c, &why), -1);
	memset(text, '\'', sizeof(text) - 1);
	parse(text, &c, &why);
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = (char)(1 + i * 7919 % 255);
	for (size_t at = 0; at < sizeof(text) - 300; at += 61) {
		size_t used = 0;

		command_parse(text + at, 300, &used, &c, &why);
		cr_assert(used > 0 && used <= 300);
	}
	memcpy(text, "SET jit=", 8);
	memset(text + 8, 'y', sizeof(text) - 9);
	cr_expect_eq(parse(text, &c, &why), 0, "a long value that has no effect is cut, not an error");
	cr_expect_eq(strlen(c.text), COMMAND_TEXT_MAX);
	memcpy(text, "SET a.", 6);
	memset(text + 6, 'y', COMMAND_NAME_MAX - 2);
	memcpy(text + 4 + COMMAND_NAME_MAX, " = 1", 5);
	cr_expect_eq(parse(text, &c, &why), 0, "a name of parts, as long as may be");
	cr_expect_eq(strlen(c.name), COMMAND_NAME_MAX);
}

Test(console_command, takes_the_value_of_our_own_setting_whole_or_not_at_all)
{
	char text[8 + COMMAND_TEXT_MAX + 2];
	struct command c;
	struct fail why;

	memcpy(text, "SET a = ", 8);
	memset(text + 8, 'y', sizeof(text) - 8);
	text[sizeof(text) - 1] = '\0';
	cr_expect_eq(parse(text, &c, &why), -1, "one byte too many");
	cr_expect_eq(strncmp(why.text, "the value is too long for SET", 29), 0, "%s", why.text);
	text[8 + 100] = ' ';
	cr_expect_eq(parse(text, &c, &why), 0, "a blank between words is left out");
	cr_expect_eq(strlen(c.text), COMMAND_TEXT_MAX);
	text[8 + 100] = ',';
	cr_expect_eq(parse(text, &c, &why), -1, "a blank is added after a comma");
	text[8 + COMMAND_TEXT_MAX - 1] = '\0';
	cr_expect_eq(parse(text, &c, &why), 0, "as long as may be");
	cr_expect_eq(strlen(c.text), COMMAND_TEXT_MAX);
	cr_expect_eq(parse("SET a = 1,2,3,4,5,6,7,8,9,10,11", &c, &why), 0, "as many words as may be");
	cr_expect_str_eq(c.text, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11");
	cr_expect_eq(parse("SET a = 1,2,3,4,5,6,7,8,9,10,11,", &c, &why), -1, "one comma too many");
}

Test(console_command, show_queries_takes_what_they_are_of_and_an_order)
{
	struct command c;
	struct fail why;

	cr_expect_eq(parse("SHOW QUERIES", &c, &why), 0);
	cr_expect(c.per == PER_NOTHING && c.order == 0 && c.top == 0);
	cr_expect_eq(parse("show queries 5 per Application by server like 'x'", &c, &why), 0);
	cr_expect(c.per == PER_APPLICATION && c.order > 0 && c.top == 5 && c.has_text);
	for (const char *const *bad =
		 (const char *const[]){ "SHOW QUERIES PER", "SHOW QUERIES PER database", "SHOW QUERIES BY",
					"SHOW QUERIES BY query", "SHOW QUERIES BY serv",
					"SHOW QUERIES BY mean PER user", "SHOW READS PER user", NULL };
	     *bad != NULL; bad++)
		cr_expect_eq(parse(*bad, &c, &why), -1, "%s", *bad);
}

Test(console_command, show_reads_takes_a_number_and_like)
{
	struct command c;
	struct fail why;

	cr_expect_eq(parse("SHOW READS", &c, &why), 0);
	cr_expect_eq(c.top, 0);
	cr_expect_eq(parse("SHOW READS 20 LIKE 'api%'", &c, &why), 0);
	cr_expect_eq(c.top, 20);
	cr_expect_str_eq(c.text, "api%");
	cr_expect_eq(parse("SHOW READS BY calls", &c, &why), -1, "the order is its own");
}

/* --- who may --- */

/* Every row of the table, once more and by hand: a command that is new must be entered here, and thought about. */
static const char *const for_anybody[] = {
	"SHOW HOLDERS",
	"SHOW BLOCKERS",
	"SHOW QUERIES",
	"SHOW READS",
#ifdef WITH_SLOWLOG
	"SHOW SLOW",
#endif
	"SHOW EVENTS",
	"SELECT LOWER ( NAME ) FROM PG_SETTINGS WHERE LOWER ( NAME ) LIKE LOWER (",
	"SHOW POOLS",
	"SHOW POOLS_EXTENDED",
	"SHOW CLIENTS",
	"SHOW SERVERS",
	"SHOW SOCKETS",
	"SHOW ACTIVE_SOCKETS",
	"SHOW WAITERS",
	"EXPLAIN WAIT",
	"EXPLAIN POOL",
	"EXPLAIN RESTART",
	"SHOW PINS",
	"SHOW DATABASE_CODE",
	"SHOW AUDIT",
	"SHOW DATABASES",
	"SHOW USERS",
	"SHOW STATS",
	"SHOW STATS_TOTALS",
	"SHOW STATS_AVERAGES",
	"SHOW TOTALS",
	"SHOW LATENCY",
	"SHOW ERRORS",
	"SHOW BACKENDS",
	"SHOW HOSTS",
	"SHOW WORKERS",
	"SHOW BUDGET",
	"SHOW FLEET",
	"SHOW CONFIG",
	"SHOW CONFIG_ERRORS",
	"SHOW METRICS",
	"SHOW LISTS",
	"SHOW STATE",
	"SHOW MEM",
	"SHOW VERSION",
	"SHOW HELP",
	"SHOW DNS_HOSTS",
	"SHOW DNS_ZONES",
	"SHOW PEERS",
	"SHOW PEER_POOLS",
	"SHOW",
	"HELP",
	"SET",
	"RESET",
	"BEGIN",
	"START TRANSACTION",
	"COMMIT",
	"END",
	"ROLLBACK",
	"ROLLBACK TO",
	"ABORT",
	"SAVEPOINT",
	"RELEASE",
	"DISCARD ALL",
	"DEALLOCATE ALL",
	"CLOSE ALL",
	"UNLISTEN *",
	"SELECT 1",
	"SELECT VERSION ( )",
	"SELECT CURRENT_SCHEMA ( )",
	"SELECT CURRENT_SCHEMA",
	"SELECT CURRENT_DATABASE ( )",
	"SELECT PG_IS_IN_RECOVERY ( )",
	"SELECT PG_ADVISORY_UNLOCK_ALL ( )",
	"SELECT T . OID",
};
static const char *const for_admins[] = {
	"RESET QUERIES",
	"SHOW PREPARED",
	"SHOW FDS",
	"RELOAD",
	"REOPEN",
	"PAUSE",
	"RESUME",
	"RECONNECT",
	"WAIT_CLOSE",
	"KILL",
	"KILL_CLIENT",
	"RESTART",
	"SHUTDOWN",
	"SHUTDOWN WAIT_FOR_CLIENTS",
	"SHUTDOWN WAIT_FOR_SERVERS",
	"SET CONFIGURATION",
	"DISABLE",
	"ENABLE",
	"SUSPEND",
};

static int
count_in(const char *phrase, const char *const *list, size_t count)
{
	int n = 0;

	for (size_t i = 0; i < count; i++)
		n += strcmp(list[i], phrase) == 0;
	return n;
}

Test(console_command, only_admins_change_anything)
{
	const size_t anybody = COUNT(for_anybody);
	const size_t admins = COUNT(for_admins);
	const struct command_row *row;
	size_t i;

	for (i = 0; (row = command_row(i)) != NULL; i++) {
		int is_for_anybody = count_in(row->phrase, for_anybody, anybody);
		struct fail why = { 0 };

		cr_assert_eq(is_for_anybody + count_in(row->phrase, for_admins, admins), 1,
			     "%s must be in one of the lists", row->phrase);
		cr_expect_eq(command_check_permission(row, false, &why), 0, "an admin may %s", row->phrase);
		cr_expect_eq(command_check_permission(row, true, &why), is_for_anybody ? 0 : -1, "a stats user and %s",
			     row->phrase);
		if (!is_for_anybody)
			cr_expect_str_eq(why.sqlstate, "42501");
	}
	cr_expect_eq(i, anybody + admins, "the lists hold nothing that the table does not");
}

Test(console_command, every_row_is_whole)
{
	const struct command_row *row;
	bool is_there[COMMAND_COUNT] = { false };

	for (size_t i = 0; (row = command_row(i)) != NULL; i++) {
		struct command c;
		struct fail why;
		/* The example of SET sets one of our own settings. */
		const struct command_row *want = row->id == COMMAND_SET ? command_find(COMMAND_SET_CONFIGURATION) : row;

		cr_assert_lt(row->id, COMMAND_COUNT);
		is_there[row->id] = true;
		cr_expect(strlen(row->tag) > 0);
		if (row->example != NULL) {
			cr_expect_not_null(row->what);
			cr_assert_eq(parse(row->example, &c, &why), 0, "the example of %s: %s", row->phrase, why.text);
			cr_expect_eq(c.row, want, "the example of %s is one of it", row->phrase);
		} else if (row->id == COMMAND_REFUSED)
			cr_expect_not_null(row->what, "%s says what to do instead", row->phrase);
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		cr_expect(is_there[i], "command %zu has a row", i);
}

/* --- settings --- */

Test(console_settings, are_found_by_name)
{
	const struct console_setting *zone = console_setting_find("TIMEZONE");

	cr_assert_not_null(zone);
	cr_expect_str_eq(zone->name, "TimeZone");
	cr_expect_null(console_setting_find("work_mem"));
	cr_expect_str_eq(zone->value, "UTC");
}

/* --- rows --- */

Test(console_put_rows, like)
{
	static const struct {
		const char *text, *pattern;
		bool want;
	} rows[] = {
		{ "app", "app", true },
		{ "app", "App", false },
		{ "app", "ap", false },
		{ "ap", "app", false },
		{ "app", "%", true },
		{ "", "%", true },
		{ "", "", true },
		{ "app", "", false },
		{ "app", "a%", true },
		{ "app", "%p", true },
		{ "app", "%pp%", true },
		{ "app", "%x%", false },
		{ "app", "a_p", true },
		{ "app", "__", false },
		{ "app", "___", true },
		{ "app", "____", false },
		{ "caf\xc3\xa9", "caf_", true },
		{ "aXbXc", "a%X%c", true },
		{ "aXbXd", "a%X%c", false },
		{ "a_b", "a\\_b", true },
		{ "axb", "a\\_b", false },
		{ "100%", "100\\%", true },
		{ "100x", "100\\%", false },
		{ "a\\", "a\\", true },
		{ "ab", "%%%b", true },
		{ "abcabc", "%abc", true },
	};

	EACH(row, rows)
		cr_expect_eq(console_like_matches(row->text, row->pattern), row->want, "%s LIKE %s", row->text,
			     row->pattern);
}

Test(console_put_rows, like_takes_no_exponential_time)
{
	static char text[20001], pattern[101];

	memset(text, 'a', sizeof(text) - 1);
	for (size_t i = 0; i < 100; i += 2)
		memcpy(pattern + i, "%a", 2);
	pattern[99] = 'b';
	cr_expect_not(console_like_matches(text, pattern));
}

SHOW_ROW(sample, (TEXT, text) (FLOAT8, real));

union value {
	const char *text;
	uint64_t number;
	double real;
};

static void
expect_value(enum column_type type, const union value *v, const char *want)
{
	const struct column column = { "c", type };
	size_t want_len = strlen(want);
	struct buf out = { 0 };
	struct rows rows = { .columns = &column, .column_count = 1, .out = &out };

	rows_add(&rows, v);
	cr_assert(buf_ok(&out));
	/* DataRow: type, length, one column, its length */
	cr_assert_eq(out.len, 11 + want_len, "type %d: %zu bytes", (int)type, out.len);
	cr_expect_arr_eq(out.bytes + 7, ((const uint8_t[]){ 0, 0, (uint8_t)(want_len >> 8), (uint8_t)want_len }), 4);
	cr_expect_arr_eq(out.bytes + 11, want, want_len, "type %d, number %llu", (int)type,
			 (unsigned long long)v->number);
	buf_fini(&out);
}

Test(console_put_rows, values)
{
	expect_value(COLUMN_TEXT, &(union value){ .text = "x\xff" }, "x\xff");
	expect_value(COLUMN_BOOL, &(union value){ .number = 1 }, "t");
	expect_value(COLUMN_BOOL, &(union value){ .number = 0 }, "f");
	expect_value(COLUMN_INT4, &(union value){ .number = 7 }, "7");
	expect_value(COLUMN_INT4, &(union value){ .number = UINT64_MAX }, "2147483647");
	expect_value(COLUMN_INT8, &(union value){ .number = UINT64_MAX }, "9223372036854775807");
	expect_value(COLUMN_NUMERIC, &(union value){ .number = UINT64_MAX }, "18446744073709551615");
	expect_value(COLUMN_FLOAT8, &(union value){ .real = 1.5 }, "1.5");
	expect_value(COLUMN_MS, &(union value){ .number = 1234567 }, "1234.567");
	expect_value(COLUMN_TIME, &(union value){ .number = 86400000001 }, "1970-01-02 00:00:00 UTC");
	expect_value(COLUMN_HASH, &(union value){ .number = 0xab }, "00000000000000ab");
	expect_value(COLUMN_FLOAT8, &(union value){ .real = (double)INFINITY }, "Infinity");
}

Test(console_put_rows, null)
{
	struct buf out = { 0 };
	struct rows rows = { .columns = sample_columns, .column_count = 2, .out = &out };

	rows_add(&rows, &(struct sample_row){ .text = NULL, .real = (double)NAN });
	cr_assert_eq(out.len, 15);
	cr_expect_arr_eq(out.bytes, "D\0\0\0\x0e\0\2\xff\xff\xff\xff\xff\xff\xff\xff", 15);
	buf_fini(&out);
}

Test(console_put_rows, only_what_is_like_it)
{
	struct buf out = { 0 };
	struct rows rows = { .columns = sample_columns, .column_count = 1, .out = &out, .like = "a%" };

	rows_add(&rows, &(struct sample_row){ .text = "app" });
	rows_add(&rows, &(struct sample_row){ .text = "web" });
	rows_add(&rows, &(struct sample_row){ .text = NULL });
	cr_expect_eq(rows.count, 1);
	buf_fini(&out);
}
