/*
 * src/server/server_gucs.c - gives a server connection the settings of its borrower.
 *
 * The messages are sent ahead of the borrower's next message, or during a reset; their replies are swallowed.
 */
#include "server/server.h"
#include "session/gucs_effects.h"
#include "wire/messages.h"

static void
owe_parse_bind_executes(struct server *srv, size_t triples)
{
	for (size_t i = 0; i < triples; i++)
		ledger_push_run(&srv->ledger, OWED_TO_GUCS, NULL);
	if (triples > 0)
		srv->unnamed_owner = 0;
}

void
server_owe_sync(struct server *srv, enum owed_to to)
{
	ledger_push_request(&srv->ledger, OWED_SYNC, to, &(struct owed_request){ .started_us = *srv->env->now_us });
}

void
server_owe_query(struct server *srv, enum owed_to to)
{
	struct owed_request request = { .started_us = *srv->env->now_us };

	srv->unnamed_owner = 0;
	ledger_push_request(&srv->ledger, OWED_QUERY, to, &request);
}

int
server_send(struct server *srv, struct buf *b)
{
	int r = buf_ok(b) && srv->ledger.trust != LEDGER_SHORT ? 0 : -1;

	if (r == 0 && b->len > 0)
		r = server_write(srv, b->bytes, b->len);
	buf_fini(b);
	return r;
}

void
server_put_gucs(struct server *srv, const struct gucs *to, const struct gucs *always, bool is_guarded, struct buf *out)
{
	size_t triples = 0;

	if (srv->role == SERVER_CONSOLE)
		return;
	/* Without this, the statement that changes the settings could run in a SERIALIZABLE, READ ONLY, DEFERRABLE
	 * transaction, as the last client's settings say, and wait for a snapshot. */
	if (srv->gucs != to && srv->tx == 'I' && gucs_get(srv->gucs, "default_transaction_deferrable") != NULL) {
		message_run(out, "", "", "SET " MESSAGE_OURS "TRANSACTION ISOLATION LEVEL READ COMMITTED", NULL, 0);
		triples++;
	}
	triples += gucs_put_changes(out, srv->gucs, to, always,
				    srv->target->upstream->keyword_values[UPSTREAM_CONNECT_QUERY] != NULL, is_guarded);
	if (triples == 0)
		return;
	owe_parse_bind_executes(srv, triples);
	message_sync(out);
	server_owe_sync(srv, OWED_TO_GUCS);
}

void
server_put_seed(struct server *srv, uint64_t seed, struct buf *out)
{
	char text[SEAL_SEED_MAX];

	srv->random_known_to = 0;
	message_run(out, "", "", seal_seed_sql(text, seed), NULL, 0);
	message_sync(out);
	owe_parse_bind_executes(srv, 1);
	server_owe_sync(srv, OWED_TO_GUCS);
}

bool
server_plans_suit(const struct server *srv, struct gucs *gucs)
{
	struct gucs *planned = srv->plan_gucs;

	return planned == NULL || planned == gucs ||
	       (gucs_context(planned) != GUCS_CONTEXT_NONE && gucs_context(planned) == gucs_context(gucs)) ||
	       gucs_plan_alike(planned, gucs);
}
