/*
 * tests/unit/test_startup.c - the first packet, whole, cut and malformed. Links wire/startup.c, wire/messages.c and
 * what they need of base. Packets are copied to memory of exactly their size, so that a sanitizer sees a byte too far.
 */
#include "wire/startup.h"

#include "wire/frame.h"
#include "unit.h"

#define V3 0x00030000u

struct packet {
	uint8_t *bytes;
	size_t len;
};

/* Length word, code, body. */
static struct packet
packet_of(uint32_t code, const void *body, size_t body_len)
{
	struct packet p = { malloc(8 + body_len), 8 + body_len };

	cr_assert_not_null(p.bytes);
	wire_set_u32(p.bytes, (uint32_t)p.len);
	wire_set_u32(p.bytes + 4, code);
	if (body_len > 0)
		memcpy(p.bytes + 8, body, body_len);
	return p;
}

static int
parse_body(uint32_t code, const void *body, size_t body_len, struct packet *p, struct startup *s, struct fail *why)
{
	*p = packet_of(code, body, body_len);
	memset(why, 0, sizeof(*why));
	return startup_parse(p->bytes, p->len, s, why);
}

/* --- Lengths and codes. --- */

static const struct {
	const char *rule, *bytes;
	size_t len;
	const char *sqlstate; /* NULL: not refused */
	enum startup_kind kind;
	size_t total_len;
} head_rows[] = {
	{ "nothing yet", BYTES(""), NULL, STARTUP_PARTIAL, 0 },
	{ "half a length", BYTES("\0\0\0"), NULL, STARTUP_PARTIAL, 0 },
	{ "a length alone", BYTES("\0\0\0\x8"), NULL, STARTUP_PARTIAL, 8 },
	{ "seven bytes", BYTES("\0\0\0\x9\0\3\0"), NULL, STARTUP_PARTIAL, 9 },
	{ "a length of zero", BYTES("\0\0\0\0"), "08P01", 0, 0 },
	{ "a length that leaves no room for a code", BYTES("\0\0\0\x7"), "08P01", 0, 0 },
	{ "the longest length", BYTES("\0\0\x27\x10"), NULL, STARTUP_PARTIAL, 10000 },
	{ "one more", BYTES("\0\0\x27\x11"), "08P01", 0, 0 },
	{ "a length only its low 16 bits of which look right", BYTES("\0\1\0\x8"), "08P01", 0, 0 },
	{ "the largest length", BYTES("\xff\xff\xff\xff"), "08P01", 0, 0 },
	{ "a negative length", BYTES("\x80\0\0\x8"), "08P01", 0, 0 },
	{ "SSLRequest", BYTES("\0\0\0\x8\x4\xd2\x16\x2f"), NULL, STARTUP_SSL, 8 },
	{ "SSLRequest with bytes after it: the caller's to refuse", BYTES("\0\0\0\x8\x4\xd2\x16\x2f\0\0"), NULL,
	  STARTUP_SSL, 8 },
	{ "SSLRequest with a body", BYTES("\0\0\0\x9\x4\xd2\x16\x2f"), "08P01", 0, 0 },
	{ "GSSENCRequest", BYTES("\0\0\0\x8\x4\xd2\x16\x30"), NULL, STARTUP_GSSENC, 8 },
	{ "GSSENCRequest with a body", BYTES("\0\0\0\xc\x4\xd2\x16\x30"), "08P01", 0, 0 },
	{ "the code between them and the next protocol", BYTES("\0\0\0\x8\x4\xd2\x16\x31"), "0A000", 0, 0 },
	{ "protocol 2, before its body has come", BYTES("\0\0\1\x28\0\2\0\0"), "0A000", 0, 0 },
	{ "protocol 4", BYTES("\0\0\0\x9\0\4\0\0"), "0A000", 0, 0 },
	{ "protocol 0", BYTES("\0\0\0\x9\0\0\0\0"), "0A000", 0, 0 },
	{ "protocol 3, before its body has come", BYTES("\0\0\0\x9\0\3\0\0"), NULL, STARTUP_PARTIAL, 9 },
	{ "a cancel without its key", BYTES("\0\0\0\xc\x4\xd2\x16\x2e"), "08P01", 0, 0 },
	{ "a cancel with a key of three bytes", BYTES("\0\0\0\xf\x4\xd2\x16\x2e"), "08P01", 0, 0 },
	{ "a cancel with a key of four", BYTES("\0\0\0\x10\x4\xd2\x16\x2e"), NULL, STARTUP_PARTIAL, 16 },
	{ "a cancel with a key of 256", BYTES("\0\0\1\xc\x4\xd2\x16\x2e"), NULL, STARTUP_PARTIAL, 268 },
	{ "a cancel with a key of 257", BYTES("\0\0\1\xd\x4\xd2\x16\x2e"), "08P01", 0, 0 },
	{ "a ClientHello, seen at its first byte", BYTES("\x16"), "08P01", 0, 0 },
	{ "an HTTP request", BYTES("GET / HTTP/1.1\r\n"), "08P01", 0, 0 },
};

