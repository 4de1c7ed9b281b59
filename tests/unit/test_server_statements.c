/*
 * tests/unit/test_server_statements.c - what a server connection has prepared: each story is a line of words. Links
 * only server/server_statements.c.
 *
 * "P1" sends the Parse of statement 1, "C1" its Close; "p1", "c1" is their reply, "xp1", "xc1" says that they failed or
 * were skipped; "D1" deallocates it, "D*" all, "X" clears; "+" is a Sync. Then "a1", "t1", "u1" use it and
 * expect it absent, there, unsure; "o1" expects 1 as the oldest that nothing is under way of ("o0": none); "=2" that
 * there are two.
 */
#include "server/server_statements.h"
#include "unit.h"

static const struct {
	const char *rule, *story;
} rows[] = {
	{ "at first there is nothing", "a1 o0 =0" },
	{ "what was sent is there for what stands with it", "P1 t1 =1 o0" },
	{ "not for what comes after a Sync", "P1 + u1" },
	{ "until its reply has come", "P1 + p1 t1 + t1 o1" },
	{ "a Parse that failed", "P1 xp1 a1 =0" },
	{ "a Parse that failed is no business of others", "P1 P2 xp1 t2 a1 =1" },
	{ "what is closed is gone for what stands with it", "P1 p1 C1 a1 o0 =0" },
	{ "after a Sync nobody knows", "P1 p1 C1 + u1 =0" },
	{ "until that is answered", "P1 p1 C1 + c1 a1 =0" },
	{ "a Close that was skipped: it is there still", "P1 p1 C1 + xc1 t1 o1 =1" },
	{ "closed and prepared again", "P1 p1 C1 P1 t1 =1 c1 p1 + t1 =1" },
	{ "both were skipped", "P1 p1 C1 P1 xc1 xp1 + t1 o1 =1" },
	{ "the second was", "P1 p1 C1 P1 c1 xp1 + a1 =0" },
	{ "prepared and closed at once", "P1 C1 a1 =0 p1 c1 + a1 =0 o0" },
	{ "both were skipped, it was never there", "P1 C1 xp1 xc1 a1 =0" },
	{ "the Close was", "P1 C1 p1 xc1 t1 =1 o1" },
	{ "first of two Parses that were sent while unsure fails", "P1 + P1 xp1 p1 t1 =1" },
	{ "the second fails, as the first went well", "P1 + P1 p1 xp1 t1 =1" },
	{ "what is under way is unsure until all of it is answered", "P1 + P1 p1 + u1 p1 t1" },
	{ "a reply nobody waits for changes nothing", "p1 a1 P1 p1 p1 c1 xc1 xp1 t1 =1" },
	{ "what is not there can't go", "D1 C1 c1 =0 a1" },
	{ "perhaps deallocated: absent, until it is closed and prepared anew",
	  "P1 p1 P2 p2 D1 a1 t2 =2 C1 P1 c1 p1 t1 =2" },
	{ "and absent still if that was skipped", "P1 p1 D1 C1 P1 xc1 xp1 a1 =1 O1" },
	{ "all are deallocated", "P1 p1 P2 p2 D* a1 a2 =0 o0" },
	{ "but those on their way come after that", "P1 p1 P2 P3 D* a1 t2 =2 xp3 p2 t2 a3 =1" },
	{ "by last use", "P1 p1 P2 p2 P3 p3 o1 t1 o2 t2 o3 t1 o3 C3 c3 o2" },
	{ "using the newest changes nothing", "P1 p1 P2 p2 t2 o1" },
	{ "using the oldest of two", "P1 p1 P2 p2 t1 o2" },
	{ "using the one in the middle", "P1 p1 P2 p2 P3 p3 t2 o1 C1 c1 o3 C3 c3 o2 C2 c2 o0 =0" },
	{ "those on their way are never the oldest", "P1 P2 p2 o2 p1 o1" },
	{ "nor those that are being closed", "P1 p1 P2 p2 C1 o2 xc1 o1" },
	{ "outdated: absent, until it is closed and prepared anew", "P1 p1 O1 a1 =1 C1 P1 t1 c1 p1 t1 =1" },
	{ "and absent still if that was skipped", "P1 p1 O1 C1 P1 xc1 xp1 a1 =1 C1 P1 c1 p1 t1" },
	{ "what is prepared later is not", "P1 p1 O1 P2 p2 t2 a1" },
	{ "on its way when that happened", "P1 O1 p1 a1" },
	{ "a new connection", "P1 p1 P2 X a1 a2 o0 =0 P1 t1" },
};

