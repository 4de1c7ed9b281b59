/*
 * tests/unit/test_messages.c - messages as they are built, bodies as they are read: whole, cut and malformed. Links
 * wire/messages.c, wire/fields.c, base/buf.c and base/fail.c. Bodies are copied to memory of exactly their size, so
 * that a sanitizer sees a byte too far.
 */
#include "wire/messages.h"

#include "wire/fields.h"
#include "wire/frame.h"
#include "unit.h"

static uint8_t *
exact(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	cr_assert_not_null(copy);
	memcpy(copy, bytes, len);
	return copy;
}

/* --- Building. --- */

static const char *const names[] = { "a", "bc" };

static void
build_error(struct buf *b)
{
	struct fail why;

	fail_set(&why, "08P01", "what");
	message_error(b, "ERROR", &why);
}

static void
build_notice(struct buf *b)
{
	struct fail what;

	fail_set(&what, "01000", "t");
	fail_detail(&what, "d");
	fail_hint(&what, "h");
	message_notice(b, "WARNING", &what);
}

static void
build_ready(struct buf *b)
{
	message_ready(b, 'T');
}

static void
build_parameter(struct buf *b)
{
	message_parameter(b, "TimeZone", "");
}

static void
build_authentication(struct buf *b)
{
	message_authentication(b, 5, "salt", 4);
}

static void
build_authentication_ok(struct buf *b)
{
	message_authentication(b, 0, NULL, 0);
}

static void
build_key(struct buf *b)
{
	message_key(b, 0x80000001u, (const uint8_t *)"\0\1\2\3", 4);
}

static void
build_complete(struct buf *b)
{
	message_complete(b, "SHOW");
}

static void
build_query(struct buf *b)
{
	message_query(b, "");
}

static void
build_parse(struct buf *b)
{
	message_parse(b, "s", "X\0\0\1\0\0\0\27", 8);
}

static void
build_bind(struct buf *b)
{
	message_bind_text(b, "", "s", names, 2);
}

static void
build_run(struct buf *b)
{
	message_run(b, "", "", "X", NULL, 0);
}

static void
build_close(struct buf *b)
{
	message_close_statement(b, "s");
}

static void
build_sync(struct buf *b)
{
	message_sync(b);
}

static const struct {
	const char *rule;
	void (*build)(struct buf *b);
	const char *want;
	size_t want_len;
} built_rows[] = {
	{ "an error without detail and hint", build_error, BYTES("E\0\0\0\40SERROR\0VERROR\0C08P01\0Mwhat\0\0") },
	{ "a notice with both", build_notice, BYTES("N\0\0\0\47SWARNING\0VWARNING\0C01000\0Mt\0Dd\0Hh\0\0") },
	{ "ready, within a transaction", build_ready, BYTES("Z\0\0\0\5T") },
	{ "a parameter of no value", build_parameter, BYTES("S\0\0\0\16TimeZone\0\0") },
	{ "authentication with a salt", build_authentication, BYTES("R\0\0\0\14\0\0\0\5salt") },
	{ "authentication that is over", build_authentication_ok, BYTES("R\0\0\0\10\0\0\0\0") },
	{ "a cancel key", build_key, BYTES("K\0\0\0\14\x80\0\0\1\0\1\2\3") },
	{ "a command's tag", build_complete, BYTES("C\0\0\0\11SHOW\0") },
	{ "an empty query", build_query, BYTES("Q\0\0\0\5\0") },
	{ "a statement's text and types behind its name", build_parse, BYTES("P\0\0\0\16s\0X\0\0\1\0\0\0\27") },
	{ "text parameters", build_bind, BYTES("B\0\0\0\30\0s\0\0\0\0\2\0\0\0\1a\0\0\0\2bc\0\0") },
	{ "a run, of all rows of the unnamed portal", build_run,
	  BYTES("P\0\0\0\11\0X\0\0\0B\0\0\0\14\0\0\0\0\0\0\0\0E\0\0\0\11\0\0\0\0\0") },
	{ "closing a statement, not a portal", build_close, BYTES("C\0\0\0\7Ss\0") },
	{ "nothing but a head", build_sync, BYTES("S\0\0\0\4") },
};

