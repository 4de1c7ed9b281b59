/*
 * tests/unit/test_listen.c - LISTEN, UNLISTEN and notifications of a client that borrows its servers: listen/ on a fake
 * exchange, with a fake of the pool's listener.
 */
#include "fake_exchange.h"

#include "listen/listen.h"
#include "listen/listen_state.h"
#include "dedicated/notify_listener.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "unit.h"

/* --- a fake of dedicated/notify_listener.c: it has one subscriber --- */

#define MEMBERS_MAX 4

static struct {
	struct notify_subscriber *subscriber;
	struct {
		struct notify_subscription *m;
		char channel[64];
	} members[MEMBERS_MAX];
	bool is_down; /* nobody can wait for it */
	unsigned catch_ups, catch_ups_with_others;
} listener;

int
notify_attach(struct pool *entry, const char *encoding, struct notify_subscriber *subscriber,
	      const struct notify_subscriber_ops *ops)
{
	subscriber->listener = (struct notify_listener *)(void *)&listener;
	subscriber->ops = ops;
	listener.subscriber = subscriber;
	return 0;
}

bool
notify_attach_if_listening(struct pool *entry, const char *encoding, struct notify_subscriber *subscriber,
			   const struct notify_subscriber_ops *ops)
{
	return notify_attach(entry, encoding, subscriber, ops) == 0;
}

void
notify_detach(struct notify_subscriber *subscriber)
{
	subscriber->listener = NULL;
	listener.subscriber = NULL;
}

int
notify_join(struct notify_subscriber *subscriber, struct notify_subscription *m, const char *channel)
{
	size_t i = 0;

	while (listener.members[i].m != NULL)
		cr_assert_lt(++i, MEMBERS_MAX);
	m->subscriber = subscriber;
	listener.members[i].m = m;
	snprintf(listener.members[i].channel, sizeof(listener.members[i].channel), "%s", channel);
	return 0;
}

void
notify_leave(struct notify_subscription *m)
{
	for (size_t i = 0; i < MEMBERS_MAX; i++)
		if (listener.members[i].m == m)
			listener.members[i].m = NULL;
}

bool
notify_catch_up(struct notify_subscriber *subscriber)
{
	listener.catch_ups++;
	return !listener.is_down;
}

bool
notify_catch_up_across_connections(struct notify_subscriber *subscriber)
{
	listener.catch_ups_with_others++;
	return !listener.is_down;
}

void
log_event(struct log *log, enum log_level level, const struct log_about *about, const char *format, ...)
{
}

static struct notify_subscription *
at_listener(const char *channel)
{
	for (size_t i = 0; i < MEMBERS_MAX; i++)
		if (listener.members[i].m != NULL && strcmp(listener.members[i].channel, channel) == 0)
			return listener.members[i].m;
	return NULL;
}

static void
listens(const char *channel)
{
	struct notify_subscription *m = at_listener(channel);

	cr_assert_not_null(m, "%s", channel);
	m->subscriber->ops->listening(m, NULL);
}

static void
notify(const char *channel)
{
	struct buf body = { 0 }, message = { 0 };
	struct notify_subscription *m = at_listener(channel);

	cr_assert_not_null(m, "%s", channel);
	buf_put_u32(&body, 5);
	buf_put_str(&body, channel);
	buf_put_str(&body, "");
	message_put(&message, 'A', body.bytes, body.len);
	m->subscriber->ops->notified(m, message.bytes, message.len);
	m->subscriber->ops->flush(m->subscriber);
	buf_fini(&body);
	buf_fini(&message);
}

static void
caught_up(void)
{
	listener.subscriber->ops->caught_up(listener.subscriber);
}

/* --- what the relay does --- */

/* Sends a Query as far as it goes. */
static enum listen_gate
query(const char *sql)
{
	struct request m = fake_query(sql);
	enum listen_gate look = listen_gate_message(&fake->x, &m);

	if (look == LISTEN_GO) {
		cr_expect_neq(listen_before_sql(&fake->x, &m), STEP_FAILED);
		cr_expect_neq(listen_query(&fake->x, &m), STEP_FAILED);
		fake_forward(&m, OWED_QUERY);
	}
	buf_fini(&m.instead);
	return look;
}