static void
expect_use(struct server_statements *s, uint64_t id, uint32_t sync_no, enum statement_presence want, const char *rule)
{
	cr_expect_eq(server_statements_use(s, id, sync_no), want, "%s: %llu", rule, (unsigned long long)id);
}

static void
step(struct server_statements *s, const char *word, uint32_t *sync_no, const char *rule)
{
	bool is_done = word[0] != 'x';
	uint64_t id = strtoull(word + (is_done ? 1 : 2), NULL, 10), oldest = 0;

	switch (word[is_done ? 0 : 1]) {
	case 'P':
		cr_assert_eq(server_statements_note_parse(s, id, *sync_no), 0);
		break;
	case 'O':
		server_statements_outdate(s);
		break;
	case 'C':
		server_statements_note_close(s, id, *sync_no);
		break;
	case 'p':
	case 'c':
		server_statements_note_end(s, id, word[is_done ? 0 : 1] == 'c', is_done);
		break;
	case 'D':
		if (word[1] == '*')
			server_statements_forget_all(s);
		else
			server_statements_outdate_one(s, id);
		break;
	case 'X':
		server_statements_clear(s);
		break;
	case '+':
		++*sync_no;
		break;
	case 'a':
		expect_use(s, id, *sync_no, STATEMENT_ABSENT, rule);
		break;
	case 't':
		expect_use(s, id, *sync_no, STATEMENT_THERE, rule);
		break;
	case 'u':
		expect_use(s, id, *sync_no, STATEMENT_UNSURE, rule);
		break;
	case 'o':
		cr_expect_eq(server_statements_find_lru(s, &oldest), id != 0, "%s: at %s", rule, word);
		cr_expect_eq(oldest, id, "%s: at %s", rule, word);
		break;
	case '=':
		cr_expect_eq(s->count, id, "%s: at %s: %u", rule, word, s->count);
		break;
	default:
		cr_assert_fail("%s: no such step: %s", rule, word);
	}
}

Test(server_statements, stories)
{
	EACH(row, rows) {
		struct server_statements s = { 0 };
		char copy[256], *save = NULL;
		uint32_t sync_no = 5;

		snprintf(copy, sizeof(copy), "%s", row->story);
		for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
			step(&s, word, &sync_no, row->rule);
		server_statements_clear(&s);
		cr_expect_eq(s.count, 0, "%s", row->rule);
	}
}

/* Against an array in order of use. */
Test(server_statements, many_in_random_order)
{
	enum { IDS = 300 };
	struct server_statements s = { 0 };
	uint64_t order[IDS], random = 88172645463325252ull, oldest;
	uint32_t count = 0;

	for (int turn = 0; turn < 20000; turn++) {
		uint64_t id;
		uint32_t at = 0;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		id = 1 + random % IDS;
		while (at < count && order[at] != id)
			at++;
		cr_assert_eq(server_statements_use(&s, id, 1), at < count ? STATEMENT_THERE : STATEMENT_ABSENT);
		if (at == count) {
			cr_assert_eq(server_statements_note_parse(&s, id, 1), 0);
			server_statements_note_end(&s, id, false, true);
			order[count++] = id;
		} else {
			memmove(&order[at], &order[at + 1], (count - at - 1) * sizeof(order[0]));
			order[count - 1] = id;
		}
		if ((random >> 40) % 2 == 0) {
			cr_assert(server_statements_find_lru(&s, &oldest));
			cr_assert_eq(oldest, order[0]);
			server_statements_note_close(&s, oldest, 1);
			server_statements_note_end(&s, oldest, true, true);
			memmove(&order[0], &order[1], --count * sizeof(order[0]));
		}
		cr_assert_eq(s.count, count);
	}
	server_statements_clear(&s);
}
