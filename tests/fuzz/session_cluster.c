/* tests/fuzz/session_cluster.c - see session_cluster.h. Questions and answers are those of session/commit_fate.c. */
#include "session_cluster.h"

#include "session_server.h"

#include "wire/messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RECORD_LEN 64u /* bytes of the log: of anything that is written */

static uint64_t
append(struct fake_cluster *l)
{
	return l->lsn += RECORD_LEN;
}

static void
begin(struct fake_conn *c)
{
	struct fake_cluster *l = &c->fake->cluster;

	if (l->xid_count == CLUSTER_XACTS_MAX)
		return;
	c->xid = CLUSTER_FIRST_XID + l->xid_count;
	l->xacts[l->xid_count].is = XACT_OPEN;
	l->xacts[l->xid_count++].begun = append(l);
}

void
cluster_write(struct fake_conn *c, const char *tokens)
{
	struct fake_cluster *l = &c->fake->cluster;

	if (c->xid == 0)
		begin(c);
	append(l);
	for (const char *at = tokens; (at = strstr(at, "@@")) != NULL; at += 2) {
		if (l->write_count == CLUSTER_WRITES_MAX || c->xid == 0)
			return;
		l->writes[l->write_count++] =
		    (struct cluster_write){ c->xid, (uint32_t)strtoul(at + 3, NULL, 10), at[2] };
	}
}

void
cluster_undo(struct fake_conn *c, size_t from)
{
	struct fake_cluster *l = &c->fake->cluster;

	for (size_t i = from; i < l->write_count && c->xid != 0; i++)
		if (l->writes[i].xid == c->xid)
			l->writes[i].xid = 0;
}

void
cluster_end(struct fake_conn *c, bool is_commit)
{
	struct fake_cluster *l = &c->fake->cluster;
	uint32_t i = c->xid - CLUSTER_FIRST_XID;

	if (c->xid == 0)
		return;
	c->xid = 0;
	if (i >= l->xid_count || l->xacts[i].is != XACT_OPEN)
		return; /* lost in a crash */
	l->xacts[i].is = is_commit ? XACT_DONE : XACT_UNDONE;
	l->xacts[i].ended = append(l);
	if (is_commit)
		c->commit_lsn = l->lsn;
}

void
cluster_crash(struct fake_cluster *l, bool is_failover, unsigned keep, unsigned others, uint64_t now_us)
{
	uint64_t end = l->told + (l->lsn - l->told) * keep / 256;
	uint32_t known = 0;
	size_t left = 0;

	for (uint32_t i = 0; i < l->xid_count; i++) {
		if (l->xacts[i].begun <= end)
			known = i + 1;
		if (l->xacts[i].is == XACT_OPEN || l->xacts[i].ended > end)
			l->xacts[i].is = XACT_UNDONE;
	}
	l->xid_count = known;
	for (size_t i = 0; i < l->write_count; i++)
		if (l->writes[i].xid < CLUSTER_FIRST_XID + known)
			l->writes[left++] = l->writes[i];
	l->write_count = left;
	l->lsn = l->replayed = l->checkpoint = end;
	l->received = is_failover ? end : 0;
	l->timeline += is_failover;
	l->checkpoint_xid = CLUSTER_FIRST_XID + known;
	l->started_us = now_us;
	append(l); /* the checkpoint */
	for (; others > 0 && l->xid_count < CLUSTER_XACTS_MAX; others--) {
		l->xacts[l->xid_count].begun = append(l);
		l->xacts[l->xid_count].ended = l->told = append(l);
		l->xacts[l->xid_count++].is = XACT_DONE;
	}
}

void
cluster_count(const struct fake_cluster *l, char letter, uint8_t counts[static CLUSTER_TOKENS_MAX])
{
	memset(counts, 0, CLUSTER_TOKENS_MAX);
	for (size_t i = 0; i < l->write_count; i++) {
		const struct cluster_write *w = &l->writes[i];

		if (w->letter == letter && w->xid != 0 && w->sequence < CLUSTER_TOKENS_MAX &&
		    l->xacts[w->xid - CLUSTER_FIRST_XID].is == XACT_DONE)
			counts[w->sequence]++;
	}
}

/* --- questions --- */

struct texts {
	char text[10][32];
	const char *column[10];
};

static void
put(struct texts *t, size_t i, const char *format, uint64_t a, uint64_t b)
{
	snprintf(t->text[i], sizeof(t->text[i]), format, a, b);
	t->column[i] = t->text[i];
}

static void
put_lsn(struct texts *t, size_t i, uint64_t lsn)
{
	if (lsn != 0)
		put(t, i, "%" PRIX64 "/%" PRIX64, lsn >> 32, lsn & UINT32_MAX);
}