/* CommandCompletes with these tags, separated by commas, then ReadyForQuery. Returns true if that one is kept. */
static bool
answer(const char *tags, uint8_t tx)
{
	char copy[128], *rest, *tag;

	snprintf(copy, sizeof(copy), "%s", tags);
	for (tag = strtok_r(copy, ",", &rest); tag != NULL; tag = strtok_r(NULL, ",", &rest)) {
		fake_reply("C");
		listen_take_complete(&fake->x, tag_read(tag));
	}
	fake_reply("Z");
	fake->srv.tx = tx;
	return listen_request_done(&fake->x);
}

/* LISTEN on a channel to which the listener listens already, or does at once. */
static void
listen_now(const char *sql, const char *channel, uint8_t tx)
{
	if (query(sql) == LISTEN_WAIT) {
		listens(channel);
		cr_expect_eq(query(sql), LISTEN_GO);
	}
	if (answer("UNLISTEN", tx))
		caught_up();
}

static bool
gets(const char *channel)
{
	if (at_listener(channel) == NULL)
		return false;
	fake_told();
	notify(channel);
	return strcmp(fake_told(), "A") == 0;
}

static void
setup(void)
{
	memset(&listener, 0, sizeof(listener));
	fake_begin(NULL);
	listener.is_down = true; /* in most tests nobody waits for it */
}

static void
teardown(void)
{
	ledger_fini(&fake->srv.ledger);
	listen_free(&fake->x);
	free(fake->x.listen);
	fake_end();
}

TestSuite(listen, .init = setup, .fini = teardown);

Test(listen, other_sql_is_no_concern)
{
	cr_expect_eq(query("SELECT 1"), LISTEN_GO);
	cr_expect_eq(query("SELECT 'LISTEN a'"), LISTEN_GO);
	cr_expect_str_eq(fake_sent(), "Q(SELECT 1) Q(SELECT 'LISTEN a')");
	cr_expect_null(fake->x.listen);
}

Test(listen, a_listen_waits_and_runs_as_an_unlisten)
{
	cr_expect_eq(query("LISTEN a"), LISTEN_WAIT);
	cr_expect_eq(fake->x.state, CL_AWAITING_LISTENER);
	cr_expect_str_eq(fake_sent(), "");
	fake->x.pending_len = 1; /* the message waits */
	listens("a");
	cr_expect_eq(fake->resumed, 1);
	fake->x.pending_len = 0;
	cr_expect_eq(query("LISTEN a"), LISTEN_GO);
	cr_expect_str_eq(fake_sent(), "Q(UNLISTEN/*LISTEN*/ a)");
	answer("UNLISTEN", 'I');
	cr_expect_str_eq(fake_told(), "C:LISTEN");
	cr_expect(gets("a"));
}

Test(listen, a_committed_listen_counts_and_one_that_is_rolled_back_does_not)
{
	fake->srv.tx = 'T';
	listen_now("LISTEN a", "a", 'T');
	notify("a");
	cr_expect(strchr(fake_told(), 'A') == NULL, "it is not committed");
	query("COMMIT");
	answer("COMMIT", 'I');
	cr_expect_str_eq(fake_told(), "A", "it was notified since the LISTEN");
	cr_expect(gets("a"));
	fake->srv.tx = 'T';
	listen_now("LISTEN b", "b", 'T');
	query("ROLLBACK");
	answer("ROLLBACK", 'I');
	cr_expect_not(gets("b"));
	cr_expect(gets("a"));
}

Test(listen, an_error_rolls_back)
{
	struct error_fields e = { .severity = "ERROR", .sqlstate = "42601", .message = "?" };

	fake->srv.tx = 'T';
	listen_now("LISTEN a", "a", 'T');
	query("SELEC");
	fake_reply("E");
	cr_expect_not(listen_take_error(&fake->x, &e));
	answer("", 'E');
	query("COMMIT");
	answer("ROLLBACK", 'I');
	cr_expect_not(gets("a"));
}

Test(listen, within_a_savepoint_its_server_listens)
{
	fake->srv.tx = 'T';
	listen_now("LISTEN a", "a", 'T');
	query("SAVEPOINT s");
	answer("SAVEPOINT", 'T');
	fake_sent();
	cr_expect_eq(query("LISTEN b"), LISTEN_GO);
	cr_expect_str_eq(fake_sent(), "Q(LISTEN b)");
	answer("LISTEN", 'T');
	query("ROLLBACK TO s");
	answer("ROLLBACK", 'T');
	query("COMMIT");
	answer("COMMIT", 'I');
	cr_expect(gets("a"));
	cr_expect_not(gets("b"));
}

