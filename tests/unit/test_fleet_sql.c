/*
 * tests/unit/test_fleet_sql.c - what a fleet connection asks, as text, and rows of answers, well-formed and not. That
 * PostgreSQL takes it: tests/integration/operations/test_budget_sql.py. Links dedicated/fleet_sql.c, base and wire
 * alone.
 */
#include "dedicated/fleet_state.h"
#include "unit.h"

/* --- What it asks. --- */

/* Returns what is in b, a string from now on. */
static const char *
text_of(struct buf *b)
{
	buf_put_u8(b, 0);
	cr_assert(buf_ok(b));
	return (const char *)b->bytes;
}

#define END ") AS l OFFSET 0) AS c OFFSET 0) AS t"

static const struct {
	const char *rule, *users, *want; /* want: the array; NULL: all but superusers count */
} users[] = {
	{ "nobody named", "", NULL },
	{ "one", "app", "ARRAY[E'app']" },
	{ "several", "app,web,batch", "ARRAY[E'app',E'web',E'batch']" },
	{ "blanks around commas", " app , web\t,\tbatch ", "ARRAY[E'app',E'web',E'batch']" },
	{ "blanks within a name", "my app,a  b", "ARRAY[E'my app',E'a  b']" },
	{ "a quote", "o'neil", "ARRAY[E'o\\x27neil']" },
	{ "quotes alone", "','',a", "ARRAY[E'\\x27',E'\\x27\\x27',E'a']" },
	{ "double quotes are letters", "\"a\"", "ARRAY[E'\"a\"']" },
	{ "a backslash", "a\\b", "ARRAY[E'a\\x5cb']" },
	{ "backslash and quote", "\\'", "ARRAY[E'\\x5c\\x27']" },
	{ "a backslash at the end", "a\\,b", "ARRAY[E'a\\x5c',E'b']" },
	{ "not ASCII", "Jürgen,日", "ARRAY[E'J\\xc3\\xbcrgen',E'\\xe6\\x97\\xa5']" },
	{ "per cent is no directive", "%s%n,100%", "ARRAY[E'%s%n',E'100%']" },
	{ "braces and dollars", "{a},$1,$$", "ARRAY[E'{a}',E'$1',E'$$']" },
	{ "commas too many", ",a,,b,", "ARRAY[E'a',E'b']" },
	{ "nothing but commas", " , ,", NULL },
};

Test(fleet_sql, whose_connections_count_is_an_array_of_strings_that_no_setting_changes)
{
	EACH(row, users) {
		struct buf b = { 0 };
		const char *sql, *names, *end;
		size_t len = row->want == NULL ? 0 : strlen(row->want);

		fleet_put_first(&b, row->users);
		sql = text_of(&b);
		names = strstr(sql, "rolname = ANY (");
		end = strstr(sql, END);
		cr_assert(end != NULL && end[strlen(END)] == '\0', "%s: %s", row->rule, sql);
		cr_expect_eq(names == NULL, len == 0, "%s: %s", row->rule, sql);
		cr_expect_eq(strstr(sql, "rolsuper") == NULL, len > 0, "%s: %s", row->rule, sql);
		if (names != NULL && len > 0) {
			names += strlen("rolname = ANY (");
			cr_expect(strncmp(names, row->want, len) == 0 && strncmp(names + len, "))", 2) == 0 &&
				      names + len + 2 == end,
				  "%s: %s", row->rule, names);
		}
		buf_fini(&b);
	}
}

static struct fleet_member
self(void)
{
	return (struct fleet_member){ .name = "app-server1.4194304",
				      .budget = 90,
				      .used = 12,
				      .short_count = 3,
				      .is_in_use = true,
				      .report_digit = 7 };
}

#define SAID "SET " MESSAGE_OURS "application_name = 'pgweir budget 90 12 3 1 7 app-server1.4194304';"
#define LOOK "EXECUTE pgweir_marks;EXECUTE pgweir_grant(0, 2, 5, 88, 6);EXECUTE pgweir_members"