Test(startup, lengths_and_codes)
{
	EACH(row, head_rows) {
		uint8_t *exact = malloc(row->len + 1); /* of no size it might be NULL */
		struct startup s;
		struct fail why = { 0 };
		int result;

		memcpy(exact + 1, row->bytes, row->len);
		result = startup_parse(exact + 1, row->len, &s, &why);
		cr_expect_eq(result, row->sqlstate ? -1 : 0, "%s", row->rule);
		cr_expect_str_eq(why.sqlstate, row->sqlstate ? row->sqlstate : "", "%s", row->rule);
		if (result == 0) {
			cr_expect_eq(s.kind, row->kind, "%s", row->rule);
			cr_expect_eq(s.total_len, row->total_len, "%s", row->rule);
		}
		free(exact);
	}
}

Test(startup, a_client_that_begins_with_tls_is_told_why_not)
{
	struct startup s;
	struct fail why;

	cr_expect_eq(startup_parse((const uint8_t *)"\x16\x03\x01\x02\x00\x01", 6, &s, &why), -1);
	cr_expect_str_eq(why.text, "TLS is not available here");
}

Test(startup, protocol_2_is_told_what_we_speak)
{
	struct startup s;
	struct fail why;

	cr_expect_eq(startup_parse((const uint8_t *)"\0\0\1\x28\0\2\0\7", 8, &s, &why), -1);
	cr_expect_str_eq(why.text, "unsupported frontend protocol 2.7: server supports 3.0 to 3.2");
}

Test(startup, a_cancel_has_its_key)
{
	static const size_t key_lens[] = { 4, 32, 256 };

	for (size_t i = 0; i < COUNT(key_lens); i++) {
		uint8_t body[4 + 256] = { 0x80, 0, 0, 7 };
		struct packet p;
		struct startup s;
		struct fail why;

		for (size_t k = 0; k < 256; k++)
			body[4 + k] = (uint8_t)k;
		cr_assert_eq(parse_body(0x04d2162eu, body, 4 + key_lens[i], &p, &s, &why), 0);
		cr_expect_eq(s.kind, STARTUP_CANCEL);
		cr_expect_eq(s.cancel_pid, 0x80000007u);
		cr_assert_eq(s.cancel_key_len, key_lens[i]);
		cr_expect_arr_eq(s.cancel_key, body + 4, key_lens[i]);
		startup_fini(&s);
		free(p.bytes);
	}
}

/* --- Layout: name, value, ..., one zero byte at the very end. --- */

