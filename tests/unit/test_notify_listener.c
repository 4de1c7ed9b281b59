/*
 * tests/unit/test_notify_listener.c - the listener of a pool, on a fake of its connection: PostgreSQL answers a request
 * when the test says so, and takes 1 ms of the test's clock for each LISTEN.
 */
#include "dedicated/notify_state.h"

#include "pool/standby_pools.h"
#include "session/gucs.h"
#include "wire/frame.h"
#include "unit.h"

#include <event2/event.h>

#define LISTEN_US ((uint64_t)1000)
#define CROWD 20
#define CHANNELS 5000u

/* --- fakes of the connection, and of the pool --- */

static struct pool_database database = { .name = "app" };
static struct pool pool = { .database = &database };
static struct server srv;
static struct event_base *base;
static struct guc_store *guc_store;
static uint64_t now_us;
static struct buf sent; /* whole messages that are not answered yet */
static const char *refused; /* LISTEN of this channel fails */
static unsigned listens, requests; /* answered */

const struct server_owner_ops dedicated_one_client_ops;

void
dedicated_fill_env(struct server_env *env, const struct pool_set *set)
{
	env->base = base;
	env->now_us = &now_us;
}

int
dedicated_open(struct dedicated *d, struct pool_set *set, const struct server_env *env, struct pool_target *target,
	       const struct gucs *settings, const struct upstream_host *host)
{
	d->srv = &srv;
	srv.gucs = gucs_empty(guc_store);
	return 0;
}

void
dedicated_close(struct dedicated *d)
{
	if (d->srv == NULL)
		return;
	d->srv = NULL;
	buf_fini(&sent);
	ledger_fini(&srv.ledger);
	gucs_unref(srv.gucs);
	memset(&srv, 0, sizeof(srv));
	d->ops->closed(d);
}

int
server_write(struct server *s, const void *bytes, size_t len)
{
	buf_put(&sent, bytes, len);
	return 0;
}

void
server_fail(struct server *s, const struct fail *why)
{
}

void
policy_get_counts(const struct policy *p, struct policy_counts *out)
{
	memset(out, 0, sizeof(*out));
}

uint64_t
pool_set_random(struct pool_set *set)
{
	return 1;
}

bool
pool_note_server_host(const struct pool *p, struct server *s)
{
	return true;
}

const struct upstream_host *
pool_primary_host(const struct pool *p)
{
	return NULL;
}

void
log_event(struct log *log, enum log_level level, const struct log_about *about, const char *format, ...)
{
}

/* --- clients --- */

struct client {
	struct notify_subscriber subscriber;
	struct notify_subscription *subscriptions;
	unsigned count, listening, failed, notified, gaps, caught_up;
	struct notify_subscription *joins_next; /* as soon as one of its is answered */
	uint64_t answered_us; /* the last one */
};

static struct client crowd[CROWD], neighbour;

static struct notify_listener *
listener(void)
{
	return pool.listeners;
}

static void
on_listening(struct notify_subscription *m, const struct fail *why)
{
	struct client *c = (struct client *)m->subscriber;
	struct notify_subscription *next = c->joins_next;

	c->listening += why == NULL;
	c->failed += why != NULL;
	c->answered_us = now_us;
	c->joins_next = NULL;
	if (next != NULL)
		cr_assert_eq(notify_join(&c->subscriber, next, "own0"), 0);
}

static void
on_notified(struct notify_subscription *m, const uint8_t *message, size_t len)
{
	((struct client *)m->subscriber)->notified++;
}

static void
on_gap(struct notify_subscriber *subscriber, const struct fail *why)
{
	((struct client *)subscriber)->gaps++;
}

static void
on_flush(struct notify_subscriber *subscriber)
{
}

static void
on_caught_up(struct notify_subscriber *subscriber)
{
	((struct client *)subscriber)->caught_up++;
}

static const struct notify_subscriber_ops ops = {
	.listening = on_listening, .notified = on_notified, .gap = on_gap, .flush = on_flush, .caught_up = on_caught_up
};

static void
client_begin(struct client *c, unsigned count)
{
	c->subscriptions = calloc(count, sizeof(*c->subscriptions));
	c->count = count;
	cr_assert_eq(notify_attach(&pool, "", &c->subscriber, &ops), 0);
}

/* Joins channels called word0, word1, ... */
static void
client_join(struct client *c, const char *word, unsigned from, unsigned count)
{
	for (unsigned i = from; i < from + count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s%u", word, i);
		cr_assert_eq(notify_join(&c->subscriber, &c->subscriptions[i], name), 0);
	}
}