static const struct {
	const char *rule;
	struct fleet_question q;
	const char *want;
} questions[] = {
	{ "a look",
	  { .what = ASK_LOOK, .limit = 90, .expected = 6, .granted_not_logged_in = 2, .marked = 5 },
	  SAID LOOK },
	{ "who only looks is granted nothing",
	  { .what = ASK_LOOK, .want = 9, .limit = 90, .expected = 6, .granted_not_logged_in = 2, .marked = 5 },
	  SAID LOOK },
	{ "a grant, under the lock",
	  { .what = ASK_GRANT, .want = 16, .limit = 90, .expected = 6, .granted_not_logged_in = 2, .marked = 5 },
	  SAID "EXECUTE pgweir_lock;EXECUTE pgweir_marks;EXECUTE pgweir_grant(16, 2, 5, 88, 6)" },
	{ "of a limit that newcomers need, nothing is left",
	  { .what = ASK_GRANT, .want = 1, .limit = FLEET_RESERVED },
	  SAID "EXECUTE pgweir_lock;EXECUTE pgweir_marks;EXECUTE pgweir_grant(1, 0, 0, 0, 0)" },
	{ "of one that is not known, too",
	  { .what = ASK_GRANT, .want = 1 },
	  SAID "EXECUTE pgweir_lock;EXECUTE pgweir_marks;EXECUTE pgweir_grant(1, 0, 0, 0, 0)" },
	{ "the first one",
	  { .what = ASK_LOOK, .limit = 90, .expected = 6, .granted_not_logged_in = 2, .marked = 5, .is_first = true },
	  SAID LOOK ";LISTEN pgweir_budget" },
	{ "the bell",
	  { .what = ASK_LOOK,
	    .limit = 90,
	    .expected = 6,
	    .granted_not_logged_in = 2,
	    .marked = 5,
	    .wakes_others = true },
	  SAID LOOK ";NOTIFY pgweir_budget" },
	{ "all of it",
	  { .what = ASK_LOOK,
	    .limit = 90,
	    .expected = 6,
	    .granted_not_logged_in = 2,
	    .marked = 5,
	    .is_first = true,
	    .wakes_others = true },
	  SAID LOOK ";LISTEN pgweir_budget;NOTIFY pgweir_budget" },
};

Test(fleet_sql, each_question_is_one_query)
{
	EACH(row, questions) {
		struct fleet_question q = row->q;
		struct buf b = { 0 };
		const char *sql;

		q.self = self();
		fleet_put_question(&b, &q);
		sql = text_of(&b);
		cr_expect_str_eq(sql, row->want, "%s", row->rule);
		buf_fini(&b);
	}
}

/* A row under construction. */
static void
begin_row(struct buf *b, uint16_t columns)
{
	*b = (struct buf){ 0 };
	buf_put_u16(b, columns);
}

static void
put_column(struct buf *b, const char *text)
{
	buf_put_u32(b, text == NULL ? UINT32_MAX : (uint32_t)strlen(text));
	if (text != NULL)
		buf_put(b, text, strlen(text));
}

/* Reads it out of memory of its exact size, and frees it. */
static void
read_row(struct fleet_answer *a, struct buf *b)
{
	uint8_t *exact = malloc(b->len > 0 ? b->len : 1);

	cr_assert_not_null(exact);
	if (b->len > 0)
		memcpy(exact, b->bytes, b->len);
	fleet_read_row(a, exact, b->len);
	free(exact);
	buf_fini(b);
}

static void
read_locker(struct fleet_answer *a, const char *kind, const char *pid, const char *is_holder, const char *name,
	    const char *user)
{
	struct buf b;

	begin_row(&b, 5);
	put_column(&b, kind);
	put_column(&b, pid);
	put_column(&b, is_holder);
	put_column(&b, name);
	put_column(&b, user);
	read_row(a, &b);
}

static void
read_member(struct fleet_answer *a, const char *pid, const char *name)
{
	read_locker(a, "m", pid, "f", name, "pgweir");
}

