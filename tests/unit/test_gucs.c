/*
 * tests/unit/test_gucs.c - settings as values, and the messages that turn one GUC set into another, read back. Links
 * session/gucs.c, wire/messages.c, wire/fields.c and what they need of base.
 */
#include "session/gucs.h"
#include "session/gucs_effects.h"
#include "session/session_commons.h"

#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "unit.h"

static struct guc_store *store; /* of the test that runs: each has a process of its own */

static void
set_up(void)
{
	store = guc_store_new(11, NULL);
	cr_assert_not_null(store);
}

static void
tear_down(void)
{
	must_hold_at_the_end(guc_store_count(store) == 0, "all images are released");
	guc_store_free(store);
}

TestSuite(gucs, .init = set_up, .fini = tear_down);

static void
set(struct gucs **slot, const char *name, const char *value, bool is_reported)
{
	cr_assert_eq(gucs_update(slot, name, value, is_reported), 0);
}

/* "name=value" pairs with blanks between; a name that begins with ! is a reported one. */
static struct gucs *
gucs_of(const char *text)
{
	struct gucs *gucs = gucs_empty(store);
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		char *value = strchr(word, '=');
		bool is_reported = word[0] == '!';

		*value++ = '\0';
		set(&gucs, word + is_reported, value, is_reported);
	}
	return gucs;
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

Test(gucs, equal_settings_are_one_pointer)
{
	EACH(row, equal_rows) {
		struct gucs *a = gucs_of(row->a), *b = gucs_of(row->b);
		struct gucs *again = gucs_of(row->b);

		cr_expect_eq(a == b, row->is_same, "%s", row->rule);
		cr_expect_eq(b, again, "%s: each is one", row->rule);
		cr_expect_eq(guc_store_count(store), row->is_same ? 1 : 2, "%s: %zu", row->rule,
			     guc_store_count(store));
		gucs_unref(again);
		gucs_unref(a);
		gucs_unref(b);
		cr_expect_eq(guc_store_count(store), 0, "%s", row->rule);
	}
}

Test(gucs, settings_are_sorted_and_found_in_any_case)
{
	struct gucs *gucs = gucs_of("b=2 !C=3 a=1");

	cr_assert_eq(gucs_count(gucs), 3);
	cr_expect_str_eq(gucs_at(gucs, 0)->name, "a");
	cr_expect_str_eq(gucs_at(gucs, 1)->name, "b");
	cr_expect_str_eq(gucs_at(gucs, 2)->name, "C");
	cr_expect(gucs_at(gucs, 2)->kind == GUC_REPORTED);
	cr_expect(gucs_at(gucs, 1)->kind == GUC_OTHER);
	cr_expect_str_eq(gucs_get(gucs, "c"), "3");
	cr_expect_str_eq(gucs_get(gucs, "A"), "1");
	cr_expect_null(gucs_get(gucs, "d"));
	cr_expect_null(gucs_get(gucs, ""));
	gucs_unref(gucs);
}

Test(gucs, with_and_without)
{
	struct gucs *gucs = gucs_of("a=1 b=2");
	struct gucs *with = gucs_with(gucs, "B", "3", false), *without = gucs_with(gucs, "A", NULL, false);
	struct gucs *same = gucs_with(gucs, "x", NULL, false);

	cr_expect_str_eq(gucs_get(gucs, "b"), "2", "it is never changed itself");
	cr_expect_eq(gucs_count(gucs), 2);
	cr_expect_str_eq(gucs_get(with, "b"), "3");
	cr_expect_eq(gucs_count(with), 2);
	cr_expect_eq(gucs_count(without), 1);
	cr_expect_null(gucs_get(without, "a"));
	cr_expect_eq(same, gucs, "without what is not there");
	gucs_unref(gucs);
	cr_expect_str_eq(gucs_get(with, "a"), "1", "it owns its texts");
	gucs_unref(same);
	gucs_unref(with);
	gucs_unref(without);
}

Test(gucs, an_update_to_what_it_has_is_none)
{
	struct gucs *gucs = gucs_of("a=1"), *was = gucs;

	set(&gucs, "A", "1", false);
	cr_expect_eq(gucs, was);
	set(&gucs, "a", NULL, false);
	cr_expect_eq(gucs_count(gucs), 0);
	gucs_unref(gucs);
	gucs_unref(NULL);
}

