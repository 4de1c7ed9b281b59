/* tests/unit/test_client_record.c - restart/client_record_form.c: what is written is read again, and nothing else is.
 */
#include "restart/client_record_form.h"
#include "unit.h"

static const struct client_record_statement twice = {
	.name = "twice", .text = 7, .shape = 8, .types = 9, .is_shared = true, .is_told = true
};

static void
put_some(struct buf *b)
{
	struct client_record p = {
		.number = UINT64_C(0x123456789a),
		.pool = 3,
		.database = "tenant/app",
		.user = "web",
		.peer = { .sin6_family = AF_INET6, .sin6_port = 51514, .sin6_addr.s6_addr = { 0xfd, [15] = 7 } },
		.connected_us = 11,
		.idle_since_us = 12,
		.pid = 0x40000001,
		.secret = "abcd",
		.secret_len = 4,
		.is_startup_same = true
	};
	struct client_record_statement statement = twice;
	struct guc setting = { "work_mem", "7MB", GUC_OTHER };
	size_t begun;

	client_record_put(b, client_record_item_head, &p);
	begun = client_record_begin(b);
	client_record_put(b, client_record_item_setting, &setting);
	client_record_end(b, begun);
	client_record_end(b, client_record_begin(b));
	begun = client_record_begin(b);
	client_record_put(b, client_record_item_statement, &statement);
	client_record_end(b, begun);
	begun = client_record_begin(b);
	buf_put_str(b, "news");
	client_record_end(b, begun);
	begun = client_record_begin(b);
	buf_put(b, "Q\0\0", 3);
	client_record_end(b, begun);
}

Test(client_record, what_is_written_is_read)
{
	struct buf b = { 0 };
	struct client_record p;
	struct guc s = { 0 };
	struct client_record_statement st = { 0 };
	const char *channel = NULL;

	put_some(&b);
	cr_assert_eq(client_record_parse(b.bytes, b.len, &p), 0);
	cr_expect_eq(p.number, UINT64_C(0x123456789a));
	cr_expect_eq(p.pool, 3);
	cr_expect_str_eq(p.database, "tenant/app");
	cr_expect_str_eq(p.user, "web");
	cr_expect(p.peer.sin6_family == AF_INET6 && p.peer.sin6_port == 51514 && p.peer.sin6_addr.s6_addr[15] == 7);
	cr_expect(p.is_startup_same);
	cr_expect(p.connected_us == 11 && p.idle_since_us == 12 && p.pid == 0x40000001);
	cr_expect(p.secret_len == 4 && memcmp(p.secret, "abcd", 4) == 0);
	cr_assert(client_record_next(&p.settings, client_record_item_setting, &s));
	cr_expect_str_eq(s.name, "work_mem");
	cr_expect_str_eq(s.value, "7MB");
	cr_expect_eq(s.kind, GUC_OTHER);
	cr_expect(!client_record_next(&p.settings, client_record_item_setting, &s));
	cr_assert(client_record_next(&p.statements, client_record_item_statement, &st));
	cr_expect_str_eq(st.name, "twice");
	cr_expect(st.text == 7 && st.shape == 8 && st.types == 9 && st.is_shared && st.is_told && !st.is_of_session &&
		  !st.is_proven);
	cr_expect(!client_record_next(&p.statements, client_record_item_statement, &st));
	cr_assert(client_record_next(&p.channels, client_record_item_channel, &channel));
	cr_expect_str_eq(channel, "news");
	cr_expect(!client_record_next(&p.channels, client_record_item_channel, &channel));
	cr_expect(p.input.len == 3 && p.input.at[0] == 'Q');
	buf_fini(&b);
}

Test(client_record, no_part_of_one_is_one)
{
	struct buf b = { 0 };
	struct client_record p;

	put_some(&b);
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1); /* so that a sanitizer sees what is read behind it */

		memcpy(cut, b.bytes, len);
		cr_expect_eq(client_record_parse(cut, len, &p), -1, "%zu bytes of %zu", len, b.len);
		free(cut);
	}
	buf_put_u8(&b, 0);
	cr_expect_eq(client_record_parse(b.bytes, b.len, &p), -1, "a byte too many");
	buf_fini(&b);
}

Test(client_record, another_version_is_refused)
{
	struct buf b = { 0 };
	struct client_record p;

	put_some(&b);
	b.bytes[1]++;
	cr_expect_eq(client_record_parse(b.bytes, b.len, &p), -1);
	buf_fini(&b);
}

/* A setting of an unknown kind, at the end of its part. */
Test(client_record, a_bad_item_is_found_before_anything_is_used)
{
	struct buf b = { 0 };
	struct client_record p;
	uint8_t *at;

	put_some(&b);
	at = memmem(b.bytes, b.len, "work_mem", 8);
	at[-1] = GUC_REPORTED + 1;
	cr_expect_eq(client_record_parse(b.bytes, b.len, &p), -1);
	buf_fini(&b);
}

Test(client_record, texts)
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

	EACH(row, rows) {
		struct client_record_text t = { .bytes = (const uint8_t *)row->bytes,
						.len = row->len,
						.query_len = row->query_len,
						.types = (const uint8_t *)"\0\0",
						.types_len = 2 };
		struct client_record_text out;
		struct buf b = { 0 };

		client_record_put(&b, client_record_item_text, &t);
		cr_expect_eq(client_record_parse_text(b.bytes, b.len, &out), row->want, "%s", row->rule);
		if (row->want == 0)
			cr_expect(out.len == t.len && out.query_len == t.query_len && out.types_len == 2 &&
				  memcmp(out.bytes, t.bytes, t.len) == 0);
		buf_fini(&b);
	}
}

Test(client_record, pools)
{
	struct client_record_pool p = { .secret = "hush", .keys = (const uint8_t *)"keys", .keys_len = 4 };
	struct client_record_pool out;
	struct buf b = { 0 };

	client_record_put(&b, client_record_item_pool, &p);
	cr_assert_eq(client_record_parse_pool(b.bytes, b.len, 4, &out), 0);
	cr_expect_str_eq(out.secret, "hush");
	cr_expect_eq(out.keys_len, 4);
	cr_expect_eq(client_record_parse_pool(b.bytes, b.len, 5, &out), -1, "keys of another size");
	cr_expect_eq(client_record_parse_pool(b.bytes, 4, 4, &out), -1, "no terminator");
	buf_fini(&b);
}
