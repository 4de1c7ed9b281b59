/*
 * tests/unit/test_image.c - settings as values, and the messages that turn one image into another, read back. Links
 * session/image.c, wire/messages.c, wire/fields.c and what they need of base.
 */
#include "session/image.h"
#include "session/image_settings.h"
#include "session/session_commons.h"

#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct image_store *store; /* of the test that runs: each has a process of its own */

static void
set_up(void)
{
	store = image_store_new(11, NULL);
	cr_assert_not_null(store);
}

static void
tear_down(void)
{
	cr_expect_eq(image_store_count(store), 0, "all images are released");
	image_store_free(store);
}

TestSuite(image, .init = set_up, .fini = tear_down);

static void
set(struct image **slot, const char *name, const char *value, bool is_reported)
{
	cr_assert_eq(image_update(slot, name, value, is_reported), 0);
}

/* "name=value" pairs with blanks between; a name that begins with ! is a reported one. */
static struct image *
image_of(const char *text)
{
	struct image *img = image_empty(store);
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		char *value = strchr(word, '=');
		bool is_reported = word[0] == '!';

		*value++ = '\0';
		set(&img, word + is_reported, value, is_reported);
	}
	return img;
}

static const struct {
	const char *rule, *a, *b;
	bool is_same;
} equal_rows[] = {
	{ "nothing is nothing", "", "", true },
	{ "the same settings", "a=1 b=2", "a=1 b=2", true },
	{ "in any order", "a=1 b=2 c=3", "c=3 a=1 b=2", true },
	{ "a name keeps its spelling", "TimeZone=UTC", "timezone=UTC", false },
	{ "the last value counts", "a=1 a=2", "a=2", true },
	{ "back and forth", "a=1 a=2 a=1", "a=1", true },
	{ "another value", "a=1", "a=2", false },
	{ "values in their case", "a=x", "a=X", false },
	{ "another name", "a=1", "b=1", false },
	{ "more settings", "a=1", "a=1 b=2", false },
	{ "text that runs together the same way", "ab=c", "a=bc", false },
	{ "an empty value is a value", "a=", "", false },
	{ "reported alike", "!a=1 b=2", "b=2 !a=1", true },
	{ "reported or not", "!a=1", "a=1", false },
	{ "reported or not, once more", "!a=1 b=2", "a=1 b=2", false },
};

Test(image, equal_settings_are_one_pointer)
{
	for (size_t i = 0; i < COUNT(equal_rows); i++) {
		struct image *a = image_of(equal_rows[i].a), *b = image_of(equal_rows[i].b);
		struct image *again = image_of(equal_rows[i].b);

		cr_expect_eq(a == b, equal_rows[i].is_same, "%s", equal_rows[i].rule);
		cr_expect_eq(b, again, "%s: each is one", equal_rows[i].rule);
		cr_expect_eq(image_store_count(store), equal_rows[i].is_same ? 1 : 2, "%s: %zu", equal_rows[i].rule,
			     image_store_count(store));
		image_unref(again);
		image_unref(a);
		image_unref(b);
		cr_expect_eq(image_store_count(store), 0, "%s", equal_rows[i].rule);
	}
}

Test(image, settings_are_sorted_and_found_in_any_case)
{
	struct image *img = image_of("b=2 !C=3 a=1");

	cr_assert_eq(image_count(img), 3);
	cr_expect_str_eq(image_at(img, 0)->name, "a");
	cr_expect_str_eq(image_at(img, 1)->name, "b");
	cr_expect_str_eq(image_at(img, 2)->name, "C");
	cr_expect(image_at(img, 2)->kind == IMAGE_REPORTED);
	cr_expect(image_at(img, 1)->kind == IMAGE_OTHER);
	cr_expect_str_eq(image_get(img, "c"), "3");
	cr_expect_str_eq(image_get(img, "A"), "1");
	cr_expect_null(image_get(img, "d"));
	cr_expect_null(image_get(img, ""));
	image_unref(img);
}

Test(image, with_and_without)
{
	struct image *img = image_of("a=1 b=2");
	struct image *with = image_with(img, "B", "3", false), *without = image_with(img, "A", NULL, false);
	struct image *same = image_with(img, "x", NULL, false);

	cr_expect_str_eq(image_get(img, "b"), "2", "it is never changed itself");
	cr_expect_eq(image_count(img), 2);
	cr_expect_str_eq(image_get(with, "b"), "3");
	cr_expect_eq(image_count(with), 2);
	cr_expect_eq(image_count(without), 1);
	cr_expect_null(image_get(without, "a"));
	cr_expect_eq(same, img, "without what is not there");
	image_unref(img);
	cr_expect_str_eq(image_get(with, "a"), "1", "it owns its texts");
	image_unref(same);
	image_unref(with);
	image_unref(without);
}