static const struct {
	const char *rule, *body;
	size_t len;
	const char *sqlstate;
} layout_rows[] = {
	{ "no body at all", BYTES(""), "08P01" },
	{ "no user", BYTES("\0"), "28000" },
	{ "an empty user", BYTES("user\0\0\0"), "28000" },
	{ "a database but no user", BYTES("database\0d\0\0"), "28000" },
	{ "a user", BYTES("user\0u\0\0"), NULL },
	{ "no terminator", BYTES("user\0u\0"), "08P01" },
	{ "no terminator of the value", BYTES("user\0u"), "08P01" },
	{ "no terminator of the last name", BYTES("user\0u\0database"), "08P01" },
	{ "a name without a value", BYTES("user\0u\0database\0"), "08P01" },
	{ "the value is the packet's end: no terminator is left", BYTES("user\0u\0database\0\0"), "08P01" },
	{ "an empty value and the terminator", BYTES("user\0u\0database\0\0\0"), NULL },
	{ "two terminators", BYTES("user\0u\0\0\0"), "08P01" },
	{ "bytes after the terminator", BYTES("user\0u\0\0database\0d\0\0"), "08P01" },
	{ "the terminator comes first", BYTES("\0user\0u\0\0"), "08P01" },
	{ "not one zero byte", BYTES("user=u database=d"), "08P01" },
	{ "a name is as PostgreSQL has it, in small letters", BYTES("USER\0u\0\0"), "28000" },
	{ "a replication word nobody knows", BYTES("user\0u\0replication\0maybe\0\0"), "22023" },
	{ "no replication word", BYTES("user\0u\0replication\0\0\0"), "22023" },
};

Test(startup, layouts)
{
	EACH(row, layout_rows) {
		struct packet p;
		struct startup s;
		struct fail why;
		int result = parse_body(V3, row->body, row->len, &p, &s, &why);

		cr_expect_eq(result, row->sqlstate ? -1 : 0, "%s", row->rule);
		cr_expect_str_eq(why.sqlstate, row->sqlstate ? row->sqlstate : "", "%s", row->rule);
		if (result == 0) {
			cr_expect_eq(s.kind, STARTUP_LOGIN, "%s", row->rule);
			cr_expect_str_eq(s.user, "u", "%s", row->rule);
			cr_expect_str_eq(s.database, "u", "%s", row->rule);
			startup_fini(&s);
		}
		free(p.bytes);
	}
}

#define WHOLE "user\0ann\0database\0shop\0application_name\0\0DateStyle\0German\0options\0-c a.b=\\ x\0\0"

static void
expect_whole(const struct startup *s)
{
	cr_expect_eq(s->kind, STARTUP_LOGIN);
	cr_expect_eq(s->major, 3);
	cr_expect_eq(s->minor, 0);
	cr_expect_str_eq(s->user, "ann");
	cr_expect_str_eq(s->database, "shop");
	cr_expect_eq(s->replication, REPLICATION_NONE);
	cr_assert_eq(s->setting_count, 3);
	cr_expect_eq(s->option_count, 1);
	cr_expect_str_eq(s->settings[0].name, "a.b");
	cr_expect_str_eq(s->settings[0].value, " x");
	cr_expect_str_eq(s->settings[1].name, "application_name");
	cr_expect_str_eq(s->settings[1].value, "");
	cr_expect_str_eq(s->settings[2].name, "DateStyle", "as it was sent");
	cr_expect_str_eq(s->settings[2].value, "German");
	cr_expect(!startup_needs_negotiate(s));
}

Test(startup, a_packet_may_come_byte_by_byte)
{
	struct packet p = packet_of(V3, BYTES(WHOLE));

	for (size_t len = 0; len <= p.len; len++) {
		uint8_t *so_far = malloc(len + 1);
		struct startup s;
		struct fail why;

		memcpy(so_far + 1, p.bytes, len);
		cr_assert_eq(startup_parse(so_far + 1, len, &s, &why), 0, "at byte %zu", len);
		if (len < p.len) {
			cr_expect_eq(s.kind, STARTUP_PARTIAL, "at byte %zu", len);
			cr_expect_eq(s.total_len, len < 4 ? 0 : p.len, "at byte %zu", len);
		} else {
			expect_whole(&s);
		}
		startup_fini(&s);
		free(so_far);
	}
	free(p.bytes);
}

Test(startup, what_follows_a_packet_is_not_read)
{
	struct packet p = packet_of(V3, BYTES(WHOLE));
	uint8_t *more = malloc(p.len + 5);
	struct startup s;
	struct fail why;

	memcpy(more, p.bytes, p.len);
	memset(more + p.len, 'x', 5);
	cr_assert_eq(startup_parse(more, p.len + 5, &s, &why), 0);
	cr_expect_eq(s.total_len, p.len);
	expect_whole(&s);
	startup_fini(&s);
	free(more);
	free(p.bytes);
}

