/*
 * tests/unit/test_commit_fate.c - what has become of a transaction: every way in which a database cluster may have gone
 * on since, and what follows from it. The integration tests have some of these with real clusters.
 */
#include "session/commit_fate.h"
#include "unit.h"

/* Where the transaction ran: it has never been in recovery. */
static const struct cluster_mark then = { .system_id = 7, .started_us = 100, .timeline = 1 };
static const struct commit_mark early = { .xid = 700, .lsn = 0x5000 };
static const struct commit_mark final = { .xid = 700, .lsn = 0x5000, .is_final = true };

static const struct cluster_lives none_seen;

static const struct {
	const char *story;
	const struct commit_mark *mark;
	struct fate_answer now;
	enum commit_fate want;
} rows[] = {
	{ "committed, and only the connection was lost",
	  &early,
	  { { 7, 100, 0, 0, 1, false }, 0x1000, 500, 701, XACT_COMMITTED },
	  FATE_COMMITTED },
	{ "its backend has seen the end of the connection first",
	  &early,
	  { { 7, 100, 0, 0, 1, false }, 0x1000, 500, 701, XACT_ABORTED },
	  FATE_ROLLED_BACK },
	{ "its backend is still at it",
	  &early,
	  { { 7, 100, 0, 0, 1, false }, 0x1000, 500, 700, XACT_IN_PROGRESS },
	  FATE_AGAIN },
	{ "so long ago that nobody remembers",
	  &early,
	  { { 7, 100, 0, 0, 1, false }, 0x1000, 500, 900, XACT_UNKNOWN },
	  FATE_UNKNOWN },
	{ "another cluster answers",
	  &final,
	  { { 8, 100, 0, 0, 1, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_UNKNOWN },
	{ "a standby answers: it may not have replayed it yet",
	  &final,
	  { { 7, 300, 0x6000, 0x6000, 0, true }, 0x1000, 500, 900, XACT_IN_PROGRESS },
	  FATE_AGAIN },
	{ "a standby says aborted",
	  &final,
	  { { 7, 300, 0x6000, 0x6000, 0, true }, 0x1000, 500, 900, XACT_ABORTED },
	  FATE_AGAIN },

	{ "restarted in order",
	  &early,
	  { { 7, 200, 0, 0, 1, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_COMMITTED },
	{ "restarted in order, before the COMMIT was read",
	  &early,
	  { { 7, 200, 0, 0, 1, false }, 0x1000, 500, 900, XACT_ABORTED },
	  FATE_ROLLED_BACK },

	{ "crashed: the log was kept",
	  &final,
	  { { 7, 200, 0x5100, 0, 1, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_COMMITTED },
	{ "crashed: kept to the byte",
	  &final,
	  { { 7, 200, 0x5000, 0, 1, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_COMMITTED },
	{ "crashed: cut off, and its number was given to another transaction, which committed",
	  &final,
	  { { 7, 200, 0x4fff, 0, 1, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_ROLLED_BACK },
	{ "the same, known early",
	  &early,
	  { { 7, 200, 0x4fff, 0, 1, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_ROLLED_BACK },
	{ "crashed: it may have written only temporary tables before its mark, and its number be another's",
	  &early,
	  { { 7, 200, 0x5100, 0, 1, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_UNKNOWN },
	{ "crashed: known early, but the checkpoint tells",
	  &early,
	  { { 7, 200, 0x5100, 0, 1, false }, 0x5118, 701, 900, XACT_COMMITTED },
	  FATE_COMMITTED },
	{ "crashed: the checkpoint tells that its number is another's",
	  &early,
	  { { 7, 200, 0x5100, 0, 1, false }, 0x5100, 700, 900, XACT_COMMITTED },
	  FATE_ROLLED_BACK },
	{ "crashed: that is a later checkpoint",
	  &early,
	  { { 7, 200, 0x5100, 0, 1, false }, 0x5180, 701, 900, XACT_COMMITTED },
	  FATE_UNKNOWN },
	{ "crashed within the same postmaster",
	  &final,
	  { { 7, 100, 0x5100, 0, 1, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_COMMITTED },
	{ "crashed: its number was not given yet",
	  &final,
	  { { 7, 200, 0x4000, 0, 1, false }, 0x1000, 500, 700, XACT_IN_PROGRESS },
	  FATE_ROLLED_BACK },
	{ "crashed: its number is given to one that runs now",
	  &final,
	  { { 7, 200, 0x4000, 0, 1, false }, 0x1000, 500, 900, XACT_IN_PROGRESS },
	  FATE_ROLLED_BACK },
	{ "crashed: rolled back, or its number's next owner was",
	  &early,
	  { { 7, 200, 0x5100, 0, 1, false }, 0x1000, 500, 900, XACT_ABORTED },
	  FATE_ROLLED_BACK },

	{ "promoted: it had come to the standby",
	  &final,
	  { { 7, 300, 0x5100, 0x5100, 2, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_COMMITTED },
	{ "promoted: it had not, and its number was given again",
	  &final,
	  { { 7, 300, 0x4f00, 0x4f00, 2, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_ROLLED_BACK },
	{ "promoted: it had not",
	  &final,
	  { { 7, 300, 0x4f00, 0x4f00, 2, false }, 0x1000, 500, 700, XACT_IN_PROGRESS },
	  FATE_ROLLED_BACK },
	{ "promoted: all but its commit had come",
	  &final,
	  { { 7, 300, 0x5000, 0x5000, 2, false }, 0x1000, 500, 900, XACT_ABORTED },
	  FATE_ROLLED_BACK },
	{ "promoted and crashed since: the cut is not known any more",
	  &final,
	  { { 7, 300, 0x5100, 0, 2, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_UNKNOWN },
	{ "promoted and crashed since, but before its mark",
	  &final,
	  { { 7, 300, 0x4f00, 0, 2, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_ROLLED_BACK },
	{ "promoted and restarted since",
	  &final,
	  { { 7, 300, 0, 0, 2, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_UNKNOWN },
	{ "promoted twice",
	  &final,
	  { { 7, 300, 0x5100, 0x5100, 3, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_UNKNOWN },
	{ "promoted twice, the first time before its mark",
	  &final,
	  { { 7, 300, 0x4f00, 0x4f00, 3, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_ROLLED_BACK },
	{ "restored to an earlier time",
	  &final,
	  { { 7, 300, 0x5100, 0, 0, false }, 0x1000, 500, 900, XACT_COMMITTED },
	  FATE_UNKNOWN },
};

Test(commit_fate, rows)
{
	EACH(row, rows) {
		const char *reason = NULL;

		cr_expect_eq(fate_judge(&then, row->mark, &row->now, &none_seen, &reason), row->want, "%s: %s",
			     row->story, reason);
		cr_expect_not_null(reason);
	}
}

Test(commit_fate, a_primary_that_has_recovered_before_is_the_same_only_with_that_recovery)
{
	struct cluster_mark recovered = then;
	struct fate_answer now = { .cluster = then, .xmax = 900, .status = XACT_COMMITTED };
	const char *reason;

	recovered.replayed = now.cluster.replayed = 0x3000;
	cr_expect_eq(fate_judge(&recovered, &early, &now, &none_seen, &reason), FATE_COMMITTED);
	now.cluster.replayed = 0x4000;
	cr_expect_eq(fate_judge(&recovered, &early, &now, &none_seen, &reason), FATE_ROLLED_BACK,
		     "it has crashed since");
}

Test(commit_fate, lives_in_between_count)
{
	struct fate_answer now = { .cluster = then, .next_xid = 900, .xmax = 900, .status = XACT_COMMITTED };
	struct cluster_lives lives = { 0 };
	struct cluster_mark life = then, other = then;
	const char *reason;

	now.cluster.replayed = now.checkpoint = 0x6000;
	cluster_lives_add(&lives, &then);
	cr_expect_eq(fate_judge(&then, &early, &now, &lives, &reason), FATE_COMMITTED, "one crash, as far as is known");
	life.replayed = 0x4f00;
	cluster_lives_add(&lives, &life);
	cr_expect_eq(fate_judge(&then, &early, &now, &lives, &reason), FATE_ROLLED_BACK,
		     "the first of two crashes has cut it off; now its number is another's");
	cr_expect_eq(fate_judge(&life, &early, &now, &lives, &reason), FATE_COMMITTED, "it ran after that one");

	memset(&lives, 0, sizeof(lives));
	life.replayed = 0x5800;
	cluster_lives_add(&lives, &life);
	other.system_id = 8;
	other.replayed = 0x4000;
	cluster_lives_add(&lives, &other);
	cr_expect_eq(fate_judge(&then, &final, &now, &lives, &reason), FATE_COMMITTED, "both crashes have kept it");
	cr_expect_eq(fate_judge(&then, &early, &now, &lives, &reason), FATE_UNKNOWN,
		     "the checkpoint tells of the second crash only");
}

Test(commit_fate, a_promoted_server_may_be_restarted_if_it_was_seen_before)
{
	struct fate_answer now = { { 7, 400, 0, 0, 2, false }, 0, 0, 900, XACT_COMMITTED };
	const struct cluster_mark promoted = { 7, 300, 0x5100, 0x5100, 2, false };
	struct cluster_lives lives = { 0 };
	const char *reason;

	cr_expect_eq(fate_judge(&then, &final, &now, &lives, &reason), FATE_UNKNOWN);
	cluster_lives_add(&lives, &promoted);
	cr_expect_eq(fate_judge(&then, &final, &now, &lives, &reason), FATE_COMMITTED);
	now.cluster.replayed = 0x7000;
	cr_expect_eq(fate_judge(&then, &final, &now, &lives, &reason), FATE_COMMITTED, "or have crashed");
}

Test(commit_fate, the_latest_lives_are_remembered)
{
	struct cluster_lives lives = { 0 };
	struct cluster_mark life = then;

	for (unsigned i = 0; i < 2 * LIVES_MAX; i++) {
		life.replayed = 0x1000 + i;
		cluster_lives_add(&lives, &life);
		cluster_lives_add(&lives, &life);
	}
	cr_expect_eq(lives.count, LIVES_MAX);
	for (unsigned i = 0; i < LIVES_MAX; i++)
		cr_expect_geq(lives.seen[i].replayed, 0x1000 + LIVES_MAX);
	memset(&lives, 0, sizeof(lives));
	life.is_standby = true;
	cluster_lives_add(&lives, &life);
	cr_expect_eq(lives.count, 0, "it has not begun to give numbers");
}

static const uint8_t *
row(struct buf *b, const char *const *values, size_t count, size_t *len)
{
	buf_fini(b);
	buf_put_u16(b, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		buf_put_u32(b, values[i] == NULL ? UINT32_MAX : (uint32_t)strlen(values[i]));
		buf_put(b, values[i], values[i] == NULL ? 0 : strlen(values[i]));
	}
	*len = b->len;
	return b->bytes;
}

Test(commit_fate, answers_are_read)
{
	static const char *const mark[] = { "725", "0/1517440" }, *const none[] = { NULL, "0/1517440" };
	static const char *const standby[] = { NULL, NULL }, *const no_lsn[] = { "725", NULL };
	static const char *const primary[] = {
		"7710518183334534989", "1795244923683127", "0/3000150", NULL, "0000001A", "f", "0/3000180", "1:728",
		"4294967301",	       "committed"
	};
	static const char *const cluster[] = { "7", "5", NULL, NULL, "00000001", "f", NULL, "0/1517440" };
	struct commit_mark m;
	struct fate_answer a;
	struct cluster_mark c;
	struct buf b = { 0 };
	const uint8_t *body;
	size_t len;

	body = row(&b, mark, 2, &len);
	cr_expect(fate_read_mark(body, len, &m));
	cr_expect_eq(m.xid, 725);
	cr_expect_eq(m.lsn, 0x1517440);
	for (size_t cut = 0; cut < len; cut++)
		cr_expect_not(fate_read_mark(body, cut, &m), "%zu bytes", cut);
	body = row(&b, none, 2, &len);
	cr_expect(fate_read_mark(body, len, &m));
	cr_expect_eq(m.xid, 0, "it has written nothing");
	body = row(&b, standby, 2, &len);
	cr_expect(fate_read_mark(body, len, &m));
	body = row(&b, no_lsn, 2, &len);
	cr_expect_not(fate_read_mark(body, len, &m));

	body = row(&b, primary, 10, &len);
	cr_expect(fate_read_answer(body, len, &a));
	cr_expect_eq(a.cluster.system_id, 7710518183334534989u);
	cr_expect_eq(a.cluster.started_us, 1795244923683127u);
	cr_expect_eq(a.cluster.replayed, 0x3000150);
	cr_expect_eq(a.cluster.received, 0);
	cr_expect_eq(a.cluster.timeline, 26);
	cr_expect_not(a.cluster.is_standby);
	cr_expect_eq(a.xmax, 4294967301u, "with its epoch");
	cr_expect_eq(a.status, XACT_COMMITTED);
	cr_expect_eq(a.checkpoint, 0x3000180);
	cr_expect_eq(a.next_xid, 4294968024u);
	for (size_t cut = 0; cut < len; cut++)
		cr_expect_not(fate_read_answer(body, cut, &a), "%zu bytes", cut);
	body = row(&b, cluster, 8, &len);
	cr_expect(cluster_mark_read(body, len, &c));
	cr_expect_eq(c.system_id, 7);
	cr_expect_eq(c.timeline, 1);
	for (size_t cut = 0; cut < len; cut++)
		cr_expect_not(cluster_mark_read(body, cut, &c), "%zu bytes", cut);
	buf_fini(&b);
}

Test(commit_fate, the_questions_name_the_transaction)
{
	struct buf b = { 0 };

	fate_put_status_question(&b, 4294967301u, 26);
	buf_put_u8(&b, 0);
	cr_expect_not_null(strstr((const char *)b.bytes, "'0000001A'"), "as in the name of a log file");
	cr_expect_not_null(strstr((const char *)b.bytes, "pg_xact_status('4294967301')"));
	buf_fini(&b);
	fate_put_end(&b, 4294967301u, 4711);
	buf_put_u8(&b, 0);
	cr_expect_not_null(strstr((const char *)b.bytes, "4711"));
	cr_expect_not_null(strstr((const char *)b.bytes, "'5'::pg_catalog.xid"), "a backend_xid has no epoch");
	buf_fini(&b);
}