Test(image, an_update_to_what_it_has_is_none)
{
	struct image *img = image_of("a=1"), *was = img;

	set(&img, "A", "1", false);
	cr_expect_eq(img, was);
	set(&img, "a", NULL, false);
	cr_expect_eq(image_count(img), 0);
	image_unref(img);
	image_unref(NULL);
}

Test(image, as_long_as_somebody_holds_it)
{
	struct image *img = image_of("a=1");

	image_ref(img);
	image_unref(img);
	cr_expect_eq(image_store_count(store), 1);
	image_unref(img);
	cr_expect_eq(image_store_count(store), 0);
}

Test(image, contexts_go_with_their_last_image)
{
	struct image *german = image_of("!DateStyle=German a.b=1"), *too = image_of("!DateStyle=German a.b=2");
	struct image *iso = image_of("!DateStyle=ISO");
	uint32_t number;

	number = image_context(german);
	cr_expect_neq(number, IMAGE_CONTEXT_NONE);
	cr_expect_eq(image_context(too), number, "what literals are read under is the same");
	cr_expect_neq(image_context(iso), number);
	image_unref(german);
	cr_expect_eq(image_context(too), number);
	image_unref(too);
	german = image_of("!DateStyle=German");
	cr_expect_neq(image_context(german), number, "what was kept under a number is nobody else's");
	image_unref(german);
	number = image_context(iso);
	image_unref(iso);
	iso = image_of("!DateStyle=ISO");
	cr_expect_neq(image_context(iso), number);
	image_unref(iso);
}

Test(image, more_contexts_than_there_may_be_at_once)
{
	for (unsigned i = 0; i < 2 * COMMONS_CONTEXTS_MAX; i++) {
		struct image *img = image_empty(store);
		char value[32];

		snprintf(value, sizeof(value), "zone %u", i);
		set(&img, "TimeZone", value, true);
		cr_assert_neq(image_context(img), IMAGE_CONTEXT_NONE, "%u", i);
		image_unref(img);
	}
}

Test(image, a_full_image_takes_no_new_name_but_changes)
{
	struct image *img = image_empty(store), *over;
	char name[16];

	for (int i = 0; i < IMAGE_SETTINGS_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		set(&img, name, "1", false);
	}
	cr_assert_eq(image_count(img), IMAGE_SETTINGS_MAX);
	cr_expect_null(image_with(img, "m", "1", false), "before all others");
	cr_expect_null(image_with(img, "z", "1", false), "behind them");
	cr_expect_eq(image_update(&img, "z", "1", false), -1);
	cr_expect_eq(image_count(img), IMAGE_SETTINGS_MAX, "it stays");
	over = image_with(img, "n77", "2", false);
	cr_assert_not_null(over, "a new value for an old name");
	cr_expect_str_eq(image_get(over, "n77"), "2");
	image_unref(over);
	over = image_with(img, "n77", NULL, false);
	cr_assert_not_null(over, "one less");
	cr_expect_eq(image_count(over), IMAGE_SETTINGS_MAX - 1);
	image_unref(over);
	image_unref(img);
}

Test(image, what_describes_the_server_is_no_setting)
{
	cr_expect(image_is_read_only("server_version"));
	cr_expect(image_is_read_only("IS_SUPERUSER"));
	cr_expect(!image_is_read_only("TimeZone"));
	cr_expect(!image_is_read_only("server_version_num"));
	cr_expect(!image_is_read_only(""));
}

/* --- Messages. --- */

static struct frame
next(const struct buf *b, size_t *at, const uint8_t **body)
{
	struct frame f;

	cr_assert_eq(frame_parse(b->bytes + *at, b->len - *at, &f), FRAME_OK);
	*body = b->bytes + *at + FRAME_HEAD_LEN;
	*at += FRAME_HEAD_LEN + f.body_len;
	cr_assert_leq(*at, b->len);
	return f;
}

