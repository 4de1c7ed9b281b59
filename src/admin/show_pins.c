/*
 * src/admin/show_pins.c - SHOW PINS: the clients that keep a server connection because of pins, and the reasons; SHOW
 * AUDIT: the kinds of SQL by which each application may change its session (if session_state = warn).
 */
#include "admin/show.h"
#include "client/clients.h"
#include "state/state.h"
#include "session/audit.h"

SHOW_ROW(pin, (TEXT, database) (TEXT, user) (TEXT, application_name) (TEXT, reasons) (INT8, pinned_ms) (INT8, idle_ms)
	(INT8, client_id) (INT8, server_id) (INT4, server_pid) (TEXT, addr) (INT4, port));

SHOW(show_pins, pin_columns, OF_ALL)
{
	const struct client *c;

	for (c = clients_walk(env->host->client_envs, NULL); c != NULL; c = clients_walk(env->host->client_envs, c)) {
		struct pin_row row = { .client_id = c->x.waiter.id };
		char addr[SHOW_ADDRESS_MAX] = "unix", reasons[160];

		if (c->x.pins == 0 || c->x.srv == NULL)
			continue;
		SHOW_WHO(&row, c, addr);
		row.reasons = state_pin_reasons(&c->x, reasons, sizeof(reasons));
		row.server_id = c->x.srv->id;
		row.server_pid = c->x.srv->pid;
		row.pinned_ms = show_age_us(env->now_us, c->x.srv->loan.lent_us) / 1000;
		row.idle_ms =
		    c->x.srv->ledger.count == 0 ? show_age_us(env->now_us, c->x.srv->loan.last_done_us) / 1000 : 0;
		rows_add(rows, &row);
	}
}

SHOW_ROW(audit_show, (TEXT, database) (TEXT, user) (TEXT, application_name) (TEXT, kind) (INT8, count)
	(TIME, last_seen) (TEXT, in_transaction_mode));

static void
add_audit(const struct audit_row *audited, void *arg)
{
	const struct show_fill *fill = arg;

	for (unsigned i = 0; i < AUDIT_KINDS; i++) {
		struct audit_show_row row = { .database = audited->database,
					      .user = audited->user,
					      .application_name = audited->application };

		if (audited->counts[i] == 0)
			continue;
		row.kind = audit_kind_name(i, &row.in_transaction_mode);
		row.count = audited->counts[i];
		row.last_seen = show_wall_us(fill->env, audited->last_us[i]);
		rows_add(fill->rows, &row);
	}
}

SHOW(show_audit, audit_show_columns, OF_MAIN_WORKER)
{
	if (audit_each(env->clients->x.audit, add_audit, &(struct show_fill){ env, rows }) < 0)
		rows->out->is_broken = true;
}
