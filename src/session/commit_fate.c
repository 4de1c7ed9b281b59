#include "session/commit_fate.h"
#include "wire/fields.h"
#include "wire/messages.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- the questions --- */

#define IN_RECOVERY "pg_catalog.pg_is_in_recovery()"
#define LSN "CASE WHEN " IN_RECOVERY " THEN NULL ELSE pg_catalog.pg_current_wal_insert_lsn() END"
#define XID "pg_catalog.pg_current_xact_id_if_assigned()"
#define TIMELINE                                                                                                       \
	"CASE WHEN " IN_RECOVERY " THEN NULL ELSE pg_catalog.\"left\"("                                                \
	"pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) END"
#define CLUSTER                                                                                                        \
	"(SELECT c.system_identifier FROM pg_catalog.pg_control_system() c),"                                          \
	" CAST(pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())"                                   \
	" OPERATOR(pg_catalog.*) 1000000 AS pg_catalog.int8),"                                                         \
	" pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_last_wal_receive_lsn(),"                                  \
	" " TIMELINE ", " IN_RECOVERY
#define XMAX "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"
#define STANDBYS "pg_catalog.current_setting('synchronous_standby_names')"
#define SYNCHRONOUS "pg_catalog.current_setting('synchronous_commit')"
#define WAITS                                                                                                          \
	"pg_catalog.set_config('synchronous_commit', CASE WHEN " SYNCHRONOUS                                           \
	" OPERATOR(pg_catalog.~) '^(off|local)$' THEN 'on' ELSE " SYNCHRONOUS " END, true)"
#define WRITES "pg_catalog.pg_logical_emit_message(true, 'pgweir', '')"

/* This question has the columns of fate_mark_question as well, so if the right to read one of the columns is missing,
 * this question fails, before any transaction. */
const char cluster_question[] = "SELECT " MESSAGE_OURS CLUSTER ", " XID ", " LSN;
const char fate_mark_question[] = "SELECT " MESSAGE_OURS XID ", " LSN;

/*
 * COMMIT promises more than that a transaction is committed on the primary. If the connection is lost, or PostgreSQL is
 * restarted, while the COMMIT waits for a synchronous standby, the transaction becomes visible to all clients, but is
 * gone if that standby takes over. So the question itself writes something: like any transaction that writes, the
 * question ends only when the standbys have confirmed its writes and all earlier ones. An answer from a standby that
 * has taken over needs no such proof.
 */
void
fate_put_status_question(struct buf *sql, uint64_t xid, uint32_t timeline)
{
	buf_printf(sql,
		   "SELECT " MESSAGE_OURS CLUSTER ", k.checkpoint_lsn, k.next_xid, " XMAX ","
		   " CASE WHEN s.status OPERATOR(pg_catalog.=) 'committed'"
		   " AND " STANDBYS " OPERATOR(pg_catalog.<>) ''"
		   " AND " TIMELINE " OPERATOR(pg_catalog.=) '%08" PRIX32 "'"
		   " THEN CASE WHEN " WAITS " IS NULL OR " WRITES " IS NULL THEN NULL ELSE s.status END"
		   " ELSE s.status END"
		   " FROM pg_catalog.pg_control_checkpoint() k,"
		   " (SELECT CASE WHEN '%" PRIu64 "'::pg_catalog.xid8 OPERATOR(pg_catalog.<) " XMAX
		   " THEN pg_catalog.pg_xact_status('%" PRIu64 "') ELSE 'in progress' END OFFSET 0) s(status)",
		   timeline, xid, xid);
}

/* Does not end a backend that waits for a synchronous standby: that would commit its work without the standby. */
void
fate_put_end(struct buf *sql, uint64_t xid, uint32_t pid)
{
	buf_printf(sql,
		   "SELECT " MESSAGE_OURS "pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a"
		   " WHERE a.pid OPERATOR(pg_catalog.=) %" PRIu32 " AND a.backend_xid OPERATOR(pg_catalog.=) '%" PRIu32
		   "'::pg_catalog.xid"
		   " AND a.wait_event OPERATOR(pg_catalog.=) 'ClientRead'",
		   pid, (uint32_t)xid);
}

/* --- the answers --- */

#define COLUMNS_MAX 10
#define COLUMN_LEN 32 /* bytes, with terminator; all values that pgweir asks for are shorter */

struct row {
	char text[COLUMNS_MAX][COLUMN_LEN]; /* "" for NULL */
};

static bool
read_row(const uint8_t *body, size_t len, struct row *row, unsigned wanted)
{
	struct value_list values;
	const uint8_t *value;
	size_t n;

	memset(row, 0, sizeof(*row));
	if (fields_begin_row(body, len, &values) != wanted)
		return false;
	for (unsigned i = 0; i < wanted; i++) {
		if (!fields_next_value(&values, &value, &n) || n >= COLUMN_LEN)
			return false;
		if (value != NULL)
			memcpy(row->text[i], value, n);
	}
	return values.at == values.end;
}