Test(messages, built)
{
	EACH(row, built_rows) {
		struct buf b = { 0 };

		buf_put(&b, "before", 6);
		row->build(&b);
		cr_assert(buf_ok(&b), "%s", row->rule);
		cr_assert_eq(b.len, 6 + row->want_len, "%s: %zu", row->rule, b.len - 6);
		cr_expect_arr_eq(b.bytes + 6, row->want, b.len - 6, "%s", row->rule);
		buf_fini(&b);
	}
}

Test(messages, a_message_that_finds_no_room_breaks_the_buffer_and_writes_nothing_more)
{
	EACH(row, built_rows)
		for (size_t limit = 1; limit < row->want_len; limit++) {
			struct buf b = { .limit = limit };

			row->build(&b);
			cr_assert(!buf_ok(&b), "%s in %zu bytes", row->rule, limit);
			cr_assert_leq(b.len, limit, "%s in %zu bytes", row->rule, limit);
			message_sync(&b);
			cr_assert_leq(b.len, limit);
			buf_fini(&b);
		}
}

Test(messages, a_message_may_be_built_piece_by_piece)
{
	struct buf b = { 0 };
	size_t begun = message_begin(&b, 'd');
	struct frame f;

	for (int i = 0; i < 1000; i++)
		buf_put_u8(&b, (uint8_t)i);
	message_end(&b, begun);
	cr_assert_eq(frame_parse(b.bytes, b.len, &f), FRAME_OK);
	cr_expect_eq(f.type, 'd');
	cr_expect_eq(f.body_len, 1000);
	cr_expect_eq(b.len, FRAME_HEAD_LEN + 1000);
	buf_fini(&b);
}

/* --- Errors and notices. --- */

static const struct {
	const char *rule, *body;
	size_t len;
	const char *severity, *sqlstate, *message; /* NULL: absent */
	bool is_fatal;
} error_rows[] = {
	{ "no body", BYTES(""), NULL, NULL, NULL, false },
	{ "no fields", BYTES("\0"), NULL, NULL, NULL, false },
	{ "all we look for", BYTES("SFEHLER\0VERROR\0C42601\0Mm\0\0"), "ERROR", "42601", "m", false },
	{ "V before S", BYTES("VERROR\0SFEHLER\0C42601\0Mm\0\0"), "ERROR", "42601", "m", false },
	{ "an old server has S alone", BYTES("SFATAL\0C57P01\0Mm\0\0"), "FATAL", "57P01", "m", true },
	{ "a localised FATAL", BYTES("STODLICH\0VFATAL\0\0"), "FATAL", NULL, NULL, true },
	{ "a localised word that looks like it", BYTES("SFATAL\0VERROR\0\0"), "ERROR", NULL, NULL, false },
	{ "PANIC", BYTES("VPANIC\0\0"), "PANIC", NULL, NULL, true },
	{ "FATALITY", BYTES("VFATALITY\0\0"), "FATALITY", NULL, NULL, false },
	{ "without C", BYTES("VERROR\0Mm\0\0"), "ERROR", NULL, "m", false },
	{ "without M", BYTES("VERROR\0C42601\0\0"), "ERROR", "42601", NULL, false },
	{ "a code of four characters", BYTES("C4260\0Mm\0\0"), NULL, NULL, "m", false },
	{ "a code of six", BYTES("C426011\0Mm\0\0"), NULL, NULL, "m", false },
	{ "an empty code", BYTES("C\0Mm\0\0"), NULL, NULL, "m", false },
	{ "empty values", BYTES("V\0M\0\0"), "", NULL, "", false },
	{ "fields nobody knows", BYTES("zx\0\x80y\0Mm\0\0"), NULL, NULL, "m", false },
	{ "the last of a field wins", BYTES("Ma\0Mb\0\0"), NULL, NULL, "b", false },
	{ "what follows the end is not read", BYTES("C42601\0\0Mm\0\0"), NULL, "42601", NULL, false },
	{ "no end", BYTES("C42601\0Mm\0"), NULL, "42601", "m", false },
	{ "an unterminated value", BYTES("C42601\0Mm"), NULL, "42601", NULL, false },
	{ "an unterminated code", BYTES("C42601"), NULL, NULL, NULL, false },
	{ "a field's letter at the very end", BYTES("C42601\0M"), NULL, "42601", NULL, false },
};