Test(gucs, as_long_as_somebody_holds_it)
{
	struct gucs *gucs = gucs_of("a=1");

	gucs_ref(gucs);
	gucs_unref(gucs);
	cr_expect_eq(guc_store_count(store), 1);
	gucs_unref(gucs);
	cr_expect_eq(guc_store_count(store), 0);
}

Test(gucs, contexts_go_with_their_last_gucs)
{
	struct gucs *german = gucs_of("!DateStyle=German a.b=1"), *too = gucs_of("!DateStyle=German a.b=2");
	struct gucs *iso = gucs_of("!DateStyle=ISO");
	uint32_t number;

	number = gucs_context(german);
	cr_expect_neq(number, GUCS_CONTEXT_NONE);
	cr_expect_eq(gucs_context(too), number, "what literals are read under is the same");
	cr_expect_neq(gucs_context(iso), number);
	gucs_unref(german);
	cr_expect_eq(gucs_context(too), number);
	gucs_unref(too);
	german = gucs_of("!DateStyle=German");
	cr_expect_neq(gucs_context(german), number, "what was kept under a number is nobody else's");
	gucs_unref(german);
	number = gucs_context(iso);
	gucs_unref(iso);
	iso = gucs_of("!DateStyle=ISO");
	cr_expect_neq(gucs_context(iso), number);
	gucs_unref(iso);
}

Test(gucs, more_contexts_than_there_may_be_at_once)
{
	for (unsigned i = 0; i < 2 * COMMONS_CONTEXTS_MAX; i++) {
		struct gucs *gucs = gucs_empty(store);
		char value[32];

		snprintf(value, sizeof(value), "zone %u", i);
		set(&gucs, "TimeZone", value, true);
		cr_assert_neq(gucs_context(gucs), GUCS_CONTEXT_NONE, "%u", i);
		gucs_unref(gucs);
	}
}

Test(gucs, a_full_gucs_takes_no_new_name_but_changes)
{
	struct gucs *gucs = gucs_empty(store), *over;
	char name[16];

	for (int i = 0; i < GUCS_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		set(&gucs, name, "1", false);
	}
	cr_assert_eq(gucs_count(gucs), GUCS_MAX);
	cr_expect_null(gucs_with(gucs, "m", "1", false), "before all others");
	cr_expect_null(gucs_with(gucs, "z", "1", false), "behind them");
	cr_expect_eq(gucs_update(&gucs, "z", "1", false), -1);
	cr_expect_eq(gucs_count(gucs), GUCS_MAX, "it stays");
	over = gucs_with(gucs, "n77", "2", false);
	cr_assert_not_null(over, "a new value for an old name");
	cr_expect_str_eq(gucs_get(over, "n77"), "2");
	gucs_unref(over);
	over = gucs_with(gucs, "n77", NULL, false);
	cr_assert_not_null(over, "one less");
	cr_expect_eq(gucs_count(over), GUCS_MAX - 1);
	gucs_unref(over);
	gucs_unref(gucs);
}