/* Returns the number in the text of a column; 0 for NULL and for text that is not a number. */
static uint64_t
read_number(const struct row *row, unsigned column, int base)
{
	return strtoull(row->text[column], NULL, base);
}

/* Returns the two numbers of 32 bits in the text as one of 64 bits; 0 if the separator is missing. */
static uint64_t
read_pair(const struct row *row, unsigned column, char separator, int base)
{
	char *rest;
	uint64_t high = strtoull(row->text[column], &rest, base);

	return *rest == separator ? high << 32 | (uint32_t)strtoull(rest + 1, NULL, base) : 0;
}

/* Returns the position in a pg_lsn as PostgreSQL writes it: "16/B374D848". */
static uint64_t
read_position(const struct row *row, unsigned column)
{
	return read_pair(row, column, '/', 16);
}

enum { C_SYSTEM, C_STARTED, C_REPLAYED, C_RECEIVED, C_TIMELINE, C_STANDBY, C_COUNT };
enum { C_CHECKPOINT = C_COUNT, C_NEXT_XID, C_XMAX, C_STATUS, C_ANSWER_COUNT };

static bool
take_cluster(const struct row *row, struct cluster_mark *out)
{
	out->system_id = read_number(row, C_SYSTEM, 10);
	out->started_us = read_number(row, C_STARTED, 10);
	out->replayed = read_position(row, C_REPLAYED);
	out->received = read_position(row, C_RECEIVED);
	out->timeline = (uint32_t)read_number(row, C_TIMELINE, 16);
	out->is_standby = row->text[C_STANDBY][0] != 'f';
	return out->system_id != 0 && out->started_us != 0 && (out->is_standby || out->timeline != 0);
}

bool
cluster_mark_read(const uint8_t *body, size_t len, struct cluster_mark *out)
{
	struct row row;

	return read_row(body, len, &row, C_COUNT + 2) && take_cluster(&row, out);
}

bool
fate_read_mark(const uint8_t *body, size_t len, struct commit_mark *out)
{
	struct row row;

	if (!read_row(body, len, &row, 2))
		return false;
	out->xid = read_number(&row, 0, 10);
	out->lsn = read_position(&row, 1);
	return out->xid == 0 || out->lsn != 0;
}

bool
fate_read_answer(const uint8_t *body, size_t len, struct fate_answer *out)
{
	struct row row;
	const char *status = row.text[C_STATUS];

	if (!read_row(body, len, &row, C_ANSWER_COUNT) || !take_cluster(&row, &out->cluster))
		return false;
	out->checkpoint = read_position(&row, C_CHECKPOINT);
	out->next_xid = read_pair(&row, C_NEXT_XID, ':', 10);
	out->xmax = read_number(&row, C_XMAX, 10);
	out->status = strcmp(status, "committed") == 0	   ? XACT_COMMITTED
		      : strcmp(status, "aborted") == 0	   ? XACT_ABORTED
		      : strcmp(status, "in progress") == 0 ? XACT_IN_PROGRESS
							   : XACT_UNKNOWN;
	return out->xmax != 0;
}

/* --- the judgement --- */

#define LONG_PAGE_HEADER_LEN 40u /* bytes; PostgreSQL's SizeOfXLogLongPHD */

static enum commit_fate
judge_as(enum commit_fate fate, const char *text, const char **reason)
{
	*reason = text;
	return fate;
}

bool
cluster_mark_is_same(const struct cluster_mark *a, const struct cluster_mark *b)
{
	return a->system_id == b->system_id && a->timeline == b->timeline && a->started_us == b->started_us &&
	       a->replayed == b->replayed;
}

static enum commit_fate
judge_same_life(const struct fate_answer *now, const char **reason)
{
	switch (now->status) {
	case XACT_COMMITTED:
		return judge_as(FATE_COMMITTED, "committed", reason);
	case XACT_ABORTED:
		return judge_as(FATE_ROLLED_BACK, "rolled back", reason);
	case XACT_IN_PROGRESS:
		return judge_as(FATE_AGAIN, "still in progress", reason);
	default:
		return judge_as(FATE_UNKNOWN, "PostgreSQL does not remember it any more", reason);
	}
}

/* Returns true if a began before b. Timelines grow; on one timeline, later recoveries end at later positions. */
static bool
is_earlier(const struct cluster_mark *a, const struct cluster_mark *b)
{
	if (a->timeline != b->timeline)
		return a->timeline < b->timeline;
	return a->started_us != b->started_us ? a->started_us < b->started_us : a->replayed < b->replayed;
}

void
cluster_lives_add(struct cluster_lives *lives, const struct cluster_mark *life)
{
	if (life->is_standby)
		return;
	for (unsigned i = 0; i < lives->count; i++)
		if (cluster_mark_is_same(&lives->seen[i], life))
			return;
	lives->seen[lives->next] = *life;
	lives->next = (lives->next + 1) % LIVES_MAX;
	if (lives->count < LIVES_MAX)
		lives->count++;
}

/* The history of the log between two lives. */
struct history {
	uint64_t end; /* the two lives share the log at least up to here; 0 if that is not known */
	uint64_t cut; /* the log was cut here or before; UINT64_MAX if it was not cut, as far as is known */
	bool is_next; /* no other life has been seen between the two */
};