/* Text parameters of a Bind whose names are empty. */
static void
read_values(const uint8_t *body, size_t len, char *text, size_t cap)
{
	const char *portal, *statement;
	size_t at;

	cr_assert(fields_bind(body, len, &portal, &statement, &at));
	cr_expect_str_eq(portal, "");
	cr_expect_str_eq(statement, "");
	cr_expect_eq(wire_u16(body + at), 0, "text");
	at += 4;
	for (unsigned count = wire_u16(body + at - 2); count > 0; count--) {
		bool is_null = wire_u32(body + at) == UINT32_MAX;
		uint32_t value_len = is_null ? 0 : wire_u32(body + at);

		snprintf(text + strlen(text), cap - strlen(text), "|%.*s", is_null ? 4 : (int)value_len,
			 is_null ? "NULL" : (const char *)body + at + 4);
		at += 4 + value_len;
	}
	cr_expect_eq(at + 2, len);
}

static size_t
put_changes(struct buf *b, const struct image *from, const struct image *to, const struct image *always)
{
	size_t triples = image_put_changes(b, from, to, always, false, false);

	if (triples > 0)
		message_sync(b);
	return triples;
}

Test(image, settings_that_are_refused_end_the_session)
{
	struct image_store *images = image_store_new(1, NULL);
	struct image *from = image_empty(images), *to = image_with(from, "role", "r", IMAGE_OTHER);
	struct buf b = { 0 };

	cr_expect_eq(image_put_changes(&b, from, to, NULL, false, true), 1);
	cr_expect_not_null(memmem(b.bytes, b.len, "SELECT pg_catalog.set_config('exit_on_error', 'on', true), ", 58));
	buf_fini(&b);
	image_unref(from);
	image_unref(to);
	image_store_free(images);
}

Test(image, timers_that_go_on_without_their_client)
{
	static const struct {
		const char *name, *value;
		bool is_timer;
	} rows[] = {
		{ "idle_session_timeout", "1h", true },
		{ "Statement_Timeout", "49", true },
		{ "statement_timeout", "50ms", false },
		{ "transaction_timeout", "1ms", true },
		{ "lock_timeout", "0", false },
		{ "idle_in_transaction_session_timeout", "1", false },
		{ "work_mem", "1", false },
	};
	struct image_store *images = image_store_new(1, NULL);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct image *none = image_empty(images),
			     *img = image_with(none, rows[i].name, rows[i].value, IMAGE_OTHER);
		struct image *without = image_without_timers(img);

		cr_expect_eq((image_leaves(img) & IMAGE_LEAVES_TIMERS) != 0, rows[i].is_timer, "%s", rows[i].name);
		cr_expect_eq(without, rows[i].is_timer ? none : img, "%s", rows[i].name);
		image_unref(without);
		image_unref(img);
		image_unref(none);
	}
	image_store_free(images);
}

Test(image, encodings_that_sql_is_read_in)
{
	static const char *const read[] = { "UTF8",   "utf-8",	 "SQL_ASCII", "LATIN1", "ISO_8859_5",	"WIN1252",
					    "WIN866", "win_874", "KOI8R",     "EUC_JP", "EUC_JIS_2004", "Unicode" };
	static const char *const unread[] = { "SJIS",  "Shift-Jis-2004", "BIG5",	  "GBK", "UHC",
					      "JOHAB", "GB18030",	 "MULE_INTERNAL", "",	 "?" };
	struct image_store *images = image_store_new(1, NULL);
	struct image *none = image_empty(images), *img = image_with(none, "client_encoding", "SJIS", IMAGE_REPORTED);

	for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++)
		cr_expect(image_encoding_is_read(read[i]), "%s", read[i]);
	for (size_t i = 0; i < sizeof(unread) / sizeof(unread[0]); i++)
		cr_expect_not(image_encoding_is_read(unread[i]), "%s", unread[i]);
	cr_expect_eq(image_leaves(img), (unsigned)IMAGE_LEAVES_ANYTHING);
	image_unref(img);
	image_unref(none);
	image_store_free(images);
}

