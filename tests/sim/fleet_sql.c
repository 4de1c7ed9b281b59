/*
 * tests/sim/fleet_sql.c - see fleet_sim.h. Of SQL the model knows the statements of dedicated/fleet_sql.c, by their
 * text, and that clients' take a while. Between two statements time passes, and anything may happen.
 */
#include "fleet_sim.h"

#include "wire/messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENT_US 6000
#define LOCK_TIMEOUT_US US_PER_S
#define IS_OURS "usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)"
#define LIE 1000 /* the mark of somebody who is no fleet connection */

/* A row of text columns; NULL ends them. */
static void
put_row(struct backend *b, const char *first, ...)
{
	size_t begun = message_begin(&b->out, 'D'), count_at = b->out.len;
	uint16_t count = 0;
	va_list args;

	buf_put_u16(&b->out, 0);
	va_start(args, first);
	for (const char *column = first; column != NULL; column = va_arg(args, const char *), count++) {
		buf_put_u32(&b->out, (uint32_t)strlen(column));
		buf_put(&b->out, column, strlen(column));
	}
	va_end(args);
	b->out.bytes[count_at] = (uint8_t)(count >> 8);
	b->out.bytes[count_at + 1] = (uint8_t)count;
	message_end(&b->out, begun);
}

static const char *
text_of(uint32_t n, char out[static 16])
{
	snprintf(out, 16, "%u", n);
	return out;
}

/* --- locks --- */

static void
hand_lock_over(struct postgres *pg)
{
	struct backend *b, *first = NULL;

	if (pg->lock_holder != NULL || pg->lock_dba_until_us > clock_now_us())
		return;
	TAILQ_FOREACH(b, &pg->backends, link)
		if (b->queue > 0 && (first == NULL || b->queue < first->queue))
			first = b;
	if (first == NULL)
		return;
	first->queue = 0;
	pg->lock_holder = first;
}

static void
release_lock(struct backend *b)
{
	b->queue = 0;
	if (b->sim->pg.lock_holder == b)
		b->sim->pg.lock_holder = NULL;
}

void
backend_forget(struct backend *b)
{
	release_lock(b);
	memset(b->marks, 0, sizeof(b->marks));
	if (b->has_own_mark)
		b->sim->processes[b->process - 1].missing_since_us = clock_now_us();
	b->has_own_mark = false;
}

/* Returns false if somebody else keeps it from that. */
static bool
mark(struct backend *b, uint32_t n)
{
	const struct postgres *pg = &b->sim->pg;

	if (pg->mark_dba == n && pg->mark_dba_until_us > clock_now_us())
		return false;
	for (size_t i = 0; i < MARKS; i++)
		if (b->marks[i] == 0) {
			b->marks[i] = n;
			return true;
		}
	sim_fail("backend %u has more than %d marks", b->pid, MARKS);
	return false;
}

/* Marks the fleet connection itself. Returns false as mark() does. */
static bool
mark_itself(struct backend *b)
{
	const struct postgres *pg = &b->sim->pg;

	if (b->has_own_mark)
		return true;
	if (pg->mark_dba == 0 && pg->mark_dba_until_us > clock_now_us())
		return false;
	b->has_own_mark = true;
	b->sim->processes[b->process - 1].marked_us = clock_now_us();
	b->sim->processes[b->process - 1].missing_since_us = 0;
	return true;
}

static void
unmark(struct backend *b, uint32_t n)
{
	for (size_t i = 0; i < MARKS; i++)
		if (b->marks[i] == n) {
			b->marks[i] = 0;
			return;
		}
	sim_fail("backend %u has no mark of %u", b->pid, n);
}

/* --- statements: each returns false if it is not over yet --- */

static bool
is_text(const char *at, const char *text)
{
	return strncmp(at, text, strlen(text)) == 0;
}

/* Returns false while it waits. */
static bool
run_lock(struct backend *b)
{
	struct postgres *pg = &b->sim->pg;

	if (pg->lock_holder != b && b->queue == 0) {
		b->queue = ++pg->lock_queue;
		b->lock_until_us = clock_now_us() + LOCK_TIMEOUT_US;
	}
	hand_lock_over(pg);
	return pg->lock_holder == b;
}