/* Puts its application_name into name, as PostgreSQL keeps it. */
static void
said_of(const struct fleet_member *m, char name[static 256])
{
	struct fleet_question q = { .what = ASK_LOOK, .self = *m };
	struct buf b = { 0 };
	const char *begin;

	fleet_put_question(&b, &q);
	begin = strstr(text_of(&b), " = '");
	cr_assert_not_null(begin);
	snprintf(name, 256, "%.*s", (int)strcspn(begin + 4, "'"), begin + 4);
	buf_fini(&b);
}

Test(fleet_sql, others_read_what_it_says_whatever_the_numbers_are)
{
	static const uint32_t numbers[] = { 0, 1, 999, 1000000, 9999999, 10000000, UINT32_MAX };
	static const char *const names[] = { "app-server1.1", "app-server1.32768", "app-server1.4194304", "a.1",
					     ".4194304" };

	for (size_t i = 0; i < COUNT(numbers); i++)
		for (size_t k = 0; k < COUNT(names); k++) {
			uint32_t n = numbers[i], shown = n < 9999999 ? n : 9999999;
			struct fleet_member m = { .budget = n, .used = n, .short_count = n, .is_in_use = true };
			static struct fleet_answer a;
			char said[256];

			m.report_digit = (uint8_t)n;
			a.member_count = 0;
			snprintf(m.name, sizeof(m.name), "%s", names[k]);
			said_of(&m, said);
			cr_expect_leq(strlen(said), 63, "PostgreSQL would cut it: %s", said);
			read_member(&a, "77", said);
			cr_assert_eq(a.member_count, 1, "%s", said);
			cr_expect_str_eq(a.members[0].name, names[k], "%s", said);
			cr_expect_eq(a.members[0].pid, 77);
			cr_expect_eq(a.members[0].budget, shown, "%s", said);
			cr_expect_eq(a.members[0].used, shown, "%s", said);
			cr_expect_eq(a.members[0].short_count, shown, "%s", said);
			cr_expect(a.members[0].is_in_use);
			cr_expect_eq(a.members[0].report_digit, m.report_digit, "%s", said);
		}
}

/* --- Rows. --- */

#define ROW(bytes) bytes, sizeof(bytes) - 1
#define NULL_COLUMN "\xff\xff\xff\xff"
#define G "\0\0\0\1g"
#define W "\0\0\0\1w"
#define O "\0\0\0\1o"
#define S "\0\0\0\1s"
#define M "\0\0\0\1m"

struct seen {
	uint32_t listed, fleet_conns, granted, is_marked, is_counted, has_identity, pid, unreserved_slots, is_standby,
	    is_lock_held, lock_pid, members, strangers;
};