Test(startup, every_cut_of_a_packet_that_claims_to_be_whole_is_refused)
{
	static const char whole[] = WHOLE;

	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		struct packet p;
		struct startup s;
		struct fail why;

		cr_expect_eq(parse_body(V3, whole, len, &p, &s, &why), -1, "%zu bytes", len);
		free(p.bytes);
	}
}

Test(startup, the_last_of_a_name_wins)
{
	static const char body[] = "user\0a\0database\0x\0options\0-c a=1\0user\0b\0database\0y\0options\0-c b=2\0"
				   "work_mem\0001MB\0WORK_MEM\0002MB\0";
	struct packet p;
	struct startup s;
	struct fail why;

	cr_assert_eq(parse_body(V3, body, sizeof(body), &p, &s, &why), 0);
	cr_expect_str_eq(s.user, "b");
	cr_expect_str_eq(s.database, "y");
	cr_assert_eq(s.setting_count, 3, "both spellings of work_mem, in order");
	cr_expect_str_eq(s.settings[0].name, "b");
	cr_expect_str_eq(s.settings[1].value, "1MB");
	cr_expect_str_eq(s.settings[2].value, "2MB");
	startup_fini(&s);
	free(p.bytes);
}

static const struct {
	const char *rule, *value;
	enum startup_replication want;
} replication_rows[] = {
	{ "pg_basebackup's word", "true", REPLICATION_PHYSICAL },
	{ "pg_recvlogical's word", "database", REPLICATION_LOGICAL },
	{ "a digit", "1", REPLICATION_PHYSICAL },
	{ "any case", "YeS", REPLICATION_PHYSICAL },
	{ "cut words", "t", REPLICATION_PHYSICAL },
	{ "on needs two letters", "on", REPLICATION_PHYSICAL },
	{ "off may be cut to two", "of", REPLICATION_NONE },
	{ "false", "false", REPLICATION_NONE },
	{ "no", "n", REPLICATION_NONE },
	{ "zero", "0", REPLICATION_NONE },
};

Test(startup, replication_words)
{
	EACH(row, replication_rows) {
		char body[64] = "user\0u\0replication";
		size_t len = 19 + strlen(row->value) + 2;
		struct packet p;
		struct startup s;
		struct fail why;

		memcpy(body + 19, row->value, strlen(row->value));
		cr_assert_eq(parse_body(V3, body, len, &p, &s, &why), 0, "%s", row->rule);
		cr_expect_eq(s.replication, row->want, "%s", row->rule);
		cr_expect_eq(s.setting_count, 0, "%s", row->rule);
		startup_fini(&s);
		free(p.bytes);
	}
}

Test(startup, words_like_booleans_are_refused)
{
	static const char *const words[] = { "o", "truer", "of f", "11", "DATABASE", " true" };

	for (size_t i = 0; i < COUNT(words); i++) {
		char body[64] = "user\0u\0replication";
		struct packet p;
		struct startup s;
		struct fail why;

		memcpy(body + 19, words[i], strlen(words[i]));
		cr_expect_eq(parse_body(V3, body, 19 + strlen(words[i]) + 2, &p, &s, &why), -1, "%s", words[i]);
		cr_expect_str_eq(why.sqlstate, "22023", "%s", words[i]);
		free(p.bytes);
	}
}

Test(startup, what_a_peer_sent_is_shown_without_control_characters)
{
	struct packet p;
	struct startup s;
	struct fail why;

	cr_assert_eq(parse_body(V3, BYTES("user\0u\0replication\0a\nb\x1b\xff\0\0"), &p, &s, &why), -1);
	cr_expect_str_eq(why.text, "invalid value for parameter \"replication\": \"a?b??\"");
	free(p.bytes);
}

/* --- The options word. --- */

