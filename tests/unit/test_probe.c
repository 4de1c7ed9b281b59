/*
 * tests/unit/test_probe.c - the question about session state, and its answer's rows, well-formed and not. Links
 * seal/probe.c, wire/messages.c and what they need of base.
 */
#include "seal/probe.h"

#include "wire/frame.h"
#include "wire/messages.h"
#include "unit.h"

static const struct {
	const char *rule;
	const char *body;
	size_t len;
	bool is_row;
	const char *name, *value;
} rows[] = {
#define ROW(bytes) bytes, sizeof(bytes) - 1
	{ "three columns", ROW("\0\3\0\0\0\1s\0\0\0\2ab\0\0\0\1c"), true, "ab", "c" },
	{ "empty ones", ROW("\0\3\0\0\0\1l\0\0\0\0\0\0\0\0"), true, "", "" },
	{ "NULL counts as empty", ROW("\0\3\0\0\0\1l\xff\xff\xff\xff\xff\xff\xff\xff"), true, "", "" },
	{ "one column: a setting of the probe's own", ROW("\0\1\0\0\0\2on"), true, "", "on" },
	{ "two columns", ROW("\0\2\0\0\0\1s\0\0\0\2ab"), false, NULL, NULL },
	{ "four columns", ROW("\0\4\0\0\0\1s\0\0\0\1a\0\0\0\1b\0\0\0\1c"), false, NULL, NULL },
	{ "a column cut short", ROW("\0\3\0\0\0\1s\0\0\0\2ab\0\0\0\2c"), false, NULL, NULL },
	{ "a length cut short", ROW("\0\3\0\0\0\1s\0\0\0\2ab\0\0"), false, NULL, NULL },
	{ "bytes behind it", ROW("\0\3\0\0\0\1s\0\0\0\2ab\0\0\0\1cd"), false, NULL, NULL },
	{ "an impossible length",
	  ROW("\0\3\0\0\0\1s\x7f\xff\xff\xff"
	      "ab\0\0\0\1c"),
	  false, NULL, NULL },
	{ "nothing at all", ROW(""), false, NULL, NULL },
};

Test(probe, rows)
{
	EACH(r, rows) {
		char *copy = malloc(r->len + 2);
		uint8_t *body = malloc(r->len + 1); /* of exact size: an overrun is seen by ASan */
		struct probe_row row;

		memcpy(body, r->body, r->len);
		cr_expect_eq(probe_read_row(body, r->len, copy, &row), r->is_row, "%s", r->rule);
		if (r->is_row) {
			cr_expect_str_eq(row.name, r->name, "%s", r->rule);
			cr_expect_str_eq(row.value, r->value, "%s", r->rule);
		}
		free(body);
		free(copy);
	}
}

/* The SQL of the one message. */
static const char *
sql_of(const struct buf *b)
{
	struct frame f;

	cr_assert(buf_ok(b));
	cr_assert_eq(frame_parse(b->bytes, b->len, &f), FRAME_OK);
	cr_assert_eq(f.type, 'Q');
	cr_assert_eq(b->bytes[b->len - 1], 0);
	return (const char *)b->bytes + FRAME_HEAD_LEN;
}

Test(probe, names_are_in_quotes_that_none_of_them_has)
{
	const char *const names[] = { "app.user_id", "odd.\"name\\'$p$", "a.$p1$" }, *const cut[] = { "a.b$p" };
	struct buf b = { 0 };

	probe_put(&b, STATE_SETTINGS | STATE_LOCKS, names, 1, NULL);
	cr_expect_not_null(strstr(sql_of(&b), "ARRAY[$p$app.user_id$p$]"));
	buf_fini(&b);
	probe_put(&b, STATE_SETTINGS, names, 3, NULL);
	cr_expect_not_null(strstr(sql_of(&b), "ARRAY[$p2$app.user_id$p2$,$p2$odd.\"name\\'$p$$p2$,$p2$a.$p1$$p2$]"));
	buf_fini(&b);
	probe_put(&b, STATE_SETTINGS, cut, 1, NULL);
	cr_expect_not_null(strstr(sql_of(&b), "ARRAY[$p1$a.b$p$p1$]"), "$p$ would end the name before its own end");
	buf_fini(&b);
	probe_put(&b, STATE_LOCKS, names, 3, NULL);
	cr_expect_null(strstr(sql_of(&b), "ARRAY["), "they are settings");
	cr_expect_null(strstr(sql_of(&b), "pg_proc"));
	buf_fini(&b);
	probe_put(&b, STATE_SETTINGS | RISK_UNREAD, names, 1, NULL);
	cr_expect_not_null(strstr(sql_of(&b), "pg_proc"), "what is in bodies of functions is not known");
	buf_fini(&b);
}

Test(probe, what_it_sets_for_itself_is_shown_first)
{
	struct buf b = { 0 };
	const char *at;

	probe_put(&b, STATE_SETTINGS, NULL, 0, NULL);
	at = sql_of(&b);
	for (size_t i = 0; probe_overridden_setting(NULL, i) != NULL; i++) {
		char show[64], set[64];

		snprintf(show, sizeof(show), "SHOW " MESSAGE_OURS "%s;", probe_overridden_setting(NULL, i));
		snprintf(set, sizeof(set), "SET " MESSAGE_OURS "LOCAL %s = ", probe_overridden_setting(NULL, i));
		at = strstr(at, show);
		cr_assert_not_null(at);
		at = strstr(at + 1, show);
		cr_assert_not_null(at, "what it is by default");
		at = strstr(at, set);
		cr_assert_not_null(at);
	}
	cr_expect_not_null(strstr(at, "pg_settings"));
	buf_fini(&b);
	probe_put(&b, STATE_LOCKS, NULL, 0, NULL);
	cr_expect_null(strstr(sql_of(&b), "SHOW"));
	buf_fini(&b);
}