/* Each triple as "SQL|value|value", a newline behind it; then the Sync. */
static size_t
read_changes(const struct buf *b, char *text, size_t cap)
{
	size_t at = 0, triples = 0;
	const uint8_t *body;

	text[0] = '\0';
	while (at < b->len) {
		struct frame f = next(b, &at, &body);
		struct parse_fields p;

		if (f.type == 'S') {
			cr_expect_eq(at, b->len, "one Sync, at the end");
			return triples;
		}
		cr_assert_eq(f.type, 'P');
		cr_assert(fields_parse(body, f.body_len, &p));
		cr_expect_str_eq(p.name, "");
		cr_expect_eq(strncmp((const char *)p.rest, MESSAGE_OURS, strlen(MESSAGE_OURS)), 0);
		snprintf(text + strlen(text), cap - strlen(text), "%s", (const char *)p.rest + strlen(MESSAGE_OURS));
		f = next(b, &at, &body);
		cr_assert_eq(f.type, 'B');
		read_values(body, f.body_len, text, cap);
		f = next(b, &at, &body);
		cr_assert_eq(f.type, 'E');
		cr_expect_eq(f.body_len, 5);
		snprintf(text + strlen(text), cap - strlen(text), "\n");
		triples++;
	}
	cr_expect_eq(triples, 0, "no Sync");
	return triples;
}

#define SET(n, m) "pg_catalog.set_config($" #n ", $" #m ", false)"

static const struct {
	const char *rule, *from, *to, *always;
	const char *want;
} change_rows[] = {
	{ "nothing differs", "a=1 !b=2", "a=1 !b=2", NULL, "" },
	{ "nothing at all", "", "", NULL, "" },
	{ "the encoding of all that is B's is set before it", "jit=1 !client_encoding=LATIN1",
	  "b=2 !client_encoding=UTF8", NULL,
	  "RESET \"jit\"\nSELECT " SET(1, 2) "|client_encoding|UTF8\nSELECT " SET(1, 2) "|b|2\n" },
	{ "the encoding always", "!client_encoding=UTF8", "!client_encoding=UTF8", "client_encoding=x",
	  "SELECT " SET(1, 2) "|client_encoding|UTF8\n" },
	{ "a new setting", "", "a=1", NULL, "SELECT " SET(1, 2) "|a|1\n" },
	{ "another value", "a=1 b=2", "a=3 b=2", NULL, "SELECT " SET(1, 2) "|a|3\n" },
	{ "several in one statement", "", "a=1 b=2 !c=3", NULL,
	  "SELECT " SET(1, 2) ", " SET(3, 4) ", " SET(5, 6) "|a|1|b|2|c|3\n" },
	{ "search_path first", "", "a=1 search_path=2", NULL,
	  "SELECT " SET(1, 2) ", " SET(3, 4) "|search_path|2|a|1\n" },
	{ "an empty value", "a=1", "a=", NULL, "SELECT " SET(1, 2) "|a|\n" },
	{ "names in any case", "A=1", "a=1", NULL, "" },
	{ "values are never SQL text", "", "a=';--\"", NULL, "SELECT " SET(1, 2) "|a|';--\"\n" },
	{ "one that only from has is reset", "jit=1", "", NULL, "RESET \"jit\"\n" },
	{ "several, one after the other", "jit=1 work_mem=2", "", NULL, "RESET \"jit\"\nRESET \"work_mem\"\n" },
	{ "a reported one that only from has is left alone", "!a=1", "", NULL, "" },
	{ "reset, then set", "jit=1 b=2", "b=3 c=4", NULL,
	  "RESET \"jit\"\nSELECT " SET(1, 2) ", " SET(3, 4) "|b|3|c|4\n" },
	{ "reported now, not before", "a=1", "!a=1", NULL, "" },
	{ "a custom one: its RESET could fail", "my.var=1", "", NULL, "RESET ALL\n" },
	{ "one that perhaps only superusers reset", "log_duration=1", "", NULL, "RESET ALL\n" },
	{ "then all is set again", "my.var=1 a=1 !b=2", "a=1 !b=2", NULL,
	  "RESET ALL\nSELECT " SET(1, 2) ", " SET(3, 4) "|a|1|b|2\n" },
	{ "one that was reset", "my.var=1", "my.var=" IMAGE_RESET, NULL, "SELECT " SET(1, 2) "|my.var|NULL\n" },
	{ "... has nothing to undo", "my.var=" IMAGE_RESET, "", NULL, "" },
	{ "not if it is set again", "my.var=1", "my.var=2", NULL, "SELECT " SET(1, 2) "|my.var|2\n" },
	{ "a name that wants out", "enable_\";DROP--=1", "", NULL, "RESET \"enable_\"\";DROP--\"\n" },
	{ "always, though it is there", "a=1 b=2", "a=1 b=2", "a=9", "SELECT " SET(1, 2) "|a|1\n" },
	{ "always is a list of names, in any case", "a=1 b=2", "a=1 b=2", "B=0", "SELECT " SET(1, 2) "|b|2\n" },
	{ "always says nothing of what to doesn't have", "", "", "a=1", "" },
	{ "always and a difference", "a=1 b=2", "a=1 b=3", "a=1", "SELECT " SET(1, 2) ", " SET(3, 4) "|a|1|b|3\n" },
};

