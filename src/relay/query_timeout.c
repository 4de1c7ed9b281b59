#include "relay/query_timeout.h"
#include "base/clock.h"
#include "config/compat.h"
#include "wire/messages.h"

#include <string.h>

#define OWN_CANCEL_US US_PER_S /* after a cancel request was answered, PostgreSQL acts on it within this time */

static const struct {
	const char *sqlstate, *what, *setting, *pgbouncer_text, *remedy;
} words[] = {
	[LATE_QUERY] = { "57014", "the query was canceled after it had run for", "query_timeout", "query timeout",
			 "Make the query faster (EXPLAIN)" },
	[LATE_IDLE] = { "25P03", "the transaction was idle for", "idle_transaction_timeout", "idle transaction timeout",
			"COMMIT before the application does something else" },
	[LATE_TRANSACTION] = { "25P04", "the transaction was open for", "transaction_timeout", "transaction timeout",
			       "Do less in one transaction" },
};

const char *
late_setting(enum late late)
{
	return words[late].setting;
}

bool
query_timeout_delays_message(const struct exchange *x, uint8_t type)
{
	uint64_t since_us;

	if (x->srv == NULL || !query_timeout_may_hold(x) || strchr("QPBDECF", type) == NULL)
		return false;
	/* Within a COPY, PostgreSQL needs the next messages to go on. */
	return !compat_does(x->env->config, COMPAT_ENDS_LATE_QUERIES) && x->replication == 0 &&
	       x->srv->ledger.intake != INTAKE_COPY && ledger_owes_client(&x->srv->ledger, &since_us);
}

void
late_write_error(const struct exchange *x, enum late late, uint64_t lasted_us, struct fail *why)
{
	const struct scope_settings *s = x->settings;
	uint64_t limit_us = late == LATE_QUERY	? s->query_timeout_us
			    : late == LATE_IDLE ? s->idle_transaction_timeout_us
						: s->transaction_timeout_us;

	fail_set(why, words[late].sqlstate, "%s %s (%s = %s)",
		 late == LATE_IDLE && x->srv != NULL && x->srv->loan.clock.since_us != 0
		     ? "nothing more of the request has come for"
		     : words[late].what,
		 duration_format(lasted_us).text, words[late].setting, duration_format(limit_us).text);
	fail_hint(why, "%s, or raise %s for this database or user.", words[late].remedy, words[late].setting);
	fail_pgbouncer_text(why, "%s", words[late].pgbouncer_text);
}

bool
query_timeout_ends_wait(const struct exchange *x, struct fail *why)
{
	uint64_t limit_us = x->settings->query_timeout_us, waited_us = *x->env->now_us - x->waiter.since_us;

	if (limit_us == 0 || waited_us < limit_us || !compat_does(x->env->config, COMPAT_ENDS_LATE_QUERIES))
		return false;
	fail_set(why, "57014", "no server connection within %s (query_timeout = %s)", duration_format(waited_us).text,
		 duration_format(limit_us).text);
	fail_pgbouncer_text(why, "query_timeout");
	return true;
}

void
query_timeout_note_cancel(struct exchange *x, uint64_t since_us)
{
	x->srv->loan.late_query_began_us = since_us;
	x->srv->loan.cancelled_us = *x->env->now_us;
	if (x->srv->ledger.intake != INTAKE_COPY) /* in a COPY, PostgreSQL sees the cancel when it gets more data */
		exchange_stall(x);
}

void
query_timeout_note_other_cancel(struct exchange *x)
{
	if (x->srv->loan.late_query_began_us == 0)
		query_timeout_note_cancel(x, 0);
}

void
query_timeout_check_cancel(const struct exchange *x, const struct error_fields *e)
{
	const struct server *srv = x->srv;

	if (srv->own_cancel_us == 0 || *x->env->now_us - srv->own_cancel_us >= OWN_CANCEL_US || e->sqlstate == NULL ||
	    strcmp(e->sqlstate, "57014") != 0 || e->routine == NULL || strcmp(e->routine, "ProcessInterrupts") != 0 ||
	    e->message == NULL || strcmp(e->message, "canceling statement due to user request") != 0)
		return;
	log_error(x->env->log, "BUG: a cancel of pgweir's own request has hit client %llu on server %llu",
		  (unsigned long long)x->waiter.id, (unsigned long long)srv->id);
}

bool
query_timeout_answer(struct exchange *x)
{
	struct loan *loan = &x->srv->loan;
	struct buf b = { 0 };
	struct fail why;

	if (loan->canceled_by != CANCELED_BY_QUERY_TIMEOUT)
		return false;
	late_write_error(x, LATE_QUERY, *x->env->now_us - loan->late_query_began_us, &why);
	message_error(&b, "ERROR", &why);
	exchange_answer_buf(x, &b);
	return true;
}
