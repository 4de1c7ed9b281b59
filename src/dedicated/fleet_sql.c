/*
 * src/dedicated/fleet_sql.c - the questions that a fleet connection asks PostgreSQL; see fleet_state.h.
 *
 * Two kinds of advisory locks are used, with two numbers each. (LOCK, 0) is held while PostgreSQL's list of backends is
 * read and places are taken. A fleet connection holds (MARK, n), shared, as its mark for n connections that were
 * granted and have not logged in, and (MARK, 0), shared, for itself, so that its end is noticed. Each question is one
 * Query, so it arrives whole, and is one transaction; thus (LOCK, 0) is never held while either side waits for bytes.
 * Marks are read before the list: a connection is listed before its mark is released, and PostgreSQL keeps the list as
 * it was first read until the transaction ends.
 *
 * Any role that may connect to budget_database can take these locks. Only locks of backends that have logged in as the
 * fleet connection's role count. If another role's lock keeps a mark from being taken, nothing is granted and the
 * previous mark stays (is_marked).
 *
 * A parallel worker is listed, too, but has no client_port, so it is not counted. A client_port shows only with the
 * privileges of the backend's role: without these, parallel workers of that role count, too. Every role may see the
 * other columns that are read here.
 */
#include "dedicated/fleet_state.h"
#include "base/text.h"
#include "wire/fields.h"
#include "wire/messages.h"

#include <stdio.h>

#define LOCK "1885828466" /* "pgwr" */
#define MARK "1885828467"
#define NAME_PREFIX "pgweir budget "
#define TEXT_MAX FLEET_TEXT_MAX
#define IS_OURS "usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)"
#define ADVISORY                                                                                                       \
	"pg_lock_status() WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database "   \
	"WHERE datname = current_database()) AND classid "

static const char first_sql[] =
    "SET " MESSAGE_OURS "search_path TO pg_catalog, pg_temp;"
    "SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN '1s' WHEN 'default_transaction_isolation' "
    "THEN 'read committed' ELSE '0' END, false) FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout', "
    "'default_transaction_isolation', 'idle_session_timeout', 'transaction_timeout');"
    "PREPARE pgweir_lock AS SELECT pg_advisory_xact_lock(" LOCK ", 0);"
    "SELECT pg_try_advisory_lock_shared(" MARK ", 0);"
    "PREPARE pgweir_marks AS SELECT set_config('pgweir.pids', coalesce(array_agg(pid)::text, '{}'), true), "
    "set_config('pgweir.marks', coalesce(array_agg(objid)::text, '{}'), true) FROM " ADVISORY "= " MARK " AND granted;"
    "PREPARE pgweir_members AS SELECT CASE WHEN NOT coalesce(" IS_OURS ", false) THEN 's' WHEN is_member THEN 'm' ELSE "
    "'o' END, l.pid, is_holder, application_name, rolname FROM (SELECT pid, bool_or(classid = " MARK
    " AND objid = 0 AND "
    "granted) AS is_member, bool_or(CASE WHEN classid = " LOCK
    " THEN objid = 0 AND granted ELSE mode = 'ExclusiveLock' "
    "END) AS is_holder FROM " ADVISORY "IN (" LOCK ", " MARK ") GROUP BY pid) AS l LEFT JOIN "
    "pg_stat_get_activity(NULL) AS a ON a.pid = l.pid LEFT JOIN pg_roles AS r ON r.oid = usesysid WHERE l.pid IS NULL "
    "OR usesysid IS NOT NULL ORDER BY 1, 2 LIMIT 256;"
    "SELECT 'w', pg_backend_pid(), pg_is_in_recovery(), current_setting('max_connections')::int - "
    "current_setting('superuser_reserved_connections')::int - coalesce(current_setting('reserved_connections', true), "
    "'0')::int;"
    "PREPARE pgweir_grant(int, int, int, int, int) AS WITH backend AS (SELECT pg_stat_get_backend_pid(i) AS pid, "
    "pg_stat_get_backend_userid(i) AS usesysid, pg_stat_get_backend_client_port(i) AS port FROM "
    "pg_stat_get_backend_idset() AS i), marked AS (SELECT coalesce(sum(n), 0) AS flying, (count(*) FILTER (WHERE n = "
    "0))::int AS fleet_conns FROM unnest(current_setting('pgweir.pids')::int[], "
    "current_setting('pgweir.marks')::bigint[]) "
    "AS m(pid, n) JOIN backend USING (pid) WHERE " IS_OURS ") "
    "SELECT 'g', listed, fleet_conns, CASE WHEN is_marked THEN granted ELSE 0 END, is_marked, CASE WHEN is_marked AND "
    "$3 > "
    "0 AND $2 + granted <> $3 THEN pg_advisory_unlock_shared(" MARK ", $3) END FROM (SELECT *, CASE WHEN NOT "
    "pg_try_advisory_lock_shared(" MARK ", 0) THEN false WHEN $2 + granted NOT IN (0, $3) THEN "
    "pg_try_advisory_lock_shared(" MARK ", $2 + granted) ELSE true END AS is_marked FROM (SELECT listed, fleet_conns, "
    "greatest(0, least($1, $4 - greatest(0, $5 - fleet_conns) - listed - (flying - $3 + $2)))::int AS granted FROM "
    "marked, "
    "(SELECT coalesce(sum(n), 0)::int AS listed FROM (SELECT usesysid, coalesce(nullif(count(port), 0), count(*)) AS n "
    "FROM backend GROUP BY 1 OFFSET 0) AS u WHERE usesysid <> 0 AND ";

