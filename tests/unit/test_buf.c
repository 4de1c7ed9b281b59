/* tests/unit/test_buf.c - growth and limits of buffers, and failures as text. Links base/buf.c and base/fail.c. */
#include "base/buf.h"
#include "base/fail.h"
#include "unit.h"

Test(buf, zeroed_is_valid_and_empty)
{
	struct buf b = { 0 };

	cr_expect(buf_ok(&b));
	buf_put(&b, NULL, 0);
	buf_put(&b, "", 0);
	buf_drop_front(&b, 0);
	buf_printf(&b, "%s", "");
	cr_expect(buf_ok(&b));
	cr_expect_eq(b.len, 0);
	buf_fini(&b);
	buf_fini(&b);
}

Test(buf, nothing_put_needs_no_memory_even_at_the_limit)
{
	struct buf b = { .limit = 3 };

	buf_put(&b, NULL, 0);
	cr_expect_null(b.bytes);
	buf_put(&b, "abc", 3);
	buf_put(&b, "", 0);
	cr_expect(buf_ok(&b));
	buf_fini(&b);
}

Test(buf, numbers_are_in_network_order_and_strings_have_their_terminator)
{
	struct buf b = { 0 };

	buf_put_u8(&b, 0x81);
	buf_put_u16(&b, 0x8203);
	buf_put_u32(&b, 0x84050607u);
	buf_put_str(&b, "ab");
	buf_put_str(&b, "");
	cr_assert_eq(b.len, 11);
	cr_expect_arr_eq(b.bytes,
			 "\x81\x82\x03\x84\x05\x06\x07"
			 "ab\0\0",
			 11);
	buf_fini(&b);
}

Test(buf, it_keeps_what_it_has_while_it_grows)
{
	struct buf b = { 0 };

	for (unsigned i = 0; i < 100000; i++)
		buf_put_u32(&b, i);
	cr_assert(buf_ok(&b));
	cr_assert_eq(b.len, 400000);
	cr_expect_lt(b.cap, 1000000, "not much more than needed");
	for (unsigned i = 0; i < 100000; i++)
		cr_assert_eq(b.bytes[4 * i + 2] << 8 | b.bytes[4 * i + 3], i & 0xffff);
	buf_fini(&b);
}

static const struct {
	const char *rule;
	size_t limit, first, second; /* bytes put, one after the other */
	bool is_first_taken, is_second_taken;
} limit_rows[] = {
	{ "up to the limit", 100, 60, 40, true, true },
	{ "one byte over", 100, 60, 41, true, false },
	{ "over at once", 100, 101, 1, false, false },
	{ "the limit in one piece", 100, 100, 0, true, true },
	{ "a limit below the first allocation", 10, 10, 1, true, false },
	{ "a limit of one byte", 1, 1, 1, true, false },
	{ "a length that would overflow", 100, 1, SIZE_MAX, true, false },
	{ "a length that would overflow without a limit of one's own", 0, 1, SIZE_MAX, true, false },
	{ "so would that", 0, 100, SIZE_MAX - 99, true, false },
	{ "the default limit", 0, BUF_LIMIT_DEFAULT - 1, 2, true, false },
};

static bool
put_zeros(struct buf *b, size_t len)
{
	uint8_t *to = buf_room(b, len);

	if (to != NULL) {
		memset(to, 0, len);
		b->len += len;
	}
	return to != NULL;
}

Test(buf, limits)
{
	EACH(row, limit_rows) {
		struct buf b = { .limit = row->limit };
		size_t len;

		cr_expect_eq(put_zeros(&b, row->first), row->is_first_taken, "%s", row->rule);
		len = b.len;
		cr_expect_eq(put_zeros(&b, row->second), row->is_second_taken, "%s", row->rule);
		cr_expect_eq(buf_ok(&b), row->is_second_taken, "%s", row->rule);
		if (!row->is_second_taken)
			cr_expect_eq(b.len, len, "%s: what was there is there", row->rule);
		cr_expect_leq(b.cap, row->limit ? row->limit : BUF_LIMIT_DEFAULT, "%s", row->rule);
		buf_fini(&b);
	}
}

