#include "relay/begin.h"
#include "exchange/report.h"
#include "session/gucs.h"
#include "sql/known.h"
#include "statements/unnamed.h"
#include "wire/messages.h"

#include <stdio.h>

static bool
may_defer(const struct exchange *x)
{
	const struct scope_settings *s = x->settings;

	return s->begin == BEGIN_DEFERRED && s->pool_mode == POOL_MODE_TRANSACTION && exchange_is_followed(x) &&
	       x->block == EXCHANGE_ORDINARY && !exchange_keeps_server(x) && !x->pool->is_orphan &&
	       !x->env->is_draining;
}

/* Returns true if these modes decide which host the transaction goes to, or if a standby would refuse them. */
static bool
concerns_hosts(const struct exchange *x, const struct known_statement *k)
{
	return (x->pool->cluster != NULL && k->has_other_mode) ||
	       (x->settings->reads == READS_MARKED &&
		(k->is_read_only || gucs_is_on(x->gucs, "default_transaction_read_only")));
}

/* Returns the tag of the CommandComplete that answers m, writes to *block the state of the block afterwards, and sets
 * x->begin_modes for a BEGIN. Returns NULL if m must be sent. */
static const char *
prepare_answer(struct exchange *x, const struct request *m, enum exchange_block *block)
{
	bool is_begin = request_begins_with(m, WORD_BEGIN), is_start = request_begins_with(m, WORD_START_TRANSACTION);
	struct known_statement k;

	*block = EXCHANGE_ORDINARY;
	if (x->block == EXCHANGE_BEGIN_DUE) {
		enum known_kind kind = request_has(m, 0, SCAN_HINT_ENDS)
					   ? known_single_statement(&k, gucs_scan_options(x->gucs), m->sql, m->sql_len)
					   : KNOWN_NOT;

		/* A block that has begun on a standby (begin_modes is 0) ends on a server. A client that listens must
		 * first get the notifications that were committed earlier. */
		if ((kind != KNOWN_COMMIT && kind != KNOWN_ROLLBACK) || x->begin_modes == 0 || x->listen != NULL)
			return NULL;
		return kind == KNOWN_COMMIT ? "COMMIT" : "ROLLBACK";
	}
	if (!(is_begin || is_start) || !may_defer(x) ||
	    known_single_statement(&k, gucs_scan_options(x->gucs), m->sql, m->sql_len) != KNOWN_BEGIN || k.modes == 0)
		return NULL;
	if (concerns_hosts(x, &k))
		return NULL;
	x->begin_modes = k.modes & 15u;
	*block = EXCHANGE_BEGIN_DUE;
	return is_begin ? "BEGIN" : "START TRANSACTION";
}

bool
relay_answer_begin_or_end(struct exchange *x, const struct request *m)
{
	enum exchange_block block;
	const char *tag = prepare_answer(x, m, &block);
	struct buf b = { 0 };

	if (tag == NULL)
		return false;
	statements_forget_unnamed(x);
	if (block == EXCHANGE_BEGIN_DUE)
		x->tx_started_us = *x->env->now_us;
	else
		report_transaction(x, tag[0] == 'R' ? TE_ROLLBACK : TE_COMMIT);
	x->waiter.idle_since_us = *x->env->now_us;
	exchange_set_block(x, block);
	message_complete(&b, tag);
	message_ready(&b, block == EXCHANGE_BEGIN_DUE ? 'T' : 'I');
	exchange_answer_buf(x, &b);
	return true;
}

__attribute__((noinline)) void
relay_send_deferred_begin(struct exchange *x)
{
	struct server *srv = x->srv;
	char sql[80];
	struct buf b = { 0 };

	if (x->begin_modes != 0) {
		snprintf(sql, sizeof(sql), "BEGIN %s", known_modes[x->begin_modes & ~EXCHANGE_BEGIN_FAILED]);
		message_query(&b, sql);
	} else
		message_query(&b, x->rare->begin);
	srv->loan.begun_for = x->requests_done + 1;
	srv->tx = 'T'; /* for the messages after the BEGIN */
	/* The BEGIN is entered in the ledger like replayed settings: no cancel may hit the BEGIN, and if the BEGIN
	 * fails, the client is closed, because the next statements would run outside of a transaction. */
	server_owe_query(srv, OWED_TO_GUCS);
	if ((x->begin_modes & EXCHANGE_BEGIN_FAILED) != 0) {
		message_query(&b, "ROLLBACK " MESSAGE_OURS "TO failed_without_a_server");
		server_owe_query(srv, OWED_TO_FEATURE);
		srv->tx = 'E';
	}
	outbox_put(&x->env->to_server, &b);
	exchange_set_block(x, srv->loan.standby != 0 && x->begin_modes == 0 ? EXCHANGE_BEGUN : EXCHANGE_ORDINARY);
}
