/* tests/unit/test_report.c - the clock with one debtor: since when a client owes the next byte of what it has begun. */
#include "exchange/report.h"

#include "base/clock.h"
#include "wire/frame.h"
#include "unit.h"

#include <sys/syscall.h>
#include <unistd.h>

#define S US_PER_S

static const uint64_t *own_now_us; /* the time that clock_now_us() tells; NULL: that of the machine */

int
clock_gettime(clockid_t id, struct timespec *t)
{
	if (own_now_us == NULL)
		return (int)syscall(SYS_clock_gettime, id, t);
	*t = clock_timespec(*own_now_us - 1);
	return 0;
}

struct place {
	struct exchange x;
	struct exchange_env env;
	struct server srv;
	struct pool pool;
	struct pool_database database;
	struct process_counters counters;
	struct config config;
	uint64_t now_us;
};

static void
on_settled(void *arg, const struct owed *o, enum owed_end how)
{
}

static const struct ledger_ops ledger_ops = { on_settled, NULL, NULL };

static void
place_init(struct place *p)
{
	memset(p, 0, sizeof(*p));
	p->now_us = S;
	own_now_us = &p->now_us;
	p->env.now_us = &p->now_us;
	p->env.counters = &p->counters;
	p->env.config = &p->config;
	p->env.event_threshold_us = UINT64_MAX;
	p->pool.database = &p->database;
	p->pool.settings.slow_query_threshold_us = CONFIG_TIME_OFF;
	p->x.env = &p->env;
	p->x.pool = &p->pool;
	p->x.settings = &p->pool.settings;
	p->x.state = CL_READY;
	p->x.srv = &p->srv;
	p->x.stream.fd = p->srv.stream.fd = -1;
	p->srv.tx = 'I';
	p->srv.is_synced = true;
	ledger_init(&p->srv.ledger, &ledger_ops, NULL);
	loan_begin(&p->srv.loan, p->now_us);
}

static void
place_fini(struct place *p)
{
	ledger_fini(&p->srv.ledger);
	loan_fini(&p->srv.loan);
	own_now_us = NULL;
}

/* As relay/ does it: a message that begins or goes on with a request is entered. Lower case: only half of it is sent.
 */
static void
send_message(struct place *p, char type)
{
	static const char types[] = "QPBESc";
	static const uint8_t kinds[] = { OWED_QUERY, OWED_PARSE, OWED_BIND, OWED_EXECUTE, OWED_SYNC, OWED_COPY_END };
	const char *at = strchr(types, type == 'q' ? 'Q' : type == 'b' ? 'B' : type);
	struct ledger *l = &p->srv.ledger;

	if (p->srv.is_synced && at != NULL && type != 'c')
		report_request_begins(&p->x, &p->srv);
	if (at != NULL)
		ledger_push(l, kinds[at - types], OWED_TO_CLIENT, NULL);
	if (at != NULL && owed_ends_request(ledger_at(l, l->count - 1)))
		l->ring[(l->head + l->count - 1) & (l->cap - 1)].started_us = p->now_us;
	if (type == 'H')
		ledger_note_flush(l);
	if (type == 'S')
		p->srv.is_synced = true;
	else if (at != NULL && strchr("PbBE", type) != NULL)
		p->srv.is_synced = false;
	p->x.body_left = strchr("qbd", type) != NULL ? 7 : 0;
	p->x.is_body_data = type == 'd';
	report_sent_to_server(&p->x, &p->srv, FRAME_HEAD_LEN);
}

static void
receive_message(struct place *p, char type)
{
	struct owed ended;
	bool is_end;

	cr_assert_neq(ledger_receive(&p->srv.ledger, (uint8_t)type, &ended, &is_end), LEDGER_VIOLATION, "%c", type);
	if (is_end)
		report_done(&p->x, &p->srv, &ended);
	report_flushed(&p->x, &p->srv);
}

/*
 * Upper case, and c, q, b, d (half of a CopyDone's like, a Query, a Bind, a CopyData): the client sends that. Behind a
 * dot: the server does. T: its transaction is open from here on. A second passes before each.
 */
static void
tell(struct place *p, const char *story)
{
	for (; *story != '\0'; story++) {
		p->now_us += S;
		if (*story == 'T')
			p->srv.tx = 'T';
		else if (*story == '.')
			receive_message(p, *++story);
		else
			send_message(p, *story);
	}
}

