/* tests/unit/test_passport.c - restart/passport_form.c: what is written is read again, and nothing else is. */
#include "restart/passport_form.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct passport_statement twice = {
	.name = "twice", .text = 7, .shape = 8, .types = 9, .is_shared = true, .is_told = true
};

static void
put_some(struct buf *b)
{
	struct passport p = { .number = UINT64_C(0x123456789a),
			      .pool = 3,
			      .database = "tenant/app",
			      .user = "web",
			      .family = 4,
			      .port = 51514,
			      .address = { 10, 0, 0, 7 },
			      .connected_us = 11,
			      .idle_since_us = 12,
			      .pid = 0x40000001,
			      .secret = "abcd",
			      .secret_len = 4,
			      .is_startup_same = true };
	struct passport_statement statement = twice;
	struct image_setting setting = { "work_mem", "7MB", IMAGE_OTHER };
	size_t begun;

	passport_put(b, passport_head, &p);
	begun = passport_begin(b);
	passport_put(b, passport_setting, &setting);
	passport_end(b, begun);
	passport_end(b, passport_begin(b));
	begun = passport_begin(b);
	passport_put(b, passport_statement, &statement);
	passport_end(b, begun);
	begun = passport_begin(b);
	buf_put_str(b, "news");
	passport_end(b, begun);
	begun = passport_begin(b);
	buf_put(b, "Q\0\0", 3);
	passport_end(b, begun);
}

Test(passport, what_is_written_is_read)
{
	struct buf b = { 0 };
	struct passport p;
	struct image_setting s = { 0 };
	struct passport_statement st = { 0 };
	const char *channel = NULL;

	put_some(&b);
	cr_assert_eq(passport_parse(b.bytes, b.len, &p), 0);
	cr_expect_eq(p.number, UINT64_C(0x123456789a));
	cr_expect_eq(p.pool, 3);
	cr_expect_str_eq(p.database, "tenant/app");
	cr_expect_str_eq(p.user, "web");
	cr_expect(p.family == 4 && p.port == 51514 && p.address[3] == 7 && p.is_startup_same);
	cr_expect(p.connected_us == 11 && p.idle_since_us == 12 && p.pid == 0x40000001);
	cr_expect(p.secret_len == 4 && memcmp(p.secret, "abcd", 4) == 0);
	cr_assert(passport_next(&p.settings, passport_setting, &s));
	cr_expect_str_eq(s.name, "work_mem");
	cr_expect_str_eq(s.value, "7MB");
	cr_expect_eq(s.kind, IMAGE_OTHER);
	cr_expect(!passport_next(&p.settings, passport_setting, &s));
	cr_assert(passport_next(&p.statements, passport_statement, &st));
	cr_expect_str_eq(st.name, "twice");
	cr_expect(st.text == 7 && st.shape == 8 && st.types == 9 && st.is_shared && st.is_told && !st.is_of_session &&
		  !st.is_proven);
	cr_expect(!passport_next(&p.statements, passport_statement, &st));
	cr_assert(passport_next(&p.channels, passport_channel, &channel));
	cr_expect_str_eq(channel, "news");
	cr_expect(!passport_next(&p.channels, passport_channel, &channel));
	cr_expect(p.input.len == 3 && p.input.at[0] == 'Q');
	buf_fini(&b);
}

Test(passport, no_part_of_one_is_one)
{
	struct buf b = { 0 };
	struct passport p;

	put_some(&b);
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1); /* so that a sanitizer sees what is read behind it */

		memcpy(cut, b.bytes, len);
		cr_expect_eq(passport_parse(cut, len, &p), -1, "%zu bytes of %zu", len, b.len);
		free(cut);
	}
	buf_put_u8(&b, 0);
	cr_expect_eq(passport_parse(b.bytes, b.len, &p), -1, "a byte too many");
	buf_fini(&b);
}

Test(passport, another_version_is_refused)
{
	struct buf b = { 0 };
	struct passport p;

	put_some(&b);
	b.bytes[1]++;
	cr_expect_eq(passport_parse(b.bytes, b.len, &p), -1);
	buf_fini(&b);
}

/* A setting of an unknown kind, at the end of its part. */
Test(passport, a_bad_item_is_found_before_anything_is_used)
{
	struct buf b = { 0 };
	struct passport p;
	uint8_t *at;

	put_some(&b);
	at = memmem(b.bytes, b.len, "work_mem", 8);
	at[-1] = IMAGE_REPORTED + 1;
	cr_expect_eq(passport_parse(b.bytes, b.len, &p), -1);
	buf_fini(&b);
}

Test(passport, texts)
{
	static const struct {
		const char *rule, *bytes;
		size_t len, query_len;
		int want;
	} rows[] = {
		{ "no parameters", "SELECT 1\0\0\0", 11, 8, 0 },
		{ "one", "SELECT $1\0\0\1\0\0\0\x17", 16, 9, 0 },
		{ "a type is missing", "SELECT $1\0\0\1", 12, 9, -1 },
		{ "the query ends elsewhere", "SELECT 1\0\0\0", 11, 7, -1 },
		{ "it is longer than all there is", "SELECT 1\0\0\0", 11, 500, -1 },
		{ "nothing", "", 0, 0, -1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct passport_text t = { .bytes = (const uint8_t *)rows[i].bytes,
					   .len = rows[i].len,
					   .query_len = rows[i].query_len,
					   .types = (const uint8_t *)"\0\0",
					   .types_len = 2 };
		struct passport_text out;
		struct buf b = { 0 };

		passport_put(&b, passport_text, &t);
		cr_expect_eq(passport_parse_text(b.bytes, b.len, &out), rows[i].want, "%s", rows[i].rule);
		if (rows[i].want == 0)
			cr_expect(out.len == t.len && out.query_len == t.query_len && out.types_len == 2 &&
				  memcmp(out.bytes, t.bytes, t.len) == 0);
		buf_fini(&b);
	}
}

Test(passport, pools)
{
	struct passport_pool p = { .secret = "hush", .keys = (const uint8_t *)"keys", .keys_len = 4 };
	struct passport_pool out;
	struct buf b = { 0 };

	passport_put(&b, passport_pool, &p);
	cr_assert_eq(passport_parse_pool(b.bytes, b.len, 4, &out), 0);
	cr_expect_str_eq(out.secret, "hush");
	cr_expect_eq(out.keys_len, 4);
	cr_expect_eq(passport_parse_pool(b.bytes, b.len, 5, &out), -1, "keys of another size");
	cr_expect_eq(passport_parse_pool(b.bytes, 4, 4, &out), -1, "no terminator");
	buf_fini(&b);
}