Test(buf, a_broken_one_takes_nothing_until_it_is_emptied)
{
	struct buf b = { .limit = 4 };

	buf_put(&b, "abcde", 5);
	buf_put(&b, "a", 1);
	buf_put_str(&b, "");
	buf_printf(&b, "x");
	cr_expect_null(buf_room(&b, 1));
	cr_expect(!buf_ok(&b));
	cr_expect_eq(b.len, 0);
	buf_fini(&b);
	cr_expect_eq(b.limit, 4, "the limit is kept");
	buf_put(&b, "abcd", 4);
	cr_expect(buf_ok(&b));
	buf_put(&b, "e", 1);
	cr_expect(!buf_ok(&b));
	buf_fini(&b);
}

Test(buf, printf_goes_behind_what_is_there_without_a_terminator)
{
	struct buf b = { 0 };
	char long_text[5000];

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	buf_put_u8(&b, 'a');
	buf_printf(&b, "%d-%s", 12, "b");
	cr_assert_eq(b.len, 5);
	cr_expect_arr_eq(b.bytes, "a12-b", 5);
	buf_printf(&b, "%s", long_text);
	cr_assert_eq(b.len, 5 + 4999);
	cr_expect_eq(b.bytes[5003], 'x');
	buf_fini(&b);
}

Test(buf, printf_over_the_limit_leaves_what_was_there)
{
	struct buf b = { .limit = 8 };

	buf_printf(&b, "%s", "1234567");
	cr_expect(buf_ok(&b));
	buf_printf(&b, "%s", "89");
	cr_expect(!buf_ok(&b));
	cr_expect_eq(b.len, 7);
	buf_fini(&b);
}

Test(buf, the_front_is_taken)
{
	struct buf b = { 0 };

	buf_put(&b, "abcdef", 6);
	buf_drop_front(&b, 2);
	cr_assert_eq(b.len, 4);
	cr_expect_arr_eq(b.bytes, "cdef", 4);
	buf_put(&b, "g", 1);
	buf_drop_front(&b, 5);
	cr_expect_eq(b.len, 0);
	cr_expect(buf_ok(&b));
	buf_fini(&b);
}

/* --- Failures. --- */

Test(fail, a_failure_is_minus_one_and_text)
{
	struct fail why;

	memset(&why, 'x', sizeof(why));
	cr_expect_eq(fail_set(&why, "08P01", "%s at %d", "what", 7), -1);
	cr_expect_str_eq(why.sqlstate, "08P01");
	cr_expect_str_eq(why.text, "what at 7");
	cr_expect_str_eq(why.detail, "");
	cr_expect_str_eq(why.hint, "");
	cr_expect_eq(fail_detail(&why, "d%d", 1), -1);
	cr_expect_eq(fail_hint(&why, "h%d", 2), -1);
	cr_expect_str_eq(why.detail, "d1");
	cr_expect_str_eq(why.hint, "h2");
	cr_expect_str_eq(why.text, "what at 7");
	fail_set(&why, "53200", "anew");
	cr_expect_str_eq(why.detail, "", "of the failure before");
	cr_expect_str_eq(why.hint, "");
}

Test(fail, what_is_too_long_is_cut)
{
	struct fail why;

	fail_set(&why, "08P01x", "%*s", 1000, "end");
	fail_detail(&why, "%*s", 1000, "end");
	fail_hint(&why, "%*s", 1000, "end");
	cr_expect_str_eq(why.sqlstate, "08P01");
	cr_expect_eq(strlen(why.text), FAIL_TEXT_MAX - 1);
	cr_expect_eq(strlen(why.detail), FAIL_TEXT_MAX - 1);
	cr_expect_eq(strlen(why.hint), FAIL_TEXT_MAX - 1);
}

Test(fail, nobody_need_ask_why)
{
	cr_expect_eq(fail_set(NULL, "08P01", "x"), -1);
	cr_expect_eq(fail_detail(NULL, "x"), -1);
	cr_expect_eq(fail_hint(NULL, "x"), -1);
}