Test(gucs, what_describes_the_server_is_no_setting)
{
	cr_expect(guc_describes_server("server_version"));
	cr_expect(guc_describes_server("IS_SUPERUSER"));
	cr_expect(!guc_describes_server("TimeZone"));
	cr_expect(!guc_describes_server("server_version_num"));
	cr_expect(!guc_describes_server(""));
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

	cr_assert(fields_read_bind(body, len, &portal, &statement, &at));
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
put_changes(struct buf *b, const struct gucs *from, const struct gucs *to, const struct gucs *always)
{
	size_t triples = gucs_put_changes(b, from, to, always, false, false);

	if (triples > 0)
		message_sync(b);
	return triples;
}

Test(gucs, settings_that_are_refused_end_the_session)
{
	struct guc_store *guc_store = guc_store_new(1, NULL);
	struct gucs *from = gucs_empty(guc_store), *to = gucs_with(from, "role", "r", GUC_OTHER);
	struct buf b = { 0 };

	cr_expect_eq(gucs_put_changes(&b, from, to, NULL, false, true), 1);
	cr_expect_not_null(strstr((const char *)b.bytes + FRAME_HEAD_LEN + 1,
				  "SELECT " MESSAGE_OURS "pg_catalog.set_config('exit_on_error', 'on', true), "));
	buf_fini(&b);
	gucs_unref(from);
	gucs_unref(to);
	guc_store_free(guc_store);
}

Test(gucs, timers_that_go_on_without_their_client)
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
	struct guc_store *guc_store = guc_store_new(1, NULL);

	EACH(row, rows) {
		struct gucs *none = gucs_empty(guc_store), *gucs = gucs_with(none, row->name, row->value, GUC_OTHER);
		struct gucs *without = gucs_without_timers(gucs);

		cr_expect_eq((gucs_side_effects(gucs) & GUCS_LEAVES_TIMERS) != 0, row->is_timer, "%s", row->name);
		cr_expect_eq(without, row->is_timer ? none : gucs, "%s", row->name);
		gucs_unref(without);
		gucs_unref(gucs);
		gucs_unref(none);
	}
	guc_store_free(guc_store);
}

Test(gucs, encodings_that_sql_is_read_in)
{
	static const char *const read[] = { "UTF8",   "utf-8",	 "SQL_ASCII", "LATIN1", "ISO_8859_5",	"WIN1252",
					    "WIN866", "win_874", "KOI8R",     "EUC_JP", "EUC_JIS_2004", "Unicode" };
	static const char *const unread[] = { "SJIS",  "Shift-Jis-2004", "BIG5",	  "GBK", "UHC",
					      "JOHAB", "GB18030",	 "MULE_INTERNAL", "",	 "?" };
	struct guc_store *guc_store = guc_store_new(1, NULL);
	struct gucs *none = gucs_empty(guc_store), *gucs = gucs_with(none, "client_encoding", "SJIS", GUC_REPORTED);

	for (size_t i = 0; i < COUNT(read); i++)
		cr_expect(guc_encoding_is_scannable(read[i]), "%s", read[i]);
	for (size_t i = 0; i < COUNT(unread); i++)
		cr_expect_not(guc_encoding_is_scannable(unread[i]), "%s", unread[i]);
	cr_expect_eq(gucs_side_effects(gucs), (unsigned)GUCS_LEAVES_ANYTHING);
	gucs_unref(gucs);
	gucs_unref(none);
	guc_store_free(guc_store);
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
		const char *mark;

		if (f.type == 'S') {
			cr_expect_eq(at, b->len, "one Sync, at the end");
			return triples;
		}
		cr_assert_eq(f.type, 'P');
		cr_assert(fields_read_parse(body, f.body_len, &p));
		cr_expect_str_eq(p.name, "");
		mark = strstr((const char *)p.rest, MESSAGE_OURS);
		cr_assert_not_null(mark);
		cr_expect_eq(mark, strchr((const char *)p.rest, ' ') + 1, "behind the first word");
		snprintf(text + strlen(text), cap - strlen(text), "%.*s%s", (int)(mark - (const char *)p.rest),
			 (const char *)p.rest, mark + strlen(MESSAGE_OURS));
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
	{ "one that was reset", "my.var=1", "my.var=" GUC_RESET, NULL, "SELECT " SET(1, 2) "|my.var|NULL\n" },
	{ "... has nothing to undo", "my.var=" GUC_RESET, "", NULL, "" },
	{ "not if it is set again", "my.var=1", "my.var=2", NULL, "SELECT " SET(1, 2) "|my.var|2\n" },
	{ "a name that wants out", "enable_\";DROP--=1", "", NULL, "RESET \"enable_\"\";DROP--\"\n" },
	{ "always, though it is there", "a=1 b=2", "a=1 b=2", "a=9", "SELECT " SET(1, 2) "|a|1\n" },
	{ "always is a list of names, in any case", "a=1 b=2", "a=1 b=2", "B=0", "SELECT " SET(1, 2) "|b|2\n" },
	{ "always says nothing of what to doesn't have", "", "", "a=1", "" },
	{ "always and a difference", "a=1 b=2", "a=1 b=3", "a=1", "SELECT " SET(1, 2) ", " SET(3, 4) "|a|1|b|3\n" },
};

