/*
 * tests/unit/test_probe.c - the question about session state, and its answer's rows, well-formed and not. Links
 * session/probe.c, wire/messages.c, wire/fields.c and what they need of base.
 */
#include "session/probe.h"

#include "wire/fields.h"
#include "wire/frame.h"

#include <criterion/criterion.h>
#include <string.h>

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
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *copy = malloc(rows[i].len + 2);
		uint8_t *body = malloc(rows[i].len + 1); /* of exact size: an overrun is seen by ASan */
		struct probe_row row;

		memcpy(body, rows[i].body, rows[i].len);
		cr_expect_eq(probe_read_row(body, rows[i].len, copy, &row), rows[i].is_row, "%s", rows[i].rule);
		if (rows[i].is_row) {
			cr_expect_str_eq(row.name, rows[i].name, "%s", rows[i].rule);
			cr_expect_str_eq(row.value, rows[i].value, "%s", rows[i].rule);
		}
		free(body);
		free(copy);
	}
}

/* The body of the second message. */
static const uint8_t *
find_bind(const struct buf *b, struct frame *f)
{
	size_t parse_len;

	cr_assert_eq(frame_parse(b->bytes, b->len, f), FRAME_OK);
	cr_assert_eq(f->type, 'P');
	parse_len = FRAME_HEAD_LEN + (size_t)f->body_len;
	cr_assert_eq(frame_parse(b->bytes + parse_len, b->len - parse_len, f), FRAME_OK);
	cr_assert_eq(f->type, 'B');
	return b->bytes + parse_len + FRAME_HEAD_LEN;
}

Test(probe, names_are_an_array_of_text)
{
	const char *const names[] = { "app.user_id", "odd.\"name\\" };
	struct buf b = { 0 };
	const uint8_t *value;
	const uint8_t *bind;
	size_t len;
	struct frame f;

	probe_put(&b, STATE_SETTINGS | STATE_LOCKS, names, 2);
	cr_assert(buf_ok(&b));
	bind = find_bind(&b, &f);
	cr_assert(fields_bind_value(bind, f.body_len, 0, &value, &len));
	cr_expect_eq(len, strlen("{\"app.user_id\",\"odd.\\\"name\\\\\"}"));
	cr_expect(memcmp(value, "{\"app.user_id\",\"odd.\\\"name\\\\\"}", len) == 0);
	cr_expect(!fields_bind_value(bind, f.body_len, 1, &value, &len), "there is one");
	buf_fini(&b);
}

Test(probe, a_cut_bind_has_no_whole_value)
{
	struct buf b = { 0 };
	const uint8_t *value;
	const uint8_t *bind;
	size_t len;
	struct frame f;

	probe_put(&b, 1, (const char *const[]){ "a.b" }, 1);
	bind = find_bind(&b, &f);
	for (size_t have = 0; have + 2 < f.body_len; have++) { /* the format of the results ends it */
		uint8_t *cut = malloc(have + 1);

		memcpy(cut, bind, have);
		if (fields_bind_value(cut, have, 0, &value, &len))
			cr_expect_geq(have, (size_t)(value - cut) + len);
		free(cut);
	}
	buf_fini(&b);
}