static const struct {
	const char *rule, *body;
	size_t len;
	struct seen want;
} rows[] = {
	{ "a count",
	  ROW("\0\6" G "\0\0\0\2"
	      "42\0\0\0\1"
	      "6\0\0\0\1"
	      "7\0\0\0\1t" NULL_COLUMN),
	  { .listed = 42, .fleet_conns = 6, .granted = 7, .is_marked = 1, .is_counted = 1 } },
	{ "a mark that did not come to stand",
	  ROW("\0\6" G "\0\0\0\2"
	      "42\0\0\0\1"
	      "6\0\0\0\1"
	      "7\0\0\0\1f" NULL_COLUMN),
	  { .listed = 42, .fleet_conns = 6, .granted = 7, .is_counted = 1 } },
	{ "a count cut short, before the mark",
	  ROW("\0\4" G "\0\0\0\2"
	      "42\0\0\0\1"
	      "6\0\0\0\1"
	      "7"),
	  { .listed = 42, .fleet_conns = 6, .granted = 7, .is_counted = 1 } },
	{ "a count of NULL", ROW("\0\5" G NULL_COLUMN NULL_COLUMN NULL_COLUMN NULL_COLUMN), { .is_counted = 1 } },
	{ "a count of nothing", ROW("\0\1" G), { .is_counted = 1 } },
	{ "a count that is no number",
	  ROW("\0\5" G "\0\0\0\4many\0\0\0\0\0\0\0\0\0\0\0\1t"),
	  { .is_marked = 1, .is_counted = 1 } },
	{ "counts that are none",
	  ROW("\0\5" G "\0\0\0\2-1\0\0\0\2-2\0\0\0\012"
	      "4294967295\0\0\0\1t"),
	  { .is_marked = 1, .is_counted = 1 } },
	{ "a count beyond all numbers",
	  ROW("\0\5" G "\0\0\0\36"
	      "999999999999999999999999999999\0\0\0\1"
	      "6\0\0\0\1"
	      "3\0\0\0\1t"),
	  { .fleet_conns = 6, .granted = 3, .is_marked = 1, .is_counted = 1 } },
	{ "who",
	  ROW("\0\4" W "\0\0\0\4"
	      "4321\0\0\0\1f\0\0\0\2"
	      "97"),
	  { .pid = 4321, .unreserved_slots = 97, .has_identity = 1 } },
	{ "who, on a standby",
	  ROW("\0\4" W "\0\0\0\4"
	      "4321\0\0\0\1t\0\0\0\2"
	      "97"),
	  { .pid = 4321, .unreserved_slots = 97, .is_standby = 1, .has_identity = 1 } },
	{ "who, with NULLs", ROW("\0\4" W NULL_COLUMN NULL_COLUMN NULL_COLUMN), { .has_identity = 1 } },
	{ "one of ours that is no member, and has the lock",
	  ROW("\0\5" O "\0\0\0\2"
	      "12\0\0\0\1t\0\0\0\1x\0\0\0\1u"),
	  { .lock_pid = 12, .is_lock_held = 1 } },
	{ "one of ours that has no lock that hinders",
	  ROW("\0\5" O "\0\0\0\2"
	      "12\0\0\0\1f\0\0\0\1x\0\0\0\1u"),
	  { 0 } },
	{ "a stranger who has the lock",
	  ROW("\0\5" S "\0\0\0\2"
	      "12\0\0\0\1t\0\0\0\1x\0\0\0\1u"),
	  { .lock_pid = 12, .is_lock_held = 1, .strangers = 1 } },
	{ "a stranger who calls himself a member",
	  ROW("\0\5" S "\0\0\0\1"
	      "5\0\0\0\1f\0\0\0\x1dpgweir budget 90 12 3 1 7 a.1\0\0\0\1u"),
	  { .strangers = 1 } },
	{ "a prepared transaction",
	  ROW("\0\5" S NULL_COLUMN "\0\0\0\1t" NULL_COLUMN NULL_COLUMN),
	  { .is_lock_held = 1, .strangers = 1 } },
	{ "a member",
	  ROW("\0\5" M "\0\0\0\1"
	      "5\0\0\0\1f\0\0\0\x1dpgweir budget 90 12 3 1 7 a.1\0\0\0\1u"),
	  { .members = 1 } },
	{ "a member who has the lock",
	  ROW("\0\5" M "\0\0\0\1"
	      "5\0\0\0\1t\0\0\0\x1dpgweir budget 90 12 3 1 7 a.1\0\0\0\1u"),
	  { .members = 1, .lock_pid = 5, .is_lock_held = 1 } },
	{ "a member without a name",
	  ROW("\0\3" M "\0\0\0\1"
	      "5\0\0\0\1f" NULL_COLUMN),
	  { 0 } },
	{ "a member whose name is not there",
	  ROW("\0\3" M "\0\0\0\1"
	      "5"),
	  { 0 } },
	{ "a name that lies beyond the row",
	  ROW("\0\4" M "\0\0\0\1"
	      "5\0\0\0\1f\0\0\0\x1epgweir budget 90 12 3 1 7 a.1"),
	  { 0 } },
	{ "one of ours with the lock that is no steward",
	  ROW("\0\4" M "\0\0\0\1"
	      "5\0\0\0\1f\0\0\0\4psql"),
	  { 0 } },
	{ "one that is nearly called so",
	  ROW("\0\4" M "\0\0\0\1"
	      "5\0\0\0\1f\0\0\0\x0dpgweir budget"),
	  { 0 } },
	{ "the number of columns is not believed",
	  ROW("\377\377" G "\0\0\0\2"
	      "42\0\0\0\1"
	      "6\0\0\0\1"
	      "7\0\0\0\1t"),
	  { .listed = 42, .fleet_conns = 6, .granted = 7, .is_marked = 1, .is_counted = 1 } },
	{ "what set_config() and locks return", ROW("\0\1\0\0\0\2read"), { 0 } },
	{ "a kind that is not known",
	  ROW("\0\2\0\0\0\1x\0\0\0\1"
	      "1"),
	  { 0 } },
	{ "a longer kind",
	  ROW("\0\2\0\0\0\2gg\0\0\0\1"
	      "1"),
	  { 0 } },
	{ "a kind that is NULL",
	  ROW("\0\2" NULL_COLUMN "\0\0\0\1"
	      "1"),
	  { 0 } },
	{ "an empty kind",
	  ROW("\0\2\0\0\0\0\0\0\0\1"
	      "1"),
	  { 0 } },
	{ "a kind that is longer than the row", ROW("\0\1\0\0\0\2g"), { 0 } },
	{ "a kind as long as can be said", ROW("\0\1\x7f\xff\xff\xffg"), { 0 } },
	{ "a length cut short", ROW("\0\1\0\0\0"), { 0 } },
	{ "no columns", ROW("\0\0"), { 0 } },
	{ "a count of columns cut short", ROW("\0"), { 0 } },
	{ "nothing", ROW(""), { 0 } },
};