Test(gucs, changes)
{
	EACH(row, change_rows) {
		struct gucs *from = gucs_of(row->from), *to = gucs_of(row->to);
		struct gucs *always = row->always != NULL ? gucs_of(row->always) : NULL;
		struct buf b = { 0 };
		char text[512];
		size_t triples = put_changes(&b, from, to, always);

		cr_assert(buf_ok(&b), "%s", row->rule);
		cr_expect_eq(read_changes(&b, text, sizeof(text)), triples, "%s", row->rule);
		cr_expect_str_eq(text, row->want, "%s: %s", row->rule, text);
		cr_expect_eq(b.len == 0, triples == 0, "%s", row->rule);
		buf_fini(&b);
		gucs_unref(from);
		gucs_unref(to);
		gucs_unref(always);
	}
}

Test(gucs, in_doubt_each_setting_that_is_not_reported_is_sent_anew)
{
	struct gucs *to = gucs_of("!b=2 jit=1 work_mem=3"), *from = gucs_ref(to);
	struct buf b = { 0 };
	char text[256];

	cr_assert_eq(gucs_forget_unreported(&from), 0);
	cr_expect_eq(gucs_count(from), 3);
	cr_expect_eq(put_changes(&b, from, to, NULL), 1);
	read_changes(&b, text, sizeof(text));
	cr_expect_str_eq(text, "SELECT " SET(1, 2) ", " SET(3, 4) "|jit|1|work_mem|3\n");
	buf_fini(&b);
	gucs_unref(to);
	to = gucs_of("!b=2");
	cr_expect_eq(put_changes(&b, from, to, NULL), 2, "or reset");
	read_changes(&b, text, sizeof(text));
	cr_expect_str_eq(text, "RESET \"jit\"\nRESET \"work_mem\"\n");
	buf_fini(&b);
	gucs_unref(to);
	gucs_unref(from);
}

Test(gucs, as_many_settings_as_there_may_be)
{
	struct gucs *none = gucs_empty(store), *full = gucs_empty(store);
	struct buf b = { 0 };
	char name[16], *text = malloc(1 << 20);

	for (int i = 0; i < GUCS_MAX; i++) {
		snprintf(name, sizeof(name), "enable_%03d", i);
		set(&full, name, "x", false);
	}
	cr_expect_eq(put_changes(&b, none, full, NULL), 1);
	read_changes(&b, text, 1 << 20);
	cr_expect(strstr(text, SET(1023, 1024) "|enable_000|x|") != NULL);
	cr_expect(strstr(text, "|enable_511|x\n") != NULL);
	buf_fini(&b);
	cr_expect_eq(put_changes(&b, full, none, NULL), GUCS_MAX);
	buf_fini(&b);
	free(text);
	gucs_unref(none);
	gucs_unref(full);
}

Test(gucs, changes_that_find_no_room_break_the_buffer)
{
	struct gucs *from = gucs_of("a=1"), *to = gucs_of("b=2");
	struct buf whole = { 0 };

	put_changes(&whole, from, to, NULL);
	for (size_t limit = 1; limit < whole.len; limit++) {
		struct buf b = { .limit = limit };

		put_changes(&b, from, to, NULL);
		cr_assert(!buf_ok(&b), "%zu", limit);
		buf_fini(&b);
	}
	buf_fini(&whole);
	gucs_unref(from);
	gucs_unref(to);
}

Test(gucs, some_settings_make_other_constants)
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

	EACH(row, rows) {
		struct guc_store *own = guc_store_new(1, NULL);
		struct gucs *empty = gucs_empty(own);
		struct gucs *gucs = gucs_with(empty, row->name, row->value, GUC_OTHER);

		cr_expect_not(gucs_affect_plans(empty));
		cr_expect_eq(gucs_affect_plans(gucs), row->is_it, "%s", row->name);
		gucs_unref(gucs);
		gucs_unref(empty);
		guc_store_free(own);
	}
}