static void
expect_text(const char *got, const char *want, const char *rule)
{
	cr_expect_eq(got == NULL, want == NULL, "%s", rule);
	if (got != NULL && want != NULL)
		cr_expect_str_eq(got, want, "%s", rule);
}

Test(messages, error_fields)
{
	EACH(row, error_rows) {
		uint8_t *body = exact(row->body, row->len);
		struct error_fields e;

		fields_read_error(body, row->len, &e);
		expect_text(e.severity, row->severity, row->rule);
		expect_text(e.sqlstate, row->sqlstate, row->rule);
		expect_text(e.message, row->message, row->rule);
		cr_expect_eq(fields_error_is_fatal(&e), row->is_fatal, "%s", row->rule);
		free(body);
	}
}

Test(messages, an_error_of_ours_reads_back_whole_and_in_every_cut)
{
	struct buf b = { 0 };
	struct error_fields e;

	build_error(&b);
	for (size_t len = 0; len <= b.len - FRAME_HEAD_LEN; len++) {
		uint8_t *body = exact(b.bytes + FRAME_HEAD_LEN, len);

		fields_read_error(body, len, &e);
		expect_text(e.severity, len >= 7 ? "ERROR" : NULL, "severity");
		expect_text(e.sqlstate, len >= 21 ? "08P01" : NULL, "sqlstate");
		expect_text(e.message, len >= 27 ? "what" : NULL, "message");
		free(body);
	}
	buf_fini(&b);
}

/* --- ParameterStatus. --- */

static const struct {
	const char *rule, *body;
	size_t len;
	const char *name, *value; /* NULL: refused */
} parameter_rows[] = {
	{ "a setting", BYTES("TimeZone\0UTC\0"), "TimeZone", "UTC" },
	{ "an empty value", BYTES("a\0\0"), "a", "" },
	{ "an empty name", BYTES("\0v\0"), "", "v" },
	{ "nothing", BYTES(""), NULL, NULL },
	{ "a name that does not end", BYTES("a"), NULL, NULL },
	{ "a name alone", BYTES("a\0"), NULL, NULL },
	{ "a value that does not end", BYTES("a\0b"), NULL, NULL },
	{ "bytes after the value", BYTES("a\0b\0c"), NULL, NULL },
	{ "a third string", BYTES("a\0b\0c\0"), NULL, NULL },
	{ "another terminator", BYTES("a\0b\0\0"), NULL, NULL },
};

Test(messages, parameters)
{
	EACH(row, parameter_rows) {
		uint8_t *body = exact(row->body, row->len);
		const char *name = NULL, *value = NULL;

		cr_expect_eq(fields_read_parameter(body, row->len, &name, &value), row->name != NULL, "%s", row->rule);
		expect_text(name, row->name, row->rule);
		expect_text(value, row->value, row->rule);
		free(body);
	}
}

/* --- Parse. --- */