static const struct {
	const char *rule, *options;
	const char *want; /* name=value, a bar between; NULL: refused with 42601 */
} option_rows[] = {
	{ "nothing", "", "" },
	{ "blanks", " \t\n\v\f\r ", "" },
	{ "-c with a blank", "-c geqo=off", "geqo=off" },
	{ "-c without", "-cgeqo=off", "geqo=off" },
	{ "a long name", "--geqo=off", "geqo=off" },
	{ "many, any blanks between", " -c a=1\t\t--b=2\n-cc=3 ", "a=1|b=2|c=3" },
	{ "dashes in a long name", "--statement-timeout=5min", "statement_timeout=5min" },
	{ "dashes in a -c name too, but not in its value", "-c work-mem=-1-2", "work_mem=-1-2" },
	{ "only the first = divides", "-c a=b=c", "a=b=c" },
	{ "an empty value", "-c a=", "a=" },
	{ "a backslash keeps a blank", "-c search_path=a,\\ b", "search_path=a, b" },
	{ "a backslash keeps a backslash", "-c a=\\\\x", "a=\\x" },
	{ "a backslash before any character is dropped", "-\\c a\\=b", "a=b" },
	{ "a backslash at the very end is dropped", "-c a=b\\", "a=b" },
	{ "a dotted name", "-c my.var=1", "my.var=1" },
	{ "the same name twice", "-c a=1 -c a=2", "a=1|a=2" },
	{ "quotes mean nothing", "-c a='x", "a='x" },
	{ "-c at the end", "-c", NULL },
	{ "-c without =", "-c geqo", NULL },
	{ "a long name without =", "--geqo", NULL },
	{ "an empty name", "--=1", NULL },
	{ "two dashes alone", "--", NULL },
	{ "one dash alone", "-", NULL },
	{ "an empty word", "\\", NULL },
	{ "a bare word", "geqo=off", NULL },
	{ "other switches, with a value and without", "-S 4MB -e -S64 -s",
	  "work_mem=4MB|datestyle=euro|work_mem=64|log_statement_stats=true" },
	{ "methods of joins and scans", "-fh -fn -f m -fs -fi -fo -fb -ft",
	  "enable_hashjoin=false|enable_nestloop=false|enable_mergejoin=false|enable_seqscan=false|enable_indexscan="
	  "false|enable_indexonlyscan=false|enable_bitmapscan=false|enable_tidscan=false" },
	{ "only the first letter of a method counts", "-fhash", "enable_hashjoin=false" },
	{ "statistics", "-tpa -tpl -te -t parser",
	  "log_parser_stats=true|log_planner_stats=true|log_executor_stats=true|log_parser_stats=true" },
	{ "several in a word", "-eOPca=1",
	  "datestyle=euro|allow_system_table_mods=true|ignore_system_indexes=true|a=1" },
	{ "one that takes the rest of the word", "-eSe", "datestyle=euro|work_mem=e" },
	{ "those that mean nothing for a client", "-bEjnT -C x -Dy -r z -v 3 -W 1", "post_auth_delay=1" },
	{ "an unknown method", "-fx", NULL },
	{ "an unknown statistic", "-tp", NULL },
	{ "no value", "-e -S", NULL },
	{ "an unknown switch", "-z", NULL },
	{ "an unknown one behind a known one", "-ez", NULL },
	{ "of a setting that a session can't have", "-F", NULL },
	{ "a bare word after a good one", "-c a=1 b", NULL },
};

Test(startup, options)
{
	EACH(row, option_rows) {
		char body[128] = "user\0u\0options", got[256] = "";
		size_t options_len = strlen(row->options);
		struct packet p;
		struct startup s;
		struct fail why;
		int result;

		memcpy(body + 15, row->options, options_len);
		result = parse_body(V3, body, 15 + options_len + 2, &p, &s, &why);
		cr_expect_eq(result, row->want ? 0 : -1, "%s", row->rule);
		if (result < 0) {
			cr_expect_str_eq(why.sqlstate, "42601", "%s", row->rule);
			cr_expect_null(s.arena, "%s", row->rule);
		} else {
			for (size_t k = 0; k < s.setting_count; k++)
				snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s=%s", k ? "|" : "",
					 s.settings[k].name, s.settings[k].value);
			cr_expect_str_eq(got, row->want, "%s", row->rule);
			startup_fini(&s);
		}
		free(p.bytes);
	}
}