Test(image, changes)
{
	for (size_t i = 0; i < COUNT(change_rows); i++) {
		struct image *from = image_of(change_rows[i].from), *to = image_of(change_rows[i].to);
		struct image *always = change_rows[i].always != NULL ? image_of(change_rows[i].always) : NULL;
		struct buf b = { 0 };
		char text[512];
		size_t triples = put_changes(&b, from, to, always);

		cr_assert(buf_ok(&b), "%s", change_rows[i].rule);
		cr_expect_eq(read_changes(&b, text, sizeof(text)), triples, "%s", change_rows[i].rule);
		cr_expect_str_eq(text, change_rows[i].want, "%s: %s", change_rows[i].rule, text);
		cr_expect_eq(b.len == 0, triples == 0, "%s", change_rows[i].rule);
		buf_fini(&b);
		image_unref(from);
		image_unref(to);
		image_unref(always);
	}
}

Test(image, in_doubt_each_setting_that_is_not_reported_is_sent_anew)
{
	struct image *to = image_of("!b=2 jit=1 work_mem=3"), *from = image_ref(to);
	struct buf b = { 0 };
	char text[256];

	cr_assert_eq(image_doubt(&from), 0);
	cr_expect_eq(image_count(from), 3);
	cr_expect_eq(put_changes(&b, from, to, NULL), 1);
	read_changes(&b, text, sizeof(text));
	cr_expect_str_eq(text, "SELECT " SET(1, 2) ", " SET(3, 4) "|jit|1|work_mem|3\n");
	buf_fini(&b);
	image_unref(to);
	to = image_of("!b=2");
	cr_expect_eq(put_changes(&b, from, to, NULL), 2, "or reset");
	read_changes(&b, text, sizeof(text));
	cr_expect_str_eq(text, "RESET \"jit\"\nRESET \"work_mem\"\n");
	buf_fini(&b);
	image_unref(to);
	image_unref(from);
}

Test(image, as_many_settings_as_there_may_be)
{
	struct image *none = image_empty(store), *full = image_empty(store);
	struct buf b = { 0 };
	char name[16], *text = malloc(1 << 20);

	for (int i = 0; i < IMAGE_SETTINGS_MAX; i++) {
		snprintf(name, sizeof(name), "enable_%03d", i);
		set(&full, name, "x", false);
	}
	cr_expect_eq(put_changes(&b, none, full, NULL), 1);
	read_changes(&b, text, 1 << 20);
	cr_expect(strstr(text, SET(1023, 1024) "|enable_000|x|") != NULL);
	cr_expect(strstr(text, "|enable_511|x\n") != NULL);
	buf_fini(&b);
	cr_expect_eq(put_changes(&b, full, none, NULL), IMAGE_SETTINGS_MAX);
	buf_fini(&b);
	free(text);
	image_unref(none);
	image_unref(full);
}

Test(image, changes_that_find_no_room_break_the_buffer)
{
	struct image *from = image_of("a=1"), *to = image_of("b=2");
	struct buf whole = { 0 };

	put_changes(&whole, from, to, NULL);
	for (size_t limit = 1; limit < whole.len; limit++) {
		struct buf b = { .limit = limit };

		put_changes(&b, from, to, NULL);
		cr_assert(!buf_ok(&b), "%zu", limit);
		buf_fini(&b);
	}
	buf_fini(&whole);
	image_unref(from);
	image_unref(to);
}