static const struct {
	const char *rule, *body;
	size_t len;
	bool is_good;
	const char *name;
	size_t query_len, rest_len;
} parse_rows[] = {
	{ "no types", BYTES("s\0SELECT 1\0\0\0"), true, "s", 8, 11 },
	{ "two types", BYTES("s\0X\0\0\2\0\0\0\27\0\0\0\31"), true, "s", 1, 12 },
	{ "no name, no query", BYTES("\0\0\0\0"), true, "", 0, 3 },
	{ "nothing", BYTES(""), false, NULL, 0, 0 },
	{ "a name that does not end", BYTES("s"), false, NULL, 0, 0 },
	{ "a name alone", BYTES("s\0"), false, NULL, 0, 0 },
	{ "a query that does not end", BYTES("s\0SELECT"), false, NULL, 0, 0 },
	{ "no count", BYTES("s\0X\0"), false, NULL, 0, 0 },
	{ "half a count", BYTES("s\0X\0\0"), false, NULL, 0, 0 },
	{ "one type too few", BYTES("s\0X\0\0\2\0\0\0\27"), false, NULL, 0, 0 },
	{ "a type that is cut", BYTES("s\0X\0\0\1\0\0\0"), false, NULL, 0, 0 },
	{ "one type too many", BYTES("s\0X\0\0\1\0\0\0\27\0\0\0\27"), false, NULL, 0, 0 },
	{ "a byte after the types", BYTES("s\0X\0\0\0\0"), false, NULL, 0, 0 },
	{ "a count of 65535 and nothing behind it", BYTES("s\0X\0\xff\xff"), false, NULL, 0, 0 },
};

Test(messages, parses)
{
	EACH(row, parse_rows) {
		uint8_t *body = exact(row->body, row->len);
		struct parse_fields p;

		cr_expect_eq(fields_read_parse(body, row->len, &p), row->is_good, "%s", row->rule);
		if (row->is_good) {
			cr_expect_str_eq(p.name, row->name, "%s", row->rule);
			cr_expect_eq(p.query_len, row->query_len, "%s", row->rule);
			cr_expect_eq(p.rest_len, row->rest_len, "%s", row->rule);
			cr_expect_eq(p.rest + p.rest_len, body + row->len, "%s", row->rule);
		}
		free(body);
	}
}

Test(messages, a_parse_of_ours_reads_back)
{
	struct buf b = { 0 };
	struct parse_fields p;

	build_parse(&b);
	cr_assert(fields_read_parse(b.bytes + FRAME_HEAD_LEN, b.len - FRAME_HEAD_LEN, &p));
	cr_expect_str_eq(p.name, "s");
	cr_assert_eq(p.rest_len, 8);
	cr_expect_arr_eq(p.rest, "X\0\0\1\0\0\0\27", 8);
	buf_fini(&b);
}

/* --- Bind. --- */

Test(messages, the_names_of_a_bind_are_there_once_both_have_come)
{
	static const char whole[] = "portal\0stmt\0\0\0\0\0\0"; /* and the literal's own zero */

	for (size_t len = 0; len <= sizeof(whole); len++) {
		uint8_t *body = exact(whole, len);
		const char *portal = NULL, *statement = NULL;
		size_t names_len = 0;
		bool is_there = fields_read_bind(body, len, &portal, &statement, &names_len);

		cr_assert_eq(is_there, len >= 12, "%zu bytes", len);
		if (is_there) {
			cr_expect_str_eq(portal, "portal");
			cr_expect_str_eq(statement, "stmt");
			cr_expect_eq(names_len, 12);
		}
		free(body);
	}
}

Test(messages, the_names_of_a_bind_may_be_empty)
{
	struct buf b = { 0 };
	const char *portal, *statement;
	size_t names_len;

	message_bind_text(&b, "", "", NULL, 0);
	cr_assert(fields_read_bind(b.bytes + FRAME_HEAD_LEN, 2, &portal, &statement, &names_len));
	cr_expect_str_eq(portal, "");
	cr_expect_str_eq(statement, "");
	cr_expect_eq(names_len, 2);
	cr_expect(!fields_read_bind(b.bytes + FRAME_HEAD_LEN, 1, &portal, &statement, &names_len));
	buf_fini(&b);
}