/* Appends names as an array of SQL strings that do not depend on standard_conforming_strings and client_encoding.
 * `names` begins with a name, so the array is not empty. */
static void
put_names(struct buf *b, const char *names)
{
	size_t len;

	buf_printf(b, "ARRAY[");
	for (const char *sep = "E'"; *names != '\0';
	     names += strcspn(names, ","), names += strspn(names, ", \t"), sep = "',E'") {
		for (len = strcspn(names, ","); strchr(" \t", names[len - 1]) != NULL; len--)
			;
		buf_printf(b, "%s", sep);
		for (size_t i = 0; i < len; i++) {
			bool is_plain = names[i] != '\'' && names[i] != '\\' && (names[i] & 0x80) == 0;

			buf_printf(b, is_plain ? "%c" : "\\x%02x", (unsigned char)names[i]);
		}
	}
	buf_printf(b, "']");
}

void
fleet_put_first(struct buf *b, const char *users)
{
	buf_printf(b, "%s", first_sql);
	users += strspn(users, ", \t");
	if (users[0] == '\0') {
		buf_printf(b, "NOT coalesce((SELECT rolsuper FROM pg_roles WHERE oid = usesysid), false)");
	} else {
		buf_printf(b, "usesysid IN (SELECT oid FROM pg_roles WHERE rolname = ANY (");
		put_names(b, users);
		buf_printf(b, "))");
	}
	buf_printf(b, ") AS l OFFSET 0) AS c OFFSET 0) AS t");
}

static uint32_t
limit_to_seven_digits(uint32_t n)
{
	return n < 9999999 ? n : 9999999;
}