Test(image, some_settings_make_other_constants)
{
	static const struct {
		const char *name, *value;
		bool is_it;
	} rows[] = {
		{ "role", "web", true },
		{ "bytea_output", "escape", true },
		{ "quote_all_identifiers", "on", true },
		{ "extra_float_digits", "0", true },
		{ "extra_float_digits", "3", false },
		{ "work_mem", "8MB", false },
		{ "search_path", "a", true },
		{ "app.user_id", "1", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct image_store *own = image_store_new(1, NULL);
		struct image *empty = image_empty(own);
		struct image *img = image_with(empty, rows[i].name, rows[i].value, IMAGE_OTHER);

		cr_expect_not(image_plans_otherwise(empty));
		cr_expect_eq(image_plans_otherwise(img), rows[i].is_it, "%s", rows[i].name);
		image_unref(img);
		image_unref(empty);
		image_store_free(own);
	}
}

Test(image, has_the_context_of_another_that_sets_nothing_else)
{
	struct image_store *own = image_store_new(0, NULL);
	struct image *a = image_empty(own), *b = image_empty(own);

	cr_assert_eq(image_update(&b, "application_name", "psql", IMAGE_REPORTED), 0);
	cr_assert_eq(image_update(&b, "app.user_id", "7", IMAGE_OTHER), 0);
	cr_expect_eq(image_context(a), image_context(b));
	cr_assert_eq(image_update(&b, "work_mem", "8MB", IMAGE_OTHER), 0);
	cr_expect_neq(image_context(a), image_context(b), "plans depend on it");
	cr_assert_eq(image_update(&a, "Work_Mem", "8MB", IMAGE_OTHER), 0);
	cr_expect_eq(image_context(a), image_context(b));
	cr_expect(image_is_of_context("SEARCH_PATH"));
	cr_expect(image_is_of_context("plpgsql.variable_conflict"));
	cr_expect_not(image_is_of_context("Statement_timeout"));
	cr_expect_not(image_is_of_parsing("search_path"));
	cr_expect(image_is_of_parsing("datestyle"));
	image_unref(a);
	image_unref(b);
	image_store_free(own);
}

Test(image, identifiers_are_quoted)
{
	struct buf b = { 0 };

	image_put_identifier(&b, "a\"b\"\"", false);
	image_put_identifier(&b, "a.b", false);
	image_put_identifier(&b, "a.b", true);
	buf_put_u8(&b, 0);
	cr_expect_str_eq((char *)b.bytes, "\"a\"\"b\"\"\"\"\"\"a.b\"\"a\".\"b\"");
	buf_fini(&b);
}

Test(image, a_limit_is_short_below_50_ms)
{
	static const char *const shorts[] = { "49",   "49ms", " 1 ms", "0.04s",	     "49999 us",
					      "0x10", "",     "soon",  "1 fortnight" };
	static const char *const others[] = { "0", "50", "50ms", "1s", "1min", "1h", "1 d", "0s" };

	for (size_t i = 0; i < sizeof(shorts) / sizeof(shorts[0]); i++)
		cr_expect(image_is_short_limit(shorts[i]), "%s", shorts[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_expect_not(image_is_short_limit(others[i]), "%s", others[i]);
}

static void
expect_entries(const struct image *img, const struct image_setting wanted[static 3])
{
	cr_assert_eq(image_count(img), 3);
	for (size_t i = 0; i < 3; i++) {
		const struct image_setting *s = image_at(img, i), *w = &wanted[i];

		cr_expect_str_eq(s->name, w->name);
		cr_expect_str_eq(s->value, w->value);
		cr_expect_eq(s->kind, w->kind, "%s", s->name);
	}
}

Test(image, a_copy_becomes_the_equal_image_of_another_store)
{
	struct image_store *other = image_store_new(12, NULL);
	struct image *img = image_empty(store), *copy, *twice, *equal = image_empty(other), *adopted;

	set(&img, "work_mem", "5MB", false);
	set(&img, "TimeZone", "UTC", true);
	set(&equal, "TimeZone", "UTC", true);
	set(&equal, "work_mem", "5MB", false);
	copy = image_copy(img);
	adopted = image_adopt(other, copy);
	cr_expect_eq(adopted, equal);
	image_unref(adopted);
	set(&img, "role", "web", false);
	copy = image_copy(img);
	twice = image_copy(copy);
	image_unref(img);
	image_unref(copy);
	adopted = image_adopt(other, twice);
	expect_entries(adopted, (struct image_setting[]){ { "role", "web", IMAGE_OTHER },
							  { "TimeZone", "UTC", IMAGE_REPORTED },
							  { "work_mem", "5MB", IMAGE_OTHER } });
	cr_expect(image_plans_otherwise(adopted), "and what is read off them is known");
	cr_expect_neq(adopted, equal);
	image_unref(adopted);
	image_unref(equal);
	cr_expect_eq(image_store_count(other), 0);
	image_store_free(other);
}