static void
prepare(struct backend *b, const char *text)
{
	if (is_text(text, "pgweir_members "))
		b->takes_all_members = strstr(text, "NOT coalesce(" IS_OURS ", false) THEN 's'") == NULL;
	if (!is_text(text, "pgweir_grant("))
		return;
	b->has_grant = true;
	/* The only things about it that are not always so. */
	b->reads_marks_late = strstr(text, "pg_lock_status()") != NULL;
	b->takes_all_marks = strstr(text, "WHERE " IS_OURS ")") == NULL;
	if (strstr(text, "$4 - greatest(0, $5 - fleet_conns) - listed - (flying - $3 + $2)") == NULL)
		sim_fail("the model does not know this pgweir_grant: %s", text);
}

static uint32_t
all_marks(const struct backend *b)
{
	return postgres_marks(&b->sim->pg) + (b->takes_all_marks && b->sim->profile.has_liar ? LIE : 0);
}

static bool
run_grant(struct backend *b, const char *text)
{
	struct postgres *pg = &b->sim->pg;
	unsigned want, flying, marked, budget, expected;
	char listed_text[16], conns_text[16], granted_text[16];
	long left;
	uint32_t granted;
	bool is_marked;

	if (!b->has_grant || sscanf(text, "(%u, %u, %u, %u, %u)", &want, &flying, &marked, &budget, &expected) != 5)
		sim_fail("the model does not know this: EXECUTE pgweir_grant%s", text);
	if (!b->is_counted) {
		b->listed = postgres_listed(pg);
		b->is_counted = true;
		if (b->reads_marks_late)
			return false;
	}
	if (b->reads_marks_late)
		b->flying = all_marks(b);
	b->is_counted = false;
	left = (long)budget - (expected > b->conns ? (long)(expected - b->conns) : 0) - (long)b->listed -
	       ((long)b->flying - (long)marked + (long)flying);
	granted = left <= 0 ? 0 : left < (long)want ? (uint32_t)left : want;
	is_marked =
	    mark_itself(b) && (flying + granted == 0 || flying + granted == marked || mark(b, flying + granted));
	granted = is_marked ? granted : 0;
	if (is_marked && marked > 0 && flying + granted != marked)
		unmark(b, marked);
	if (want > 0 || flying != marked)
		trace_line("steward %u (%u) wants %u of %u, listed %u, flying %u: %u; mark %u -> %u", b->pid,
			   b->process, want, budget, b->listed, b->flying, granted, marked, flying + granted);
	if (granted > 0) {
		pg->granted += granted;
		oracle_granted(b->sim, b);
	}
	b->seen_us = b->read_us;
	put_row(b, "g", text_of(b->listed, listed_text), text_of(b->conns, conns_text), text_of(granted, granted_text),
		is_marked ? "t" : "f", NULL);
	return true;
}

/* Backends with locks of the budget: members, those that are none yet, and strangers. */
static void
run_members(struct backend *b)
{
	const struct postgres *pg = &b->sim->pg;
	const struct backend *m;
	char pid[16];

	TAILQ_FOREACH(m, &pg->backends, link)
		if (m->has_own_mark || m == pg->lock_holder)
			put_row(b, m->has_own_mark ? "m" : "o", text_of(m->pid, pid), m == pg->lock_holder ? "t" : "f",
				m->name, "c", NULL);
	if (b->sim->profile.has_liar)
		put_row(b, b->takes_all_members ? "m" : "s", "998", "f", "pgweir budget 3 0 0 0 1 liar", "u", NULL);
	if (pg->lock_dba_until_us > clock_now_us() || pg->mark_dba_until_us > clock_now_us())
		put_row(b, "s", "999", "t", "psql", "dba", NULL);
}

static bool
run_execute(struct backend *b, const char *text)
{
	if (is_text(text, "pgweir_lock"))
		return run_lock(b);
	if (is_text(text, "pgweir_grant"))
		return run_grant(b, text + strlen("pgweir_grant"));
	if (is_text(text, "pgweir_marks")) {
		b->flying = all_marks(b);
		b->conns = postgres_fleet_conns(&b->sim->pg);
		b->read_us = clock_now_us();
	} else if (is_text(text, "pgweir_members"))
		run_members(b);
	else
		sim_fail("the model does not know this: EXECUTE %s", text);
	return true;
}