Test(startup, options_come_before_the_packets_own_settings)
{
	struct packet p;
	struct startup s;
	struct fail why;

	cr_assert_eq(parse_body(V3, BYTES("geqo\0on\0options\0-c geqo=off -c a=1\0b\0002\0user\0u\0\0"), &p, &s, &why),
		     0);
	cr_assert_eq(s.setting_count, 4);
	cr_expect_str_eq(s.settings[0].value, "off");
	cr_expect_str_eq(s.settings[1].name, "a");
	cr_expect_str_eq(s.settings[2].value, "on");
	cr_expect_str_eq(s.settings[3].name, "b");
	startup_fini(&s);
	free(p.bytes);
}

Test(startup, a_backslash_at_the_end_keeps_nothing_of_what_follows)
{
	struct packet p;
	struct startup s;
	struct fail why;

	cr_assert_eq(parse_body(V3, BYTES("options\0-c a=b\\\0c\0d\0user\0u\0\0"), &p, &s, &why), 0);
	cr_assert_eq(s.setting_count, 2);
	cr_expect_str_eq(s.settings[0].value, "b");
	cr_expect_str_eq(s.settings[1].name, "c");
	startup_fini(&s);
	free(p.bytes);
}

/* --- Limits. --- */

/* count settings, named by name and a number, then a user. */
static struct buf
many(const char *name, size_t count)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < count; i++) {
		buf_printf(&b, "%s%zu", name, i);
		buf_put(&b, "\0v", 3);
	}
	buf_put(&b, BYTES("user\0u\0\0"));
	cr_assert(buf_ok(&b));
	return b;
}

Test(startup, more_settings_than_we_hold_are_refused)
{
	for (size_t count = STARTUP_SETTINGS_MAX; count <= STARTUP_SETTINGS_MAX + 1; count++) {
		struct buf b = many("n", count);
		struct packet p;
		struct startup s;
		struct fail why;
		int result = parse_body(V3, b.bytes, b.len, &p, &s, &why);

		cr_expect_eq(result, count > STARTUP_SETTINGS_MAX ? -1 : 0);
		if (result == 0) {
			cr_expect_eq(s.setting_count, count);
			cr_expect_str_eq(s.settings[count - 1].name, "n255");
			startup_fini(&s);
		} else {
			cr_expect_str_eq(why.sqlstate, "54000");
		}
		free(p.bytes);
		buf_fini(&b);
	}
}

Test(startup, more_settings_in_options_than_we_hold_are_refused)
{
	struct buf b = { 0 };
	struct packet p;
	struct startup s;
	struct fail why;

	buf_put_str(&b, "user");
	buf_put_str(&b, "u");
	buf_put_str(&b, "options");
	for (int i = 0; i <= STARTUP_SETTINGS_MAX; i++)
		buf_printf(&b, "--a%d=1 ", i);
	buf_put_u16(&b, 0);
	cr_expect_eq(parse_body(V3, b.bytes, b.len, &p, &s, &why), -1);
	cr_expect_str_eq(why.sqlstate, "54000");
	cr_expect_null(s.arena);
	free(p.bytes);
	buf_fini(&b);
}

Test(startup, more_protocol_options_than_we_hold_are_refused)
{
	for (size_t count = 32; count <= 33; count++) {
		struct buf b = many("_pq_.o", count);
		struct packet p;
		struct startup s;
		struct fail why;
		int result = parse_body(V3, b.bytes, b.len, &p, &s, &why);

		cr_expect_eq(result, count > 32 ? -1 : 0);
		if (result == 0) {
			cr_expect_eq(s.unknown_option_count, 32);
			cr_expect_eq(s.setting_count, 0);
		} else {
			cr_expect_str_eq(why.sqlstate, "54000");
		}
		startup_fini(&s);
		free(p.bytes);
		buf_fini(&b);
	}
}

Test(startup, a_packet_of_the_greatest_length_is_taken)
{
	static const char head[] = "user\0u\0x";
	uint8_t *body = calloc(1, STARTUP_MAX - 8);
	struct packet p;
	struct startup s;
	struct fail why;

	memcpy(body, head, sizeof(head));
	memset(body + sizeof(head), 'v', STARTUP_MAX - 8 - sizeof(head) - 2);
	cr_assert_eq(parse_body(V3, body, STARTUP_MAX - 8, &p, &s, &why), 0);
	cr_assert_eq(s.setting_count, 1);
	cr_expect_eq(strlen(s.settings[0].value), STARTUP_MAX - 8 - sizeof(head) - 2);
	startup_fini(&s);
	free(p.bytes);
	free(body);
}