Test(gucs, has_the_context_of_another_that_sets_nothing_else)
{
	struct guc_store *own = guc_store_new(0, NULL);
	struct gucs *a = gucs_empty(own), *b = gucs_empty(own);

	cr_assert_eq(gucs_update(&b, "application_name", "psql", GUC_REPORTED), 0);
	cr_assert_eq(gucs_update(&b, "app.user_id", "7", GUC_OTHER), 0);
	cr_expect_eq(gucs_context(a), gucs_context(b));
	cr_assert_eq(gucs_update(&b, "work_mem", "8MB", GUC_OTHER), 0);
	cr_expect_neq(gucs_context(a), gucs_context(b), "plans depend on it");
	cr_assert_eq(gucs_update(&a, "Work_Mem", "8MB", GUC_OTHER), 0);
	cr_expect_eq(gucs_context(a), gucs_context(b));
	cr_expect(guc_affects_context("SEARCH_PATH"));
	cr_expect(guc_affects_context("plpgsql.variable_conflict"));
	cr_expect_not(guc_affects_context("Statement_timeout"));
	cr_expect_not(guc_affects_parsing_or_user("search_path"));
	cr_expect(guc_affects_parsing_or_user("datestyle"));
	gucs_unref(a);
	gucs_unref(b);
	guc_store_free(own);
}

Test(gucs, identifiers_are_quoted)
{
	struct buf b = { 0 };

	guc_put_identifier(&b, "a\"b\"\"", false);
	guc_put_identifier(&b, "a.b", false);
	guc_put_identifier(&b, "a.b", true);
	buf_put_u8(&b, 0);
	cr_expect_str_eq((char *)b.bytes, "\"a\"\"b\"\"\"\"\"\"a.b\"\"a\".\"b\"");
	buf_fini(&b);
}

Test(gucs, a_limit_is_short_below_50_ms)
{
	static const char *const shorts[] = { "49",   "49ms", " 1 ms", "0.04s",	     "49999 us",
					      "0x10", "",     "soon",  "1 fortnight" };
	static const char *const others[] = { "0", "50", "50ms", "1s", "1min", "1h", "1 d", "0s" };

	for (size_t i = 0; i < COUNT(shorts); i++)
		cr_expect(guc_is_short_limit(shorts[i]), "%s", shorts[i]);
	for (size_t i = 0; i < COUNT(others); i++)
		cr_expect_not(guc_is_short_limit(others[i]), "%s", others[i]);
}

static void
expect_entries(const struct gucs *gucs, const struct guc wanted[static 3])
{
	cr_assert_eq(gucs_count(gucs), 3);
	for (size_t i = 0; i < 3; i++) {
		const struct guc *s = gucs_at(gucs, i), *w = &wanted[i];

		cr_expect_str_eq(s->name, w->name);
		cr_expect_str_eq(s->value, w->value);
		cr_expect_eq(s->kind, w->kind, "%s", s->name);
	}
}

Test(gucs, a_copy_becomes_the_equal_gucs_of_another_store)
{
	struct guc_store *other = guc_store_new(12, NULL);
	struct gucs *gucs = gucs_empty(store), *copy, *twice, *equal = gucs_empty(other), *adopted;

	set(&gucs, "work_mem", "5MB", false);
	set(&gucs, "TimeZone", "UTC", true);
	set(&equal, "TimeZone", "UTC", true);
	set(&equal, "work_mem", "5MB", false);
	copy = gucs_copy(gucs);
	adopted = gucs_adopt(other, copy);
	cr_expect_eq(adopted, equal);
	gucs_unref(adopted);
	set(&gucs, "role", "web", false);
	copy = gucs_copy(gucs);
	twice = gucs_copy(copy);
	gucs_unref(gucs);
	gucs_unref(copy);
	adopted = gucs_adopt(other, twice);
	expect_entries(adopted, (struct guc[]){ { "role", "web", GUC_OTHER },
						{ "TimeZone", "UTC", GUC_REPORTED },
						{ "work_mem", "5MB", GUC_OTHER } });
	cr_expect(gucs_affect_plans(adopted), "and what is read off them is known");
	cr_expect_neq(adopted, equal);
	gucs_unref(adopted);
	gucs_unref(equal);
	cr_expect_eq(guc_store_count(other), 0);
	guc_store_free(other);
}