static struct seen
seen_of(const struct fleet_answer *a)
{
	return (struct seen){ a->listed,
			      a->fleet_conns,
			      a->granted,
			      a->is_marked,
			      a->is_counted,
			      a->has_identity,
			      a->pid,
			      a->unreserved_slots,
			      a->is_standby,
			      a->is_lock_held,
			      a->lock_pid,
			      (uint32_t)a->member_count,
			      (uint32_t)a->stranger_count };
}

Test(fleet_sql, a_row_says_what_its_first_column_is_and_nothing_else)
{
	EACH(row, rows) {
		static struct fleet_answer a;
		struct buf b = { 0 };
		struct seen seen;

		memset(&a, 0, sizeof(a));
		buf_put(&b, row->body, row->len);
		read_row(&a, &b);
		seen = seen_of(&a);
		cr_expect(memcmp(&seen, &row->want, sizeof(seen)) == 0,
			  "%s: listed %u, granted %u, marked %u, counted %u, who %u, pid %u, most %u, standby %u, held "
			  "%u, lock %u, members %u, strangers %u, stewards %u",
			  row->rule, seen.listed, seen.granted, seen.is_marked, seen.is_counted, seen.has_identity,
			  seen.pid, seen.unreserved_slots, seen.is_standby, seen.is_lock_held, seen.lock_pid,
			  seen.members, seen.strangers, seen.fleet_conns);
	}
}

Test(fleet_sql, rows_of_one_answer_add_up)
{
	static struct fleet_answer a;

	read_locker(&a, "s", "99", "t", "psql", "mallory");
	read_locker(&a, "s", "98", "t", "", "o'neil");
	read_member(&a, "5", "pgweir budget 90 12 3 1 7 a.1");
	read_member(&a, "6", "pgweir budget 80 0 0 0 0 b.2");
	cr_expect_eq(a.lock_pid, 99, "the first one");
	cr_assert_eq(a.stranger_count, 2);
	cr_expect_str_eq(a.strangers[0].user, "mallory");
	cr_expect_str_eq(a.strangers[0].application, "psql");
	cr_expect_str_eq(a.strangers[1].user, "o'neil");
	cr_assert_eq(a.member_count, 2);
	cr_expect_eq(a.members[0].pid, 5);
	cr_expect_eq(a.members[1].pid, 6);
	cr_expect_eq(a.members[1].budget, 80);
	cr_expect_not(a.members[1].is_in_use);
	cr_expect_str_eq(a.members[1].name, "b.2");
}