/* --- Describe and Close. --- */

static const struct {
	const char *rule, *body;
	size_t len;
	uint8_t kind; /* 0: refused */
	const char *name;
} target_rows[] = {
	{ "a statement", BYTES("Sabc\0"), 'S', "abc" },
	{ "a portal", BYTES("Pabc\0"), 'P', "abc" },
	{ "the unnamed one", BYTES("S\0"), 'S', "" },
	{ "nothing", BYTES(""), 0, NULL },
	{ "a kind alone", BYTES("S"), 0, NULL },
	{ "no kind", BYTES("\0"), 0, NULL },
	{ "a kind nobody knows", BYTES("Xabc\0"), 0, NULL },
	{ "kinds are capital letters", BYTES("sabc\0"), 0, NULL },
	{ "a name that does not end", BYTES("Sabc"), 0, NULL },
	{ "a byte after the name", BYTES("Sabc\0x"), 0, NULL },
	{ "another terminator", BYTES("Sabc\0\0"), 0, NULL },
};

Test(messages, targets)
{
	EACH(row, target_rows) {
		uint8_t *body = exact(row->body, row->len), kind = 0;
		const char *name = NULL;

		cr_expect_eq(fields_read_target(body, row->len, &kind, &name), row->kind != 0, "%s", row->rule);
		cr_expect_eq(kind, row->kind, "%s", row->rule);
		expect_text(name, row->name, row->rule);
		free(body);
	}
}

#define COLUMN(name, table, attribute, type, modifier, format) name "\0" table attribute type "\0\4" modifier format
#define ID COLUMN("id", "\0\0\1\0", "\0\1", "\0\0\0\27", "\xff\xff\xff\xff", "\0\0")

static const struct {
	const char *rule, *body;
	size_t len;
	bool is_same; /* as the first row */
} shape_rows[] = {
	{ "one column", BYTES("\0\1" ID), true },
	{ "of another table", BYTES("\0\1" COLUMN("id", "\0\0\7\7", "\0\1", "\0\0\0\27", "\xff\xff\xff\xff", "\0\0")),
	  true },
	{ "at another place there",
	  BYTES("\0\1" COLUMN("id", "\0\0\1\0", "\0\2", "\0\0\0\27", "\xff\xff\xff\xff", "\0\0")), true },
	{ "in binary", BYTES("\0\1" COLUMN("id", "\0\0\1\0", "\0\1", "\0\0\0\27", "\xff\xff\xff\xff", "\0\1")), true },
	{ "called otherwise", BYTES("\0\1" COLUMN("ix", "\0\0\1\0", "\0\1", "\0\0\0\27", "\xff\xff\xff\xff", "\0\0")),
	  false },
	{ "of another type", BYTES("\0\1" COLUMN("id", "\0\0\1\0", "\0\1", "\0\0\0\24", "\xff\xff\xff\xff", "\0\0")),
	  false },
	{ "with another modifier", BYTES("\0\1" COLUMN("id", "\0\0\1\0", "\0\1", "\0\0\0\27", "\0\0\0\5", "\0\0")),
	  false },
	{ "two", BYTES("\0\2" ID ID), false },
	{ "none", BYTES("\0\0"), false },
};

Test(messages, shapes_of_rows)
{
	uint32_t first = fields_hash_description((const uint8_t *)shape_rows[0].body, shape_rows[0].len);

	cr_expect_neq(first, 0);
	EACH(row, shape_rows) {
		size_t len = row->len;

		cr_expect_eq(fields_hash_description((const uint8_t *)row->body, len) == first, row->is_same, "%s",
			     row->rule);
		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *body = exact(row->body, cut);

			cr_expect_eq(fields_hash_description(body, cut), 0, "%s, cut to %zu", row->rule, cut);
			free(body);
		}
	}
	cr_expect_eq(fields_hash_description((const uint8_t *)"\0\0x", 3), 0, "more than it says");
}