static void
client_leave(struct client *c)
{
	for (unsigned i = 0; i < c->count; i++)
		notify_leave(&c->subscriptions[i]);
	notify_detach(&c->subscriber);
	free(c->subscriptions);
	memset(c, 0, sizeof(*c));
}

static void
crowd_joins(unsigned clients)
{
	for (unsigned i = 0; i < clients; i++) {
		char word[16];

		client_begin(&crowd[i], CHANNELS);
		snprintf(word, sizeof(word), "c%u_", i);
		client_join(&crowd[i], word, 0, CHANNELS);
	}
}

/* --- PostgreSQL --- */

/* Returns the text of the request that is answered next; "": it is a Sync, or there is none. */
static const char *
next_request(void)
{
	return sent.len > 0 && sent.bytes[0] == 'Q' ? (const char *)sent.bytes + FRAME_HEAD_LEN : "";
}

static unsigned
count_of(const char *text, const char *word)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		count++;
	return count;
}

static bool
has_channel(const char *text, const char *name)
{
	char quoted[40];

	snprintf(quoted, sizeof(quoted), " \"%s\"", name);
	return strstr(text, quoted) != NULL;
}

/* Answers one request. Returns false if there is none. */
static bool
answer(void)
{
	struct dedicated *d = &listener()->conn;
	struct fail why;
	size_t total;

	if (sent.len == 0)
		return false;
	total = 1 + wire_u32(sent.bytes + 1);
	listens += count_of(next_request(), "LISTEN ");
	now_us += count_of(next_request(), "LISTEN ") * LISTEN_US;
	requests++;
	if (refused != NULL && (has_channel(next_request(), refused) || strstr(next_request(), refused) != NULL)) {
		fail_set(&why, "42501", "no");
		d->ops->error(d, &why);
	}
	buf_drop_front(&sent, total);
	d->ops->done(d);
	d->ops->batch_end(d);
	return true;
}

static void
answer_all(void)
{
	while (answer())
		;
}

/* PostgreSQL notifies. */
static void
notification(const char *channel_and_payload, size_t len)
{
	struct buf b = { 0 };

	buf_put(&b, "A\0\0\0\0\0\0\0\1", FRAME_HEAD_LEN + 4);
	buf_put(&b, channel_and_payload, len);
	listener()->conn.ops->notification(&listener()->conn, b.bytes, b.len);
	listener()->conn.ops->batch_end(&listener()->conn);
	buf_fini(&b);
}

static void
up(void)
{
	listener()->conn.ops->up(&listener()->conn);
}

static void
setup(void)
{
	base = event_base_new();
	guc_store = guc_store_new(0, NULL);
	now_us = 1000000;
	client_begin(&neighbour, 200);
	up();
}

static void
teardown(void)
{
	for (unsigned i = 0; i < CROWD; i++)
		if (crowd[i].count > 0)
			client_leave(&crowd[i]);
	if (neighbour.count > 0)
		client_leave(&neighbour);
	dedicated_pool_ops.end(&pool);
	guc_store_free(guc_store);
	event_base_free(base);
}

TestSuite(notify_listener, .init = setup, .fini = teardown);

Test(notify_listener, a_neighbour_of_thousands_waits_for_the_batch_under_way_at_most)
{
	uint64_t since_us;

	client_join(&neighbour, "own", 0, 100); /* it has many itself */
	answer_all();
	crowd_joins(1);
	for (unsigned i = 100; i < 150; i++) {
		since_us = now_us;
		client_join(&neighbour, "own", i, 1);
		answer();
		cr_expect_eq(neighbour.listening, i);
		answer();
		cr_expect_eq(neighbour.listening, i + 1);
		cr_expect_leq(neighbour.answered_us - since_us, 2 * NOTIFY_BATCH_MAX * LISTEN_US);
	}
	cr_expect_lt(crowd[0].listening, CHANNELS);
}

Test(notify_listener, clients_take_turns_and_many_listens_are_one_request)
{
	crowd_joins(CROWD);
	client_join(&neighbour, "own", 0, 1);
	answer(); /* the first one's first */
	for (unsigned n = 1; n <= 1000; n++) {
		unsigned least = CHANNELS, most = 0;

		answer();
		cr_assert_leq(listens, 1 + n * NOTIFY_BATCH_MAX);
		for (unsigned i = 0; i < CROWD; i++) {
			least = crowd[i].listening < least ? crowd[i].listening : least;
			most = crowd[i].listening > most ? crowd[i].listening : most;
		}
		cr_assert_leq(most - least, 2, "%u and %u in batch %u", least, most, n);
		cr_assert_eq(neighbour.listening, 1);
	}
	answer_all();
	for (unsigned i = 0; i < CROWD; i++)
		cr_expect_eq(crowd[i].listening, CHANNELS);
	cr_expect_eq(listens, CROWD * CHANNELS + 1);
	cr_expect_leq(requests, listens / NOTIFY_BATCH_MAX + 2);
}

