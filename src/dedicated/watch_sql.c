#include "dedicated/watch_state.h"
#include "base/table.h"
#include "wire/fields.h"
#include "wire/messages.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1024 /* bytes, with terminator, that any text column of a row may have */
#define SNAPSHOT_MAX "900" /* the most characters of a snapshot; a longer one is cut */

/* Settings that change answers, and that are equal on all hosts unless the hosts' configuration files differ. */
const char *const watch_settings[WATCHED_SETTINGS] = { "search_path",
						       "TimeZone",
						       "timezone_abbreviations",
						       "DateStyle",
						       "IntervalStyle",
						       "bytea_output",
						       "default_text_search_config",
						       "lc_messages",
						       "lc_monetary",
						       "lc_numeric",
						       "lc_time",
						       "extra_float_digits",
						       "standard_conforming_strings",
						       "array_nulls",
						       "xmlbinary",
						       "transform_null_equals" };

/* --- Questions. Each row that is used begins with a letter, except the row of cluster_question. --- */

void
watch_put_meet(struct buf *b)
{
	/* A standby refuses SERIALIZABLE, which may be the default. And COMMIT must not wait for standbys. */
	buf_printf(b, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;%s;", cluster_question);
	buf_printf(b, "SET search_path TO pg_catalog, pg_temp;"
		      "SELECT set_config(name, CASE name WHEN 'default_transaction_isolation' THEN 'read committed' "
		      "WHEN 'synchronous_commit' THEN 'local' ELSE '0' END, false) FROM pg_settings WHERE name IN "
		      "('default_transaction_isolation', 'synchronous_commit', 'statement_timeout', "
		      "'idle_session_timeout', 'transaction_timeout');"
		      "SELECT 's', name, reset_val FROM pg_settings WHERE name IN ("
		      "'wal_block_size', 'wal_segment_size'");
	for (size_t i = 0; i < WATCHED_SETTINGS; i++)
		buf_printf(b, ", '%s'", watch_settings[i]);
	buf_printf(b,
		   ") UNION ALL SELECT 's', 'sees_timeline', pg_has_role('pg_read_all_stats', 'usage')::text;"
		   "DEALLOCATE ALL;" /* the host may have been met before on this connection */
		   "PREPARE pgweir_primary AS SELECT 'p', pg_current_wal_insert_lsn() - '0/0'::pg_lsn, "
		   "pg_current_wal_flush_lsn() - '0/0'::pg_lsn, left(pg_current_snapshot()::text, " SNAPSHOT_MAX "), "
		   "age('3'::xid);"
		   "PREPARE pgweir_replayed AS SELECT 'q', pg_last_wal_replay_lsn() - '0/0'::pg_lsn;"
		   "PREPARE pgweir_standby AS SELECT 'r', pg_is_in_recovery(), "
		   "pg_snapshot_xmax(pg_current_snapshot()), NULL, NULL;"
		   "PREPARE pgweir_standby_all(xid8[]) AS SELECT 'r', pg_is_in_recovery(), xmax, (SELECT received_tli "
		   "FROM pg_stat_wal_receiver), "
		   "(SELECT string_agg(x::text, ',') FROM unnest($1) AS u(x) WHERE "
		   "CASE WHEN x < xmax THEN pg_xact_status(x) = 'in progress' END) "
		   "FROM (SELECT pg_snapshot_xmax(pg_current_snapshot()) AS xmax OFFSET 0) AS s");
}

static void
put_xids(struct buf *b, const uint64_t *xids, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		buf_printf(b, "%s%" PRIu64, i > 0 ? "," : "", xids[i]);
}

void
watch_put_read(struct buf *b, const struct watch_answer *met, const struct reading *primary)
{
	uint32_t open = primary == NULL || primary->open_count > CLUSTER_OPEN_MAX ? 0 : primary->open_count;

	if (!met->mark.is_standby) {
		buf_printf(b, "EXECUTE " MESSAGE_OURS "pgweir_primary");
		return;
	}
	/* The position must be older than the snapshot. So an earlier statement reads the position: in the statement
	 * that takes the snapshot, a function would run after the snapshot was taken. */
	buf_printf(b, "EXECUTE " MESSAGE_OURS "pgweir_replayed;EXECUTE " MESSAGE_OURS "pgweir_standby");
	if (open == 0 && !met->sees_timeline) /* the short form is enough then, and takes half the time */
		return;
	buf_printf(b, "_all('{");
	if (open > 0)
		put_xids(b, primary->open, open);
	buf_printf(b, "}')");
}

void
watch_put_nudge(struct buf *b)
{
	buf_printf(b, "SELECT " MESSAGE_OURS "pg_logical_emit_message(true, 'pgweir', '')");
}

void
watch_put_try(struct buf *b, uint32_t bits)
{
	for (uint32_t i = 0; i < TRIAL_COUNT; i++)
		buf_printf(b, "BEGIN;SELECT " MESSAGE_OURS "'t', pg_current_xact_id();%s;",
			   (bits >> i & 1) != 0 ? "COMMIT" : "ROLLBACK");
	buf_printf(b, "SELECT " MESSAGE_OURS
		      "'l', pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_logical_emit_message(true, 'pgweir', '')");
}

/* Compares each number with xmax first, because pg_xact_status() rejects a transaction number from the future. */
void
watch_put_check(struct buf *b, const struct trial *trial)
{
	buf_printf(b, "SELECT " MESSAGE_OURS
		      "'c', string_agg(CASE WHEN x < xmax THEN CASE pg_xact_status(x) WHEN 'committed' THEN '1' "
		      "WHEN 'aborted' THEN '0' ELSE '?' END ELSE '?' END, '' ORDER BY i DESC) FROM "
		      "(SELECT pg_snapshot_xmax(pg_current_snapshot()) AS xmax OFFSET 0) AS s, unnest('{");
	put_xids(b, trial->xids, TRIAL_COUNT);
	buf_printf(b, "}'::xid8[]) WITH ORDINALITY AS u(x, i)");
}

/* --- Answers. --- */

/* Reads a list like "700,705", in ascending order, as PostgreSQL writes it. */
static void
read_open_xids(struct reading *r, const char *text)
{
	char *rest;

	r->open_count = 0;
	for (; *text != '\0'; text = *rest == ',' ? rest + 1 : rest) {
		uint64_t xid = strtoull(text, &rest, 10);

		if (rest == text || r->open_count == CLUSTER_OPEN_MAX) {
			r->open_count = UINT32_MAX;
			return;
		}
		r->open[r->open_count++] = xid;
	}
}

/* Returns the number of the next transaction, computed from its distance to transaction 3 in 32 bits; 0 if not
 * known. */
static uint64_t
compute_next_xid(uint64_t xmax, const char *age)
{
	uint32_t next = (uint32_t)strtoll(age, NULL, 10) + 3;

	return age[0] == '\0' ? 0 : xmax + (uint32_t)(next - (uint32_t)xmax);
}

static void
take_primary_row(struct watch_answer *a, struct value_list *row)
{
	char text[TEXT_MAX], *rest;

	a->reading.position = fields_row_take_number(row);
	a->flushed = fields_row_take_number(row);
	strtoull(fields_row_take_text(row, text, TEXT_MAX), &rest, 10); /* xmin */
	if (*rest != ':')
		return;
	a->reading.xmax = strtoull(rest + 1, &rest, 10);
	read_open_xids(&a->reading, *rest == ':' ? rest + 1 : "?");
	if (strlen(text) >= strtoul(SNAPSHOT_MAX, NULL, 10))
		a->reading.open_count = UINT32_MAX;
	a->reading.next_xid = compute_next_xid(a->reading.xmax, fields_row_take_text(row, text, TEXT_MAX));
	a->is_standby = false;
	a->kind = a->reading.position != 0 && a->reading.xmax != 0 ? TOLD_READING : TOLD_NOTHING;
}

static void
take_standby_row(struct watch_answer *a, struct value_list *row)
{
	char text[TEXT_MAX];

	a->is_standby = fields_row_take_text(row, text, TEXT_MAX)[0] != 'f';
	a->reading.xmax = fields_row_take_number(row);
	a->timeline = (uint32_t)fields_row_take_number(row);
	read_open_xids(&a->reading, fields_row_take_text(row, text, TEXT_MAX));
	a->kind = a->reading.xmax != 0 && (a->reading.position != 0 || !a->is_standby) ? TOLD_READING : TOLD_NOTHING;
}

static void
take_setting_row(struct watch_answer *a, struct value_list *row)
{
	char name[TEXT_MAX], text[TEXT_MAX];
	const uint8_t *value = NULL;
	size_t len = 0;

	fields_row_take_text(row, name, TEXT_MAX);
	if (strcmp(name, "wal_block_size") == 0)
		a->block_len = strtoull(fields_row_take_text(row, text, TEXT_MAX), NULL, 10);
	else if (strcmp(name, "wal_segment_size") == 0)
		a->segment_len = strtoull(fields_row_take_text(row, text, TEXT_MAX), NULL, 10);
	else if (strcmp(name, "sees_timeline") == 0)
		a->sees_timeline = fields_row_take_text(row, text, TEXT_MAX)[0] == 't';
	else if (fields_next_value(row, &value, &len) && value != NULL)
		for (size_t i = 0; i < WATCHED_SETTINGS; i++)
			if (strcmp(name, watch_settings[i]) == 0)
				a->settings[i] = table_hash(0, value, len);
}

static void
take_check_row(struct watch_answer *a, struct value_list *row)
{
	char text[TEXT_MAX];

	a->kind = TOLD_BITS;
	a->bits = UINT32_MAX;
	if (strlen(fields_row_take_text(row, text, TEXT_MAX)) == TRIAL_COUNT && strspn(text, "01") == TRIAL_COUNT)
		a->bits = (uint32_t)strtoul(text, NULL, 2);
}

void
watch_read_row(struct watch_answer *a, const uint8_t *body, size_t len)
{
	struct value_list row;
	char kind[TEXT_MAX];

	if (cluster_mark_read(body, len, &a->mark)) {
		a->kind = TOLD_MARK;
		return;
	}
	fields_begin_row(body, len, &row);
	fields_row_take_text(&row, kind, TEXT_MAX);
	if (strcmp(kind, "s") == 0)
		take_setting_row(a, &row);
	else if (strcmp(kind, "p") == 0)
		take_primary_row(a, &row);
	else if (strcmp(kind, "q") == 0)
		a->reading.position = fields_row_take_number(&row);
	else if (strcmp(kind, "r") == 0)
		take_standby_row(a, &row);
	else if (strcmp(kind, "t") == 0 && a->xid_count < TRIAL_COUNT)
		a->trial.xids[a->xid_count++] = fields_row_take_number(&row);
	else if (strcmp(kind, "l") == 0)
		a->trial.position = fields_row_take_number(&row);
	else if (strcmp(kind, "c") == 0)
		take_check_row(a, &row);
}

uint64_t
watch_exclude_header(const struct watch_answer *a, uint64_t position)
{
	uint64_t begin = a->block_len == 0 ? position : position - position % a->block_len;
	bool is_first = a->segment_len != 0 && begin % a->segment_len == 0;

	/* SizeOfXLogLongPHD, SizeOfXLogShortPHD */
	return position - begin == (is_first ? 40 : 24) ? begin : position;
}
