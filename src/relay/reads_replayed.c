/*
 * src/relay/reads_replayed.c - a standby of PostgreSQL 19 or later says itself when it has replayed what a client must
 * not miss; see reads.h.
 *
 * WAIT FOR LSN is a request of pgweir's own, in one write with the client's behind it. So the standby runs the client's
 * as soon as it has replayed the position, and no reading of its own has to say so first. PostgreSQL answers in order:
 * nothing of the client's is passed before it is known whether the position was replayed. If it was not, what the
 * standby answers or runs is dropped, and the request is relayed again to the primary (loss_of_lag()). So only a
 * request that may be run twice is sent so.
 *
 * PostgreSQL compares numbers alone: cluster_replayed() says whether they are still those of the same log.
 */
#include "relay/reads_state.h"
#include "relay/relay.h"
#include "relay/resend.h"
#include "wire/messages.h"

#include <stdio.h>

/* Longer waits are by readings: a cancel, or a limit on the time of queries, ends those at once. */
#define ASK_MAX_US (2 * US_PER_S)

uint32_t
reads_await_ms(const struct request_walk *w, const struct client_reads *r)
{
	const struct scope_settings *s = w->x->settings;
	bool is_again = w->x->rare->replayed_request == w->x->requests_done + 1;
	uint64_t now_us = *w->x->env->now_us;
	uint64_t until_us = r->catch_until_us == 0 ? now_us + s->reads_wait_us : r->catch_until_us;
	uint64_t left_us = until_us > now_us ? until_us - now_us : 0;

	/* PostgreSQL waits for ever if it is told 0 ms. */
	if (is_again || left_us < US_PER_MS || left_us > ASK_MAX_US ||
	    (s->query_timeout_us != 0 && left_us >= s->query_timeout_us) ||
	    !resend_may_be_sent(w->x, w->p + w->at, w->len - w->at))
		return 0;
	return (uint32_t)(left_us / US_PER_MS);
}

/* The client's statement_timeout is for its own statements. */
void
relay_ask_standby(struct exchange *x)
{
	const struct client_reads *r = reads_of(x);
	struct server *srv = x->srv;
	struct buf b = { 0 };
	char sql[160];

	if (r == NULL || x->settings->reads != READS_MARKED || r->awaited == 0)
		return;
	snprintf(sql, sizeof(sql),
		 "SET LOCAL " MESSAGE_OURS "statement_timeout = 0; WAIT FOR LSN '" LSN "' WITH (TIMEOUT '%" PRIu32
		 "ms', NO_THROW)",
		 LSN_ARGS(r->awaited), r->await_ms);
	message_query(&b, sql);
	server_owe_query(srv, OWED_TO_REPLAY);
	outbox_put(&x->env->to_server, &b);
	srv->loan.replay = REPLAY_ASKED;
}

bool
relay_standby_has_replayed(struct exchange *x)
{
	struct client_reads *r = reads_of(x);
	struct loan *l = &x->srv->loan;
	uint64_t position = l->replay == REPLAY_DONE ? r->awaited : 0;

	if (!cluster_replayed(r->cluster, l->standby - 1u, r->life, r->token.history, position, *x->env->now_us)) {
		l->replay = REPLAY_LATE;
		return false;
	}
	x->pool->database->counters.reads[RT_STANDBY]++;
	return true;
}