void
fleet_put_question(struct buf *b, const struct fleet_question *q)
{
	const struct fleet_member *m = &q->self;
	uint32_t room = q->limit > FLEET_RESERVED ? q->limit - FLEET_RESERVED : 0;
	char name[64];

	/* PostgreSQL keeps 63 bytes of application_name; this text has at most 63. */
	snprintf(name, sizeof(name), NAME_PREFIX "%u %u %u %u %u %.19s", limit_to_seven_digits(m->budget),
		 limit_to_seven_digits(m->used), limit_to_seven_digits(m->short_count), m->is_in_use, m->report_digit,
		 m->name);
	buf_printf(b, "SET " MESSAGE_OURS "application_name = '%s';", name);
	if (q->what == ASK_GRANT)
		buf_printf(b, "EXECUTE pgweir_lock;");
	buf_printf(b, "EXECUTE pgweir_marks;EXECUTE pgweir_grant(%u, %u, %u, %u, %u)",
		   q->what == ASK_GRANT ? q->want : 0, q->granted_not_logged_in, q->marked, room, q->expected);
	if (q->what == ASK_LOOK)
		buf_printf(b, ";EXECUTE pgweir_members");
	if (q->is_first)
		buf_printf(b, ";LISTEN pgweir_budget");
	if (q->wakes_others)
		buf_printf(b, ";NOTIFY pgweir_budget");
}

/* --- Rows. The first column says which columns follow. --- */

static uint32_t
take_number(struct value_list *r)
{
	uint64_t n = fields_row_take_number(r);

	return n < UINT32_MAX / 2 ? (uint32_t)n : 0;
}

static bool
take_bool(struct value_list *r)
{
	char text[TEXT_MAX];

	return fields_row_take_text(r, text, TEXT_MAX)[0] == 't';
}

/* Any session of the fleet connections' role can set such an application_name, so the numbers may be wrong. */
static void
take_member(struct fleet_answer *a, uint32_t pid, char text[static TEXT_MAX])
{
	struct fleet_member *m = &a->members[a->member_count];
	char *at = text + strlen(NAME_PREFIX);
	uint32_t numbers[5];

	if (strncmp(text, NAME_PREFIX, strlen(NAME_PREFIX)) != 0 || a->member_count == FLEET_MEMBERS_MAX)
		return;
	for (size_t i = 0; i < 5; i++) {
		unsigned long n = strtoul(at, &at, 10);

		numbers[i] = n < UINT32_MAX / FLEET_MEMBERS_MAX / 2 ? (uint32_t)n : 0;
	}
	*m = (struct fleet_member){ .pid = pid,
				    .budget = numbers[0],
				    .used = numbers[1],
				    .short_count = numbers[2],
				    .is_in_use = numbers[3] != 0,
				    .report_digit = (uint8_t)numbers[4] };
	snprintf(m->name, sizeof(m->name), "%.*s", FLEET_NAME_MAX - 1, at + strspn(at, " "));
	a->member_count++;
}

/* Reads the row of a session that holds, or waits for, one of the budget's locks. */
static void
take_locker(struct fleet_answer *a, char kind, struct value_list *r)
{
	struct fleet_stranger s = { .pid = take_number(r) };

	if (take_bool(r) && !a->is_lock_held) {
		a->is_lock_held = true;
		a->lock_pid = s.pid;
	}
	fields_row_take_text(r, s.application, TEXT_MAX);
	fields_row_take_text(r, s.user, TEXT_MAX);
	if (kind == 'm')
		take_member(a, s.pid, s.application);
	else if (kind == 's' && a->stranger_count < FLEET_STRANGERS_MAX)
		a->strangers[a->stranger_count++] = s;
}

void
fleet_read_row(struct fleet_answer *a, const uint8_t *body, size_t len)
{
	struct value_list r;
	char kind[TEXT_MAX];

	fields_begin_row(body, len, &r);
	if (strlen(fields_row_take_text(&r, kind, TEXT_MAX)) != 1)
		return;
	if (kind[0] == 'g') {
		a->listed = take_number(&r);
		a->fleet_conns = take_number(&r);
		a->granted = take_number(&r);
		a->is_marked = take_bool(&r);
		a->is_counted = true;
	} else if (kind[0] == 'w') {
		a->pid = take_number(&r);
		a->is_standby = take_bool(&r);
		a->unreserved_slots = take_number(&r);
		a->has_identity = true;
	} else if (strchr("mos", kind[0]) != NULL) {
		take_locker(a, kind[0], &r);
	}
}
