/*
 * src/relay/reads_replayed.c - a standby of PostgreSQL 19 or later itself says when it has replayed a position that a
 * client needs; see reads.h.
 *
 * WAIT FOR LSN is a request of pgweir's own, followed by the client's request in the same write. The standby runs the
 * client's request as soon as it has replayed the position; no reading of the standby is needed first. PostgreSQL
 * answers in order, so the answer to WAIT FOR LSN comes before any part of the client's answer. If the standby has not
 * replayed the position in time, its server is closed or its request cancelled, and the request is relayed again to the
 * primary (loss_handle_lag()). So only requests that may run twice are sent this way.
 *
 * PostgreSQL compares positions as numbers only, so cluster_note_replayed() checks that both are still of the same log.
 */
#include "relay/reads_state.h"
#include "relay/relay.h"
#include "relay/resend.h"
#include "wire/messages.h"

#include <stdio.h>

/* For longer, pgweir waits for a reading instead, because a cancel or a time limit can end that wait at once. */
#define ASK_MAX_US (2 * US_PER_S)

/* Rounds down to four significant bits, because pg_stat_statements has a row for each timeout that was used. */
static uint32_t
round_ms(uint64_t ms)
{
	unsigned shift = 0;

	while (ms >> shift > 15)
		shift++;
	return (uint32_t)(ms >> shift << shift);
}

uint32_t
reads_await_ms(const struct request_walk *w, const struct client_reads *r)
{
	const struct scope_settings *s = w->x->settings;
	bool is_again = w->x->rare->replayed_request == w->x->requests_done + 1;
	uint64_t now_us = *w->x->env->now_us;
	uint64_t until_us = r->catch_until_us == 0 ? now_us + s->reads_wait_us : r->catch_until_us;
	uint64_t left_us = until_us > now_us ? until_us - now_us : 0;

	/* WAIT FOR LSN with 0 ms would wait forever. */
	if (is_again || left_us < US_PER_MS || left_us > ASK_MAX_US ||
	    (s->query_timeout_us != 0 && left_us >= s->query_timeout_us) ||
	    !resend_may_be_sent(w->x, w->p + w->at, w->len - w->at))
		return 0;
	return round_ms(left_us / US_PER_MS);
}

/* The client's statement_timeout and transaction_timeout apply to its own statements only. */
void
relay_ask_standby(struct exchange *x)
{
	const struct client_reads *r = reads_of(x);
	struct server *srv = x->srv;
	struct buf b = { 0 };
	char sql[192];

	if (r == NULL || x->settings->reads != READS_MARKED || r->awaited == 0)
		return;
	snprintf(sql, sizeof(sql),
		 "SET LOCAL " MESSAGE_OURS
		 "statement_timeout = 0; SET LOCAL transaction_timeout = 0; WAIT FOR LSN '" LSN
		 "' WITH (TIMEOUT '%" PRIu32 "ms', NO_THROW)",
		 LSN_ARGS(r->awaited), r->await_ms);
	message_query(&b, sql);
	server_owe_query(srv, OWED_TO_REPLAY);
	outbox_put(&x->env->to_server, &b);
	srv->loan.replay = REPLAY_ASKED;
}

bool
relay_check_replayed(struct exchange *x)
{
	struct client_reads *r = reads_of(x);
	struct loan *l = &x->srv->loan;
	bool is_late = l->replay != REPLAY_DONE;

	if (is_late)
		cluster_note_late(r->cluster, l->standby - 1u, x->settings->reads_wait_us, *x->env->now_us);
	if (is_late || !cluster_note_replayed(r->cluster, l->standby - 1u, r->life, r->token.history, r->awaited)) {
		l->replay = REPLAY_LATE;
		return false;
	}
	x->pool->database->counters.reads[RT_STANDBY]++;
	return true;
}