Test(report, who_owes_the_next_byte)
{
	static const struct {
		const char *rule, *story;
		bool is_idle;
	} rows[] = {
		{ "nothing was begun", "", false },
		{ "the server owes a Query's answer", "Q", false },
		{ "a whole request is over", "Q.T.D.C.Z", false },
		{ "... in a transaction", "TQ.C.Z", true },
		{ "... and the next one is answered", "TQ.C.ZQ", false },
		{ "a Parse makes no answer due", "P", true },
		{ "... in a transaction neither", "TQ.C.ZP", true },
		{ "... but with a Flush it does", "PH", false },
		{ "... until it has come", "PH.1", true },
		{ "what is behind the Flush is not due", "PHB.1", true },
		{ "what is before it is", "PBH.1", false },
		{ "an error answers all that was sent", "PBEH.E", true },
		{ "a request behind another one", "QP", false },
		{ "... which is over", "QP.T.C.Z", true },
		{ "half a Query", "q", true },
		{ "... behind a whole one", "Qq", false },
		{ "... which is over", "Qq.T.C.Z", true },
		{ "half a Bind", "Pb", true },
		{ "half a Bind behind a Flush", "PHb", false },
		{ "a COPY that begins", "Q.G", true },
		{ "... and has half a message", "Q.Gd", true },
		{ "... which came before it began", "Qd", false },
		{ "... and its end", "Q.Gc", false },
		{ "... that came before", "Qc.G", false },
		{ "a COPY of Execute, with its Sync", "PBES.1.2.G", true },
		{ "... and its end", "PBES.1.2.Gc", false },
	};

	EACH(row, rows) {
		struct place p;
		uint64_t heard_us;

		place_init(&p);
		tell(&p, row->story);
		heard_us = p.now_us;
		p.now_us += 60 * S;
		cr_expect_eq(report_idle_since(&p.x), row->is_idle ? heard_us : 0, "%s", row->rule);
		place_fini(&p);
	}
}

Test(report, each_byte_begins_a_clients_time_anew)
{
	struct place p;

	place_init(&p);
	tell(&p, "Q.G");
	for (int i = 0; i < 5; i++) {
		p.now_us += 60 * S;
		send_message(&p, 'd');
		cr_expect_eq(report_idle_since(&p.x), p.now_us);
	}
	place_fini(&p);
}

Test(report, each_byte_does_between_two_requests_of_a_transaction)
{
	struct place p;

	place_init(&p);
	tell(&p, "QT.T.C.Z");
	p.now_us += 60 * S;
	report_drained(&p.x, &p.srv); /* it has taken more of the answer */
	cr_expect_eq(report_idle_since(&p.x), p.now_us);
	p.now_us += 60 * S;
	report_sent_to_server(&p.x, &p.srv,
			      FRAME_HEAD_LEN); /* the beginning of a Parse, which is kept until all of it has come */
	cr_expect_eq(report_idle_since(&p.x), p.now_us);
	cr_expect_eq(p.database.counters.transaction_idle_us, 120 * S);
	place_fini(&p);
}

Test(report, who_does_not_read_is_not_idle)
{
	struct place p;

	place_init(&p);
	tell(&p, "Q.T");
	p.x.stream.queue_len = STREAM_QUEUE_HIGH + 1;
	report_flushed(&p.x, &p.srv);
	cr_expect_eq(p.srv.loan.clock.debtor, PHASE_CLIENT, "it is to read");
	cr_expect_eq(report_idle_since(&p.x), 0);
	place_fini(&p);
}

Test(report, who_waits_for_something_is_not_idle)
{
	struct place p;

	place_init(&p);
	tell(&p, "TQ.C.Z");
	p.x.state = CL_AWAITING_LISTENER;
	cr_expect_eq(report_idle_since(&p.x), 0);
	place_fini(&p);
}

/* The BEGIN was answered by a server that is gone, and runs again on the one that the client gets next. */
Test(report, a_transaction_is_one_whichever_servers_it_has)
{
	const uint64_t *ends;
	uint64_t begun_us, rested_us;
	struct place p;

	place_init(&p);
	ends = p.database.counters.transactions;
	tell(&p, "QT.C.Z");
	begun_us = p.x.tx_started_us;
	rested_us = p.now_us;
	p.now_us += 60 * S;
	p.x.srv = NULL;
	p.x.waiter.idle_since_us = rested_us;
	exchange_set_block(&p.x, EXCHANGE_BEGIN_DUE);
	cr_expect_eq(report_idle_since(&p.x), rested_us, "it is idle, as it was on its server");
	p.now_us += 60 * S;
	loan_begin(&p.srv.loan, p.now_us);
	p.srv.tx = 'I';
	p.x.srv = &p.srv;
	exchange_set_block(&p.x, EXCHANGE_ORDINARY);
	tell(&p, "QT.C.Z");
	cr_expect_eq(p.x.tx_started_us, begun_us);
	cr_expect_eq(report_idle_since(&p.x), p.now_us);
	cr_expect_eq(p.database.counters.transaction_idle_us, 0, "it kept no server meanwhile");
	tell(&p, "Q");
	p.srv.tx = 'I';
	tell(&p, ".C.Z");
	cr_expect_eq(ends[TE_COMMIT] + ends[TE_ROLLBACK] + ends[TE_LOST], 1);
	cr_expect_eq(histogram_sum_us(&p.database.counters.transaction_duration), p.now_us - begun_us);
	cr_expect_eq(p.x.tx_started_us, 0);
	place_fini(&p);
}

Test(report, a_transaction_that_was_lost_is_idle_until_its_client_has_ended_it)
{
	struct place p;

	place_init(&p);
	tell(&p, "QT.C.Z");
	p.x.srv = NULL;
	p.x.waiter.idle_since_us = p.now_us;
	exchange_set_block(&p.x, EXCHANGE_ROLLED_BACK);
	cr_expect_eq(report_idle_since(&p.x), p.now_us);
	cr_expect_neq(p.x.tx_started_us, 0);
	exchange_set_block(&p.x, EXCHANGE_ORDINARY);
	cr_expect_eq(report_idle_since(&p.x), 0);
	cr_expect_eq(p.x.tx_started_us, 0);
	p.x.srv = &p.srv;
	place_fini(&p);
}