/*
 * Adds to *h what is known from a life that came after `then`. On the same timeline, the logs diverge where the life's
 * recovery ended; without a recovery, PostgreSQL was shut down in order, and nothing was lost. On the next timeline,
 * the logs diverge where a standby was promoted, which only that standby's own life tells; other lives tell only where
 * their own recovery ended. Later timelines may have begun anywhere. is_promotion_seen: the standby's life was seen.
 */
static void
add_life(struct history *h, const struct cluster_mark *then, const struct cluster_mark *life, bool is_promotion_seen)
{
	uint64_t end = life->replayed != 0 ? life->replayed : UINT64_MAX;

	if (life->replayed != 0 && life->replayed < h->cut)
		h->cut = life->replayed;
	if (life->timeline > then->timeline + 1 || (life->timeline != then->timeline && !is_promotion_seen))
		end = 0;
	if (end < h->end)
		h->end = end;
}

/* Returns true if in this life a standby was promoted to the timeline after then's. */
static bool
shows_promotion(const struct cluster_mark *then, const struct cluster_mark *life)
{
	return life->system_id == then->system_id && life->timeline == then->timeline + 1 && life->received != 0 &&
	       life->replayed != 0;
}

static struct history
history_of(const struct cluster_mark *then, const struct cluster_mark *now, const struct cluster_lives *lives)
{
	struct history h = { .end = UINT64_MAX, .cut = UINT64_MAX, .is_next = true };
	bool is_promotion_seen = shows_promotion(then, now);

	for (unsigned i = 0; i < lives->count; i++)
		is_promotion_seen = is_promotion_seen || shows_promotion(then, &lives->seen[i]);
	add_life(&h, then, now, is_promotion_seen);
	for (unsigned i = 0; i < lives->count; i++) {
		const struct cluster_mark *life = &lives->seen[i];

		if (life->system_id != then->system_id || !is_earlier(then, life) || !is_earlier(life, now))
			continue;
		add_life(&h, then, life, is_promotion_seen);
		h.is_next = false;
	}
	return h;
}

uint64_t
cluster_lives_common_end(const struct cluster_mark *then, const struct cluster_mark *now,
			 const struct cluster_lives *lives)
{
	if (cluster_mark_is_same(then, now))
		return UINT64_MAX;
	return then->system_id == now->system_id && is_earlier(then, now) ? history_of(then, now, lives).end : 0;
}

/*
 * Returns true if the server's last checkpoint is the one that PostgreSQL writes after a crash, right after the last
 * record that it has replayed, before it accepts clients. Only a page header may lie between that record and this
 * checkpoint. A later checkpoint is further away, because this checkpoint's own record lies between.
 */
static bool
has_just_recovered(const struct cluster_mark *then, const struct fate_answer *now)
{
	uint64_t end = now->cluster.replayed;

	return now->cluster.timeline == then->timeline && end != 0 && now->checkpoint >= end &&
	       now->checkpoint - end <= LONG_PAGE_HEADER_LEN;
}

enum commit_fate
fate_judge(const struct cluster_mark *then, const struct commit_mark *mark, const struct fate_answer *now,
	   const struct cluster_lives *lives, const char **reason)
{
	struct history h;

	if (now->cluster.system_id != then->system_id)
		return judge_as(FATE_UNKNOWN, "this is another database cluster", reason);
	if (now->cluster.is_standby)
		return judge_as(FATE_AGAIN, "no primary yet", reason);
	if (cluster_mark_is_same(then, &now->cluster))
		return judge_same_life(now, reason);
	if (!is_earlier(then, &now->cluster))
		return judge_as(FATE_UNKNOWN, "this server was restored to an earlier time", reason);
	/* The backend has ended, so this transaction was not committed, even if its number is another's now. */
	if (now->status == XACT_ABORTED || now->status == XACT_IN_PROGRESS || now->xmax <= mark->xid)
		return judge_as(FATE_ROLLED_BACK, "rolled back by the recovery", reason);
	h = history_of(then, &now->cluster, lives);
	if (h.cut < mark->lsn)
		return judge_as(FATE_ROLLED_BACK, "lost with the end of the write-ahead log", reason);
	if (now->status != XACT_COMMITTED)
		return judge_as(FATE_UNKNOWN, "PostgreSQL does not remember it any more", reason);
	if (h.is_next && has_just_recovered(then, now))
		return now->next_xid > mark->xid
			   ? judge_as(FATE_COMMITTED, "committed", reason)
			   : judge_as(FATE_ROLLED_BACK, "lost with the end of the write-ahead log", reason);
	if (h.end < mark->lsn)
		return judge_as(FATE_UNKNOWN, "how far the two servers share their history cannot be known", reason);
	if (h.end != UINT64_MAX && !mark->is_final)
		return judge_as(FATE_UNKNOWN, "how far it had come was not known", reason);
	return judge_as(FATE_COMMITTED, "committed", reason);
}