Test(startup, options_may_name_a_tenant_without_a_dash)
{
	static const char body[] = "user\0u\0options\0-c a=b  reference=my-proj --c-d=e\0\0";
	struct packet p;
	struct startup s;
	struct fail why;

	cr_assert_eq(parse_body(V3, body, sizeof(body) - 1, &p, &s, &why), 0);
	cr_expect(s.has_bare_reference);
	cr_assert_eq(s.setting_count, 3);
	cr_expect_str_eq(s.settings[1].name, "reference");
	cr_expect_str_eq(s.settings[1].value, "my-proj");
	cr_expect_str_eq(s.settings[2].name, "c_d");
	startup_fini(&s);
	free(p.bytes);
}

/* --- NegotiateProtocolVersion. --- */

static const struct {
	const char *rule;
	uint32_t code;
	const char *body;
	size_t len;
	const char *want; /* NULL: nothing to negotiate */
	size_t want_len;
} negotiate_rows[] = {
	{ "3.0", V3, BYTES("user\0u\0\0"), NULL, 0 },
	{ "3.1 never existed: it is as 3.0", V3 | 1, BYTES("user\0u\0\0"), NULL, 0 },
	{ "3.1, and an option nobody knows", V3 | 1, BYTES("user\0u\0_pq_.x\0001\0\0"),
	  BYTES("v\0\0\0\x13\0\3\0\0\0\0\0\1_pq_.x\0") },
	{ "3.2", V3 | 2, BYTES("user\0u\0\0"), NULL, 0 },
	{ "3.3 is offered 3.2", V3 | 3, BYTES("user\0u\0\0"), BYTES("v\0\0\0\xc\0\3\0\2\0\0\0\0") },
	{ "so is the version no server has", V3 | 9999, BYTES("user\0u\0\0"), BYTES("v\0\0\0\xc\0\3\0\2\0\0\0\0") },
	{ "the last minor of all", V3 | 0xffff, BYTES("user\0u\0\0"), BYTES("v\0\0\0\xc\0\3\0\2\0\0\0\0") },
	{ "an option nobody knows, in 3.2", V3 | 2, BYTES("user\0u\0_pq_.x\0001\0\0"),
	  BYTES("v\0\0\0\x13\0\3\0\2\0\0\0\1_pq_.x\0") },
	{ "grease: a version and an option", V3 | 9999, BYTES("user\0u\0_pq_.x\0001\0\0"),
	  BYTES("v\0\0\0\x13\0\3\0\2\0\0\0\1_pq_.x\0") },
	{ "an option nobody knows", V3, BYTES("user\0u\0_pq_.x\0001\0\0"),
	  BYTES("v\0\0\0\x13\0\3\0\0\0\0\0\1_pq_.x\0") },
	{ "two, in order, the empty one as well", V3, BYTES("_pq_.b\0001\0user\0u\0_pq_.\0\0\0"),
	  BYTES("v\0\0\0\x19\0\3\0\0\0\0\0\2_pq_.b\0_pq_.\0") },
};

Test(startup, negotiation)
{
	EACH(row, negotiate_rows) {
		struct buf b = { 0 };
		struct packet p;
		struct startup s;
		struct fail why;

		cr_assert_eq(parse_body(row->code, row->body, row->len, &p, &s, &why), 0, "%s", row->rule);
		cr_expect_eq(s.setting_count, 0, "%s", row->rule);
		cr_expect_eq(startup_needs_negotiate(&s), row->want != NULL, "%s", row->rule);
		cr_expect_eq(startup_minor(&s), (row->code & 0xffff) < 2 ? 0 : 2, "%s", row->rule);
		if (row->want != NULL) {
			startup_put_negotiate(&b, &s);
			cr_assert_eq(b.len, row->want_len, "%s", row->rule);
			cr_expect_arr_eq(b.bytes, row->want, b.len, "%s", row->rule);
		}
		buf_fini(&b);
		startup_fini(&s);
		free(p.bytes);
	}
}
