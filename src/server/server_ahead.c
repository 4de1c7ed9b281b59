/* src/server/server_ahead.c - requests that were sent ahead of their turn (policy/policy_ahead.h). */
#include "server/server_ahead.h"
#include "policy/policy_ahead.h"

/* Removes the next reply from *kinds, a list with four bits for each reply (struct policy_ahead), and sets *o to the
 * reply's ledger entry. Returns false at the end of the list. */
static bool
take_next_reply(const struct server *srv, uint32_t *kinds, struct owed *o)
{
	*o = (struct owed){ .kind = (uint8_t)((*kinds & 15) - 1), .to = OWED_TO_NOBODY };
	*kinds >>= 4;
	if (o->kind == UINT8_MAX)
		return false;
	if (owed_ends_request(o))
		o->started_us = *srv->env->now_us;
	return true;
}

bool
server_has_borrower_only(const struct server *srv)
{
	return srv->state == SV_LENT && !ledger_has_ahead(&srv->ledger);
}

void
server_disown_ahead(struct server *srv)
{
	struct policy_conn *conn = srv->conn;
	struct owed o;

	if (!ledger_has_ahead(&srv->ledger))
		return;
	ledger_end_ahead(&srv->ledger);
	for (uint32_t i = 0; i < conn->ahead_count; i++)
		for (uint32_t kinds = conn->ahead[i].kinds; take_next_reply(srv, &kinds, &o);)
			ledger_enter(&srv->ledger, o);
	policy_forget_ahead(conn);
}

void
server_disown_ahead_to_front(struct server *srv)
{
	struct policy_conn *conn = srv->conn;
	struct owed all[POLICY_AHEAD_MAX * 8], o;
	size_t count = 0;

	for (uint32_t i = 0; i < conn->ahead_count; i++)
		for (uint32_t kinds = conn->ahead[i].kinds; take_next_reply(srv, &kinds, &o);)
			all[count++] = o;
	while (count > 0)
		ledger_enter_first(&srv->ledger, all[--count]);
	policy_forget_ahead(conn);
}