Test(listen, an_unlisten_within_a_savepoint_counts_unless_one_is_rolled_back_to)
{
	listen_now("LISTEN a", "a", 'I');
	for (int i = 0; i < 2; i++) {
		fake->srv.tx = 'T';
		query("SAVEPOINT s");
		answer("SAVEPOINT", 'T');
		query("UNLISTEN a");
		answer("UNLISTEN", 'T');
		query(i == 0 ? "ROLLBACK TO s" : "RELEASE s");
		answer(i == 0 ? "ROLLBACK" : "RELEASE", 'T');
		query("COMMIT");
		answer("COMMIT", 'I');
		cr_expect_eq(gets("a"), i == 0);
	}
}

Test(listen, unlisten_ends_a_subscription)
{
	listen_now("LISTEN a", "a", 'I');
	listen_now("LISTEN b", "b", 'I');
	query("UNLISTEN a");
	answer("UNLISTEN", 'I');
	cr_expect_not(gets("a"));
	cr_expect(gets("b"));
	query("UNLISTEN *");
	answer("UNLISTEN", 'I');
	cr_expect_not(gets("b"));
	cr_expect_null(listener.subscriber, "nothing is left to listen for");
}

Test(listen, notifications_wait_for_the_end_of_the_transaction)
{
	listen_now("LISTEN a", "a", 'I');
	fake_told();
	query("BEGIN");
	answer("BEGIN", 'T');
	notify("a");
	notify("a");
	cr_expect_str_eq(fake_told(), "");
	query("COMMIT");
	answer("COMMIT", 'I');
	cr_expect_str_eq(fake_told(), "A A");
}

/* The channels of what waits for the client, in order. */
static const char *
queued(void)
{
	static char channels[64];
	const struct buf *queue = &fake->x.listen->queue;

	channels[0] = '\0';
	for (size_t at = fake->x.listen->queue_at; at < queue->len; at += 1 + wire_u32(queue->bytes + at + 1))
		strcat(channels, (const char *)queue->bytes + at + 9);
	return channels;
}

Test(listen, notifications_of_several_new_channels_keep_their_order)
{
	listener.is_down = false; /* ReadyForQuery waits, and with it what is queued */
	fake->x.pending_len = 1;
	cr_expect_eq(query("LISTEN a; LISTEN b"), LISTEN_WAIT);
	listens("a");
	listens("b");
	fake->x.pending_len = 0;
	cr_expect_eq(query("LISTEN a; LISTEN b"), LISTEN_GO);
	for (const char *channel = "b\0a\0b\0a\0a\0b\0"; channel[0] != '\0'; channel += 2)
		notify(channel);
	cr_expect(answer("UNLISTEN,UNLISTEN", 'I'));
	cr_expect_str_eq(queued(), "babaab");
	caught_up();
}

Test(listen, a_new_channels_notifications_keep_their_place_among_the_others)
{
	for (int is_kept = 0; is_kept < 2; is_kept++) {
		listener.is_down = true;
		listen_now("LISTEN a", "a", 'I');
		query("BEGIN");
		answer("BEGIN", 'T');
		listen_now("LISTEN b", "b", 'T');
		for (const char *channel = "a\0b\0a\0b\0"; channel[0] != '\0'; channel += 2)
			notify(channel);
		listener.is_down = false;
		fake->x.listen->has_caught_up = true; /* the listener has caught up before the LISTEN is committed */
		query(is_kept ? "COMMIT" : "ROLLBACK");
		cr_expect(answer(is_kept ? "COMMIT" : "ROLLBACK", 'I'));
		cr_expect_str_eq(queued(), is_kept ? "abab" : "aa");
		caught_up();
	}
}

Test(listen, a_client_that_moves_is_warned_if_the_listener_can_not_notify_itself)
{
	struct fail why;

	listen_now("LISTEN a", "a", 'I');
	fake_told();
	fail_set(&why, "54000", "too many notifications in the NOTIFY queue");
	listener.subscriber->ops->gap(listener.subscriber, &why);
	listener.subscriber->ops->flush(listener.subscriber);
	cr_expect_str_eq(fake_told(), "", "others need no more than that it has caught up");
	fake->x.reading = EXCHANGE_IN_TRANSFER;
	listener.subscriber->ops->gap(listener.subscriber, &why);
	fake->x.reading = EXCHANGE_READS;
	listener.subscriber->ops->flush(listener.subscriber);
	cr_expect_str_eq(fake_told(), "N");
}