Test(notify_listener, a_channel_is_due_once_and_at_the_first_ones_turn)
{
	crowd_joins(1);
	client_join(&neighbour, "c0_", 199, 1); /* the crowd's, far behind in its line */
	answer();
	answer();
	cr_expect_eq(neighbour.listening, 1);
	cr_expect(crowd[0].subscriptions[199].list == &crowd[0].subscriptions[199].channel->confirmed);
	answer_all();
	cr_expect_eq(crowd[0].listening, CHANNELS);
	cr_expect_eq(listens, CHANNELS);
}

Test(notify_listener, who_comes_behind_a_listen_waits_for_another_one)
{
	client_begin(&crowd[0], 2);
	client_join(&crowd[0], "own", 0, 1);
	client_join(&neighbour, "own", 0, 1); /* that LISTEN is under way */
	crowd[0].joins_next = &crowd[0].subscriptions[1]; /* ... and this comes while its answer is told */
	answer();
	cr_expect_eq(crowd[0].listening, 1);
	cr_expect_eq(neighbour.listening, 0);
	answer();
	cr_expect_eq(neighbour.listening, 1);
	answer_all();
	cr_expect_eq(crowd[0].listening, 2);
}

Test(notify_listener, what_is_refused_fails_for_its_clients_alone)
{
	refused = "own0";
	client_begin(&crowd[0], CHANNELS);
	client_join(&crowd[0], "c", 0, 100);
	client_join(&neighbour, "own", 0, 2);
	answer_all();
	cr_expect_eq(crowd[0].listening, 100);
	cr_expect_eq(crowd[0].failed, 0);
	cr_expect_eq(neighbour.listening, 1);
	cr_expect_eq(neighbour.failed, 1);
	refused = NULL;
}

Test(notify_listener, nothing_is_sent_for_who_has_left)
{
	crowd_joins(2);
	client_leave(&crowd[0]);
	client_leave(&crowd[1]);
	client_join(&neighbour, "own", 0, 1);
	answer_all();
	cr_expect_eq(neighbour.listening, 1);
	cr_expect_eq(listens, 2);
}

Test(notify_listener, unlisten_goes_in_batches_and_a_new_listen_behind_it)
{
	client_begin(&crowd[0], 100);
	client_join(&crowd[0], "own", 0, 100);
	answer_all();
	client_leave(&crowd[0]);
	now_us += 3000000;
	notify_drop_idle_channels(listener(), now_us);
	client_join(&neighbour, "own", 0, 1); /* is sent: forgotten */
	client_join(&neighbour, "own", 99, 1); /* is due: it stays */
	cr_expect_eq(count_of(next_request(), "UNLISTEN "), NOTIFY_BATCH_MAX);
	cr_expect(has_channel(next_request(), "own0"));
	listens = 0;
	answer_all();
	cr_expect_eq(neighbour.listening, 2);
	cr_expect_eq(listens, 99 + 2);
	cr_expect_eq(HASH_COUNT(listener()->table), 2);
}

Test(notify_listener, a_lost_connection_begins_with_all_in_turn)
{
	client_begin(&crowd[0], CHANNELS);
	client_join(&crowd[0], "c", 0, CHANNELS);
	client_join(&neighbour, "own", 0, 1);
	for (unsigned i = 0; i < 50; i++)
		answer();
	cr_expect_gt(crowd[0].listening, 0);
	dedicated_close(&listener()->conn); /* amid a batch */
	cr_expect_eq(crowd[0].failed + neighbour.failed, 0);
	client_join(&neighbour, "own", 1, 1); /* waits for the next one */
	notify_conn_connect(listener());
	up();
	cr_expect(has_channel(next_request(), "own0"));
	cr_expect(has_channel(next_request(), "own1"));
	answer();
	cr_expect_eq(neighbour.listening, 2);
	cr_expect_eq(neighbour.gaps, 0);
	answer_all();
	cr_expect_eq(crowd[0].listening, CHANNELS);
	cr_expect_eq(crowd[0].gaps, 1);
	cr_expect_eq(neighbour.gaps, 1);
	cr_expect_eq(crowd[0].failed + neighbour.failed, 0);
}