static bool
run(struct backend *b, const char *text)
{
	char pid[16];

	if (is_text(text, "EXECUTE "))
		return run_execute(b, text + strlen("EXECUTE "));
	if (is_text(text, "PREPARE "))
		prepare(b, text + strlen("PREPARE "));
	else if (is_text(text, "SET application_name = '")) {
		snprintf(b->name, sizeof(b->name), "%.*s", (int)strcspn(text + 24, "'"), text + 24);
		trace_line("steward %u (%u) says %s", b->pid, b->process, b->name);
	} else if (is_text(text, "SELECT 'w', "))
		put_row(b, "w", text_of(b->pid, pid), "f", "97", NULL);
	else if (is_text(text, "SELECT pg_try_advisory_lock_shared(1885828467, 0)"))
		mark_itself(b);
	else if (is_text(text, "LISTEN pgweir_budget"))
		b->is_listening = true;
	else if (is_text(text, "NOTIFY pgweir_budget"))
		b->wakes_others = true;
	else if (!is_text(text, "SET search_path ") && !is_text(text, "SELECT set_config(") && !b->is_load)
		sim_fail("the model does not know this: %s", text);
	return true;
}

/* --- a Query --- */

static void
ring(struct backend *by)
{
	struct backend *b;

	by->wakes_others = false;
	TAILQ_FOREACH(b, &by->sim->pg.backends, link)
		if (b->is_listening && b->state != BE_LEAVING) {
			size_t begun = message_begin(&b->out, 'A');

			buf_put_u32(&b->out, by->pid);
			buf_put_str(&b->out, "pgweir_budget");
			buf_put_str(&b->out, "");
			message_end(&b->out, begun);
		}
}

static void
end_query(struct backend *b, const struct fail *error)
{
	if (error != NULL)
		message_error(&b->out, "ERROR", error);
	release_lock(b);
	if (b->wakes_others && error == NULL)
		ring(b);
	b->wakes_others = false;
	message_ready(&b->out, 'I');
	free(b->sql);
	b->sql = b->at = NULL;
	b->state = BE_READY;
}

void
backend_query(struct backend *b, const char *sql)
{
	static const char mark[] = MESSAGE_OURS;

	b->sql = b->at = strdup(sql);
	if (b->sql == NULL)
		abort();
	for (char *at; (at = strstr(b->sql, mark)) != NULL;)
		memmove(at, at + sizeof(mark) - 1, strlen(at + sizeof(mark) - 1) + 1);
	b->is_load = strstr(sql, "'load'") != NULL;
	if (sql[strspn(sql, " ;")] == '\0') { /* a ping */
		message_put(&b->out, 'I', NULL, 0);
		*b->at = '\0';
	}
	b->is_counted = false;
	b->state = BE_RUNNING;
	b->due_us = clock_now_us() +
		    (b->is_load ? fleet_below(b->sim, b->sim->profile.slow_us) : fleet_pause_us(b->sim, STATEMENT_US));
}

/* Statements are parted by what no text of pgweir's has within one. */
void
backend_go_on(struct backend *b)
{
	struct fleet_sim *s = b->sim;
	struct fail why;
	char *end;

	if (*b->at == '\0') {
		end_query(b, NULL);
		return;
	}
	if (b->is_fleet_conn && !s->is_calm && b->queue == 0 && fleet_chance(s, s->profile.ending)) {
		s->ends++;
		backend_leave(b, fleet_chance(s, 2048) ? "terminating connection" : NULL);
		return;
	}
	end = strchr(b->at, ';');
	if (end != NULL)
		*end = '\0';
	if (run(b, b->at + strspn(b->at, " "))) {
		message_complete(&b->out, "SELECT 0");
		b->at = end != NULL ? end + 1 : b->at + strlen(b->at);
	} else if (end != NULL)
		*end = ';';
	if (b->queue == 0)
		b->due_us = clock_now_us() + fleet_pause_us(s, STATEMENT_US);
	else if (clock_now_us() >= b->lock_until_us) {
		fail_set(&why, "55P03", "canceling statement due to lock timeout");
		end_query(b, &why);
	}
}
