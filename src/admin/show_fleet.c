/*
 * src/admin/show_fleet.c - SHOW BUDGET: the limits on connections that several pgweir processes share, and the use of
 * these limits; SHOW FLEET: the processes.
 */
#include "admin/show.h"
#include "base/clock.h"
#include "dedicated/fleet.h"

SHOW_ROW(budget, (TEXT, hosts) (TEXT, database) (TEXT, mode) (TEXT, state) (INT8_OR_NULL, budget)
	(INT8_OR_NULL, own_budget) (TEXT, budget_of) (INT8_OR_NULL, connections) (INT8_OR_NULL, others) (INT8, used)
	(INT8, granted) (INT8, waiting) (INT8_OR_NULL, share) (INT8, members) (INT8, peak) (TIME, peak_at)
	(INT8, over_ms) (INT8, over_opens) (INT8, checks_granted) (INT8, checks_none) (INT8, checks_failed)
	(INT8_OR_NULL, lock_pid) (TEXT, strangers) (TEXT, last_error));

/* Returns n, or ROWS_NULL if n is not known. */
static uint64_t
if_known(bool is_known, uint64_t n)
{
	return is_known ? n : ROWS_NULL;
}

/* Writes a list like "PID 4711 (mallory, psql), ...". */
static void
name_strangers(const struct fleet_budget *b, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < b->stranger_count && len < size; i++) {
		const struct fleet_stranger *s = &b->strangers[i];

		len += (size_t)snprintf(out + len, size - len,
					s->pid != 0 ? "%sPID %u (%s, %s)" : "%sa prepared transaction",
					i > 0 ? ", " : "", s->pid, s->user, s->application);
	}
}

static void
add_budget(const struct fleet_budget *b, void *arg)
{
	static const char *const modes[] = { [BUDGET_OFF] = "off", [BUDGET_ADVISE] = "advise", [BUDGET_ON] = "on" };
	static const char *const states[] = { [FLEET_CONNECTING] = "connecting",
					      [FLEET_JOINED] = "joined",
					      [FLEET_LOCK_HELD] = "lock_held",
					      [FLEET_POOLED] = "pooled" };
	bool has_looked = b->looked_us > 0;
	char strangers[FLEET_STRANGERS_MAX * (sizeof(struct fleet_stranger) + 32)];
	struct budget_row row = { .hosts = b->hosts,
				  .database = b->database,
				  .mode = modes[b->mode],
				  .state = states[b->state],
				  .budget = if_known(b->limit > 0, b->limit),
				  .own_budget = if_known(b->own_limit > 0 && b->own_limit != b->limit, b->own_limit),
				  .budget_of = b->limit_process,
				  .connections = if_known(has_looked, b->listed),
				  .others = if_known(has_looked, b->others),
				  .used = b->used,
				  .granted = b->granted,
				  .waiting = b->short_count,
				  .share = if_known(b->share != UINT32_MAX, b->share),
				  .members = b->member_count,
				  .peak = b->peak,
				  .peak_at = b->peak_wall_us,
				  .over_ms = b->over_us / US_PER_MS,
				  .over_opens = b->over_opens,
				  .checks_granted = b->checks[FC_GRANTED],
				  .checks_none = b->checks[FC_NONE],
				  .checks_failed = b->checks[FC_FAILED],
				  .lock_pid = if_known(b->lock_pid != 0, b->lock_pid),
				  .strangers = strangers,
				  .last_error = b->last_error };

	name_strangers(b, strangers, sizeof(strangers));
	rows_add(arg, &row);
}

SHOW(show_budget, budget_columns, OF_MAIN_WORKER)
{
	fleet_each(env->host->fleet, add_budget, rows);
}

SHOW_ROW(member, (TEXT, hosts) (TEXT, process) (INT4, pid) (BOOL, own) (INT8_OR_NULL, budget) (INT8, used)
	(INT8, waiting) (BOOL, in_use) (BOOL, silent) (INT8, heard_ms));

static void
add_members(const struct fleet_budget *b, void *arg)
{
	const struct show_fill *fill = arg;

	for (size_t i = 0; i < b->member_count; i++) {
		const struct fleet_member *m = &b->members[i];
		struct member_row row = { .hosts = b->hosts,
					  .process = m->name,
					  .pid = m->pid,
					  .own = m->is_own,
					  .budget = if_known(m->budget > 0, m->budget),
					  .used = m->used,
					  .waiting = m->short_count,
					  .in_use = m->is_in_use,
					  .silent = m->is_silent,
					  .heard_ms = show_age_us(fill->env->now_us, m->heard_us) / 1000 };

		rows_add(fill->rows, &row);
	}
}

SHOW(show_fleet, member_columns, OF_MAIN_WORKER)
{
	struct show_fill fill = { env, rows };

	fleet_each(env->host->fleet, add_members, &fill);
}