Test(notify_listener, who_asks_again_to_catch_up_waits_for_an_answer_to_that)
{
	cr_assert(notify_catch_up(&neighbour.subscriber));
	cr_assert(notify_catch_up(&neighbour.subscriber));
	answer();
	cr_expect_eq(neighbour.caught_up, 0);
	answer();
	cr_expect_eq(neighbour.caught_up, 1);
	cr_expect_not(answer());
}

Test(notify_listener, an_answer_to_who_has_left_is_for_nobody_else)
{
	client_begin(&crowd[0], 1);
	cr_assert(notify_catch_up(&crowd[0].subscriber));
	client_leave(&crowd[0]);
	cr_assert(notify_catch_up(&neighbour.subscriber));
	answer();
	cr_expect_eq(neighbour.caught_up, 0);
	answer();
	cr_expect_eq(neighbour.caught_up, 1);
}

Test(notify_listener, a_late_answer_is_for_nobody_who_has_asked_since)
{
	cr_assert(notify_catch_up(&neighbour.subscriber));
	now_us += US_PER_S;
	notify_give_up_catching(listener(), now_us);
	notify_listener_deliver(listener());
	cr_expect_eq(neighbour.caught_up, 1);
	cr_assert(notify_catch_up(&neighbour.subscriber));
	answer();
	cr_expect_eq(neighbour.caught_up, 1);
	answer();
	cr_expect_eq(neighbour.caught_up, 2);
	cr_assert(notify_catch_up(&neighbour.subscriber));
	dedicated_close(&listener()->conn); /* what was under way is not answered any more */
	notify_listener_deliver(listener());
	notify_conn_connect(listener());
	up();
	cr_assert(notify_catch_up(&neighbour.subscriber));
	answer_all();
	cr_expect_eq(neighbour.caught_up, 4);
}

/* Another connection may have got what this one is not told of yet: only its own NOTIFY proves that it is here. */
Test(notify_listener, who_moves_between_connections_waits_for_a_notify_of_the_listeners_own)
{
	client_begin(&crowd[0], 1);
	cr_assert(notify_catch_up(&neighbour.subscriber));
	cr_assert(notify_catch_up_across_connections(&crowd[0].subscriber));
	cr_expect_str_eq(next_request(), "");
	answer();
	cr_expect_eq(neighbour.caught_up, 1);
	cr_expect_eq(crowd[0].caught_up, 0, "a Sync is no answer to it");
	cr_expect_not_null(strstr(next_request(), "; NOTIFY "));
	answer();
	cr_expect_eq(crowd[0].caught_up, 1);
	cr_assert(notify_catch_up(&neighbour.subscriber));
	cr_expect_str_eq(next_request(), "", "others wait for no more than before");
	answer_all();
	cr_expect_eq(neighbour.caught_up, 2);
}

/* As where PostgreSQL's queue of notifications is full. */
Test(notify_listener, a_refused_notify_of_the_listeners_own_is_a_gap_for_who_waited_for_it)
{
	client_begin(&crowd[0], 1);
	client_join(&crowd[0], "same", 0, 1);
	answer_all();
	refused = "; NOTIFY ";
	cr_assert(notify_catch_up_across_connections(&crowd[0].subscriber));
	cr_assert(notify_catch_up(&neighbour.subscriber));
	answer_all();
	cr_expect_eq(crowd[0].caught_up, 1);
	cr_expect_eq(crowd[0].gaps, 1);
	cr_expect_eq(crowd[0].failed, 0, "it goes on listening");
	cr_expect_eq(neighbour.caught_up, 1);
	cr_expect_eq(neighbour.gaps, 0);
	cr_expect_str_eq(next_request(), "");
}

/* A client listens to the channel that the listener notifies itself on. */
Test(notify_listener, the_listeners_own_notifications_are_nobody_elses)
{
	static const char own[] = "pgweir_catch_up\0pgweir", theirs[] = "pgweir_catch_up\0";

	client_begin(&crowd[0], 1);
	cr_assert_eq(notify_join(&crowd[0].subscriber, &crowd[0].subscriptions[0], "pgweir_catch_up"), 0);
	answer_all();
	notification(own, sizeof(own));
	cr_expect_eq(crowd[0].notified, 0);
	notification(theirs, sizeof(theirs));
	cr_expect_eq(crowd[0].notified, 1);
}