static const struct {
	const char *rule, *said;
	struct fleet_member want;
} members[] = {
	{ "nothing behind its name", "pgweir budget ", { .budget = 0 } },
	{ "numbers without a name",
	  "pgweir budget 1 2 3 1 5",
	  { .budget = 1, .used = 2, .short_count = 3, .report_digit = 5, .is_in_use = true } },
	{ "too few numbers", "pgweir budget 1 2", { .budget = 1, .used = 2 } },
	{ "words", "pgweir budget many", { .name = "many" } },
	{ "numbers that would add up to more than there are",
	  "pgweir budget 4294967295 4294967295 4294967295 4294967295 9 x",
	  { .report_digit = 9, .name = "x" } },
	{ "numbers beyond all",
	  "pgweir budget 99999999999999999999999999999999999 1 1 1 1 x",
	  { .used = 1, .short_count = 1, .is_in_use = true, .report_digit = 1, .name = "x" } },
	{ "less than none", "pgweir budget -1 -2 -3 -4 -5 x", { .name = "x" } },
	{ "a longer name than there is room for",
	  "pgweir budget 1 1 1 1 1 0123456789012345678901234567890123456789012345678",
	  { .budget = 1,
	    .used = 1,
	    .short_count = 1,
	    .is_in_use = true,
	    .report_digit = 1,
	    .name = "012345678901234567890123456789012345678" } },
	{ "directives",
	  "pgweir budget 1 1 1 1 1 %n%s",
	  { .budget = 1, .used = 1, .short_count = 1, .is_in_use = true, .report_digit = 1, .name = "%n%s" } },
};

Test(fleet_sql, anybody_may_call_himself_a_member)
{
	EACH(row, members) {
		static struct fleet_answer a;
		const struct fleet_member *want = &row->want, *m = &a.members[0];

		a.member_count = 0;
		read_member(&a, "5", row->said);
		cr_assert_eq(a.member_count, 1, "%s", row->rule);
		cr_expect_eq(m->budget, want->budget, "%s: %u", row->rule, m->budget);
		cr_expect_eq(m->used, want->used, "%s: %u", row->rule, m->used);
		cr_expect_eq(m->short_count, want->short_count, "%s: %u", row->rule, m->short_count);
		cr_expect_eq(m->is_in_use, want->is_in_use, "%s", row->rule);
		cr_expect_eq(m->report_digit, want->report_digit, "%s: %u", row->rule, m->report_digit);
		cr_expect_str_eq(m->name, want->name, "%s", row->rule);
	}
}

Test(fleet_sql, a_column_longer_than_any_of_ours_is_skipped)
{
	static struct fleet_answer a;
	char longest[300];
	struct buf b;

	memset(longest, '1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	begin_row(&b, 5);
	put_column(&b, "g");
	put_column(&b, longest);
	put_column(&b, "6");
	put_column(&b, "4");
	put_column(&b, "t");
	read_row(&a, &b);
	cr_expect_eq(a.listed, 0);
	cr_expect_eq(a.fleet_conns, 6);
	cr_expect_eq(a.granted, 4, "the columns behind it are read");
	cr_expect(a.is_marked);
}

Test(fleet_sql, strangers_beyond_the_most_are_left_out)
{
	static struct fleet_answer a;

	for (unsigned i = 0; i < FLEET_STRANGERS_MAX + 3; i++)
		read_locker(&a, "s", "7", "f", "x", "u");
	cr_expect_eq(a.stranger_count, FLEET_STRANGERS_MAX);
	cr_expect_eq(a.member_count, 0);
}

Test(fleet_sql, members_beyond_the_most_are_left_out)
{
	static struct fleet_answer a;

	for (unsigned i = 0; i < FLEET_MEMBERS_MAX + 3; i++) {
		char pid[16];

		snprintf(pid, sizeof(pid), "%u", i + 1);
		read_member(&a, pid, "pgweir budget 16777214 16777214 16777214 1 1 x");
	}
	cr_assert_eq(a.member_count, FLEET_MEMBERS_MAX);
	cr_expect_eq(a.members[FLEET_MEMBERS_MAX - 1].pid, FLEET_MEMBERS_MAX);
	uint32_t used = 0;
	for (size_t i = 0; i < a.member_count; i++) {
		cr_assert(used + a.members[i].used >= used, "what they have together is a number");
		used += a.members[i].used;
	}
}
