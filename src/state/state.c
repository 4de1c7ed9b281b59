/* src/state/state.c - makes, forgets and frees what is recorded about a client's session; sends pgweir's SQL. */
#include "state/state.h"
#include "state/state_state.h"
#include "session/statement_store.h"
#include "wire/messages.h"

#include <stdio.h>
#include <stdlib.h>

struct client_session *
client_session_get_or_create(struct exchange *x)
{
	if (x->session == NULL)
		x->session = calloc(1, sizeof(*x->session));
	return x->session;
}

void
state_drop_effects(struct client_session *s)
{
	for (unsigned i = 0; i < s->effect_count; i++) {
		free(s->effects[i].name);
		free(s->effects[i].value);
	}
	s->effect_count = 0;
}

void
state_drop_names(struct client_session *s)
{
	for (unsigned i = 0; i < s->name_count; i++)
		free(s->names[i]);
	free(s->names);
	s->names = NULL;
	s->name_count = 0;
}

void
state_forget_old_gucs(struct client_session *s)
{
	gucs_unref(s->before);
	s->before = NULL;
}

void
state_free(struct exchange *x)
{
	struct client_session *s = x->session;

	if (s == NULL)
		return;
	x->session = NULL;
	state_drop_effects(s);
	state_drop_names(s);
	state_forget_old_gucs(s);
	statement_unref(s->bound);
	free(s->bound_known);
	free(s->scan);
	free(s->refusal);
	buf_fini(&s->rows);
	buf_fini(&s->extension_cause);
	gucs_unref(s->local);
	buf_fini(&s->prepared);
	free(s);
}

void
state_put_sql(struct exchange *x, struct buf *b, const char *sql, enum owed_to to, void *ref)
{
	char statement[STATEMENT_NAME_MAX] = "", portal[STATEMENT_NAME_MAX] = "";
	struct ledger *l = &x->srv->ledger;

	if (!x->srv->is_synced || x->srv->tx != 'I')
		snprintf(portal, sizeof(portal), "%s", statement_store_prefix(x->env->statements));
	if (x->srv->loan.must_keep_unnamed) {
		statement_special_name(x->env->statements, STATEMENT_PLACEHOLDER, statement);
		message_close_statement(b, statement);
		ledger_push(l, OWED_CLOSE, OWED_TO_STATEMENT, NULL);
	} else
		x->srv->unnamed_owner = 0;
	message_run(b, statement, portal, sql, NULL, 0);
	ledger_push_run(l, to, ref);
	if (portal[0] != '\0')
		ledger_push(l, OWED_CLOSE, OWED_TO_STATEMENT, NULL);
}

void
state_run_ahead(struct exchange *x, const char *sql, void *ref)
{
	bool is_alone = x->srv->is_synced;
	struct buf b = { 0 };

	state_put_sql(x, &b, sql, is_alone ? OWED_TO_GUCS : OWED_TO_STATEMENT, ref);
	if (is_alone) {
		message_sync(&b);
		server_owe_sync(x->srv, OWED_TO_GUCS);
	}
	outbox_put(&x->env->to_server, &b);
}