bool
cluster_is_life(const struct fake_cluster *l, const struct cluster_mark *life)
{
	return life->started_us == l->started_us + 1 && life->replayed == l->replayed &&
	       life->timeline == l->timeline + 1;
}

static void
put_cluster(struct texts *t, const struct fake_cluster *l)
{
	put(t, 0, "%" PRIu64, 7000000000000000001u, 0);
	put(t, 1, "%" PRIu64, l->started_us + 1, 0);
	put_lsn(t, 2, l->replayed);
	put_lsn(t, 3, l->received);
	put(t, 4, "%08" PRIX64, l->timeline + 1, 0);
	put(t, 5, "f", 0, 0);
}

static void
put_mark(struct texts *t, size_t i, const struct fake_conn *c)
{
	if (c->xid != 0)
		put(t, i, "%" PRIu64, c->xid, 0);
	put_lsn(t, i + 1, c->fake->cluster.lsn + RECORD_LEN); /* never 0 */
}

/* Who is told that it was committed can rely on that as on the reply to a COMMIT. */
static void
put_status(struct texts *t, struct fake_conn *c, uint64_t xid)
{
	static const char *const words[] = { "in progress", "committed", "aborted" };
	const struct fake_cluster *l = &c->fake->cluster;
	uint64_t xmax = CLUSTER_FIRST_XID, asked = xid - CLUSTER_FIRST_XID;

	for (uint32_t i = 0; i < l->xid_count; i++)
		if (l->xacts[i].is != XACT_OPEN)
			xmax = CLUSTER_FIRST_XID + i + 1;
	put_lsn(t, 6, l->checkpoint);
	put(t, 7, "0:%" PRIu64, l->checkpoint_xid == 0 ? CLUSTER_FIRST_XID : l->checkpoint_xid, 0);
	put(t, 8, "%" PRIu64, xmax, 0);
	if (xid < CLUSTER_FIRST_XID)
		return; /* NULL: too long ago for PostgreSQL to remember */
	t->column[9] = xid >= xmax ? words[0] : words[l->xacts[asked].is];
	if (xid < xmax && l->xacts[asked].is == XACT_DONE && l->xacts[asked].ended > c->commit_lsn)
		c->commit_lsn = l->xacts[asked].ended;
}

static void
answer(struct fake_conn *c, const struct texts *t, size_t columns)
{
	static const char *const names[10] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" };
	static const uint32_t types[10] = { 25, 25, 25, 25, 25, 25, 25, 25, 25, 25 };

	text_row_description(&c->out, names, types, columns);
	text_data_row(&c->out, t->column, columns);
	message_complete(&c->out, "SELECT 1");
}

#define ASKED_PID "a.pid OPERATOR(pg_catalog.=) "
#define ASKED_XID "backend_xid OPERATOR(pg_catalog.=) '"

/* A backend whose client has gone without a word is ended if it waits for that client. */
static void
end_backend(struct fake_conn *c, const char *sql_pid, const char *sql_xid)
{
	uint32_t pid = (uint32_t)strtoul(sql_pid + strlen(ASKED_PID), NULL, 10);
	uint32_t xid = (uint32_t)strtoul(sql_xid + strlen(ASKED_XID), NULL, 10);
	struct fake_conn *other;

	TAILQ_FOREACH(other, &c->fake->conns, link)
		if (other->pid == pid && other->xid == xid && !other->is_asleep && other->in.len == 0)
			other->cut = 0;
	text_row_description(&c->out, (const char *const[]){ "a" }, (const uint32_t[]){ 16 }, 1);
	message_complete(&c->out, "SELECT 0");
}

bool
cluster_answer(struct fake_conn *c, const char *sql)
{
	struct fake_cluster *l = &c->fake->cluster;
	const char *at = strstr(sql, "pg_xact_status('"), *pid = strstr(sql, ASKED_PID), *xid = strstr(sql, ASKED_XID);
	struct texts t = { 0 };

	if (pid != NULL && xid != NULL) {
		end_backend(c, pid, xid);
	} else if (at != NULL) {
		put_cluster(&t, l);
		put_status(&t, c, strtoull(at + 16, NULL, 10));
		answer(c, &t, 10);
	} else if (strstr(sql, "pg_control_system()") != NULL) {
		put_cluster(&t, l);
		put_mark(&t, 6, c);
		answer(c, &t, 8);
	} else if (strstr(sql, "pg_current_xact_id_if_assigned()") != NULL) {
		put_mark(&t, 0, c);
		answer(c, &t, 2);
	} else
		return false;
	return true;
}