Test(listen, ready_for_query_waits_for_what_was_committed_before)
{
	listen_now("LISTEN a", "a", 'I');
	fake_told();
	listener.is_down = false;
	query("SELECT 1");
	cr_expect(answer("SELECT 1", 'I'));
	cr_expect_eq(fake->x.state, CL_READY_WITHHELD);
	notify("a");
	cr_expect_str_eq(fake_told(), "");
	caught_up();
	cr_expect_str_eq(fake_told(), "A Z");
	cr_expect_eq(fake->x.state, CL_READY);
}

Test(listen, a_client_that_does_not_read_is_closed)
{
	listen_now("LISTEN a", "a", 'I');
	fake->srv.tx = 'T';
	for (size_t i = 0; i <= LISTEN_QUEUE_MAX / 11 && fake->closed == 0; i++) {
		notify("a");
		fake_told();
	}
	cr_expect_eq(fake->closed, 1);
}

Test(listen, a_listen_that_the_listener_can_not_make_is_refused)
{
	struct error_fields e = { .severity = "ERROR",
				  .sqlstate = "26000",
				  .message = "prepared statement \"pgweir_refused\" does not exist" };
	struct fail why;

	query("LISTEN a");
	fail_set(&why, "08006", "no connection");
	at_listener("a")->subscriber->ops->listening(at_listener("a"), &why);
	cr_expect_eq(query("LISTEN a"), LISTEN_GO);
	cr_expect_str_eq(fake_sent(), "Q(EXECUTE pgweir_refused; )");
	fake_reply("E");
	cr_expect(listen_take_error(&fake->x, &e), "the client gets another one");
	cr_expect_str_eq(fake_told(), "E");
	answer("", 'I');
}

Test(listen, in_the_extended_protocol)
{
	struct request m = fake_parse("s", "LISTEN a");
	struct statement *st;

	cr_expect_eq(listen_parse(&fake->x, &m), STEP_FORWARD);
	cr_expect_str_eq(m.sql, "UNLISTEN/*LISTEN*/ a");
	cr_expect_str_eq(m.parse.name, "s");
	st = statement_get_or_create(fake->pool.home, m.parse.rest, m.parse.rest_len, m.parse.query_len, 0);
	buf_fini(&m.instead);
	m = fake_bind("", "s");
	m.statement = st;
	m.traits = statement_traits(st);
	cr_expect_eq(listen_bind(&fake->x, &m), STEP_FORWARD);
	fake_forward(&m, OWED_BIND);
	m = fake_execute();
	cr_expect_eq(listen_gate_message(&fake->x, &m), LISTEN_WAIT);
	listens("a");
	cr_expect_eq(listen_gate_message(&fake->x, &m), LISTEN_GO);
	cr_expect_eq(listen_execute(&fake->x, &m), STEP_FORWARD);
	fake_forward(&m, OWED_EXECUTE);
	fake_sync();
	fake_reply("2");
	answer("UNLISTEN", 'I');
	cr_expect_str_eq(fake_told(), "C:LISTEN");
	cr_expect(gets("a"));
	statement_unref(st);
}

Test(listen, sql_that_notifies_waits_until_the_listener_has_caught_up)
{
	struct request m = fake_query("SELECT 1");

	listener.is_down = false;
	cr_expect_eq(listen_gate_sender(&fake->x, &m), LISTEN_GO);
	m = fake_query("NOTIFY a");
	cr_expect_eq(listen_gate_sender(&fake->x, &m), LISTEN_WAIT);
	caught_up();
	cr_expect_eq(fake->srv.loan.notify_as, fake->x.client_pid);
	cr_expect_eq(listen_gate_sender(&fake->x, &m), LISTEN_GO);
	cr_expect(listen_hold_server(&fake->x), "until its notification has come");
	caught_up();
	cr_expect_not(listen_hold_server(&fake->x));
	cr_expect_null(fake->srv.loan.notify_listener);
}

Test(listen, sql_that_asks_for_its_channels_runs_where_they_are)
{
	listen_now("LISTEN a", "a", 'I');
	fake_sent();
	query("SELECT pg_listening_channels()");
	cr_expect_str_eq(fake_sent(), "Q(LISTEN \"a\";) Q(SELECT pg_listening_channels())");
}

Test(listen, where_sessions_are_not_followed_listen_is_sent_as_it_is)
{
	fake->pool.settings.session_state = SESSION_ALLOW;
	cr_expect_eq(query("LISTEN a"), LISTEN_GO);
	cr_expect_str_eq(fake_sent(), "Q(LISTEN a)");
	cr_expect_null(fake->x.listen);
}
