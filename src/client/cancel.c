/*
 * src/client/cancel.c - CancelRequests (protocol chapter, "Canceling Requests in Progress").
 *
 * Which client is meant: cancel_keys.c. A cancel reaches only the query that runs for that client now: the server is
 * not lent to anybody else before PostgreSQL has taken the cancel. The asking connection gets no reply; it is closed
 * when the cancel is done, so that the caller can wait for that.
 *
 * A client has at most one cancel under way. Further ones wait for it: those for the same request end with it, and
 * those for a later request are sent then, if that request is still not answered.
 */
#include "client/cancel.h"
#include "client/clients.h"
#include "listen/listen.h"
#include "relay/relay.h"
#include "base/clock.h"
#include "server/server.h"

#include <openssl/crypto.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CANCEL_TIMEOUT_US 10000000u
#define RETRY_US 2000u
#define RETRIES_MAX 500u
#define LOOK_AGAIN_US 1000u
#define WAITING_MAX 8u /* for one client; what comes beyond would do nothing that those don't */

enum cancel_phase {
	CANCEL_WAITING, /* to be tried, or tried again */
	CANCEL_SENDING, /* on_sent has not been called yet */
	CANCEL_SENDING_FOR_OURS, /* the same, for a request of pgweir's own ahead of the client's */
	CANCEL_OF_OURS_SENT /* that request's reply will show what was hit */
};

/* A request on its way from the main worker, where its connection is, to the worker that has the client, and back when
 * it is over. Whoever has it reads it; nobody else has a pointer to it. */
struct transfer_cancel {
	struct note note;
	struct client_env *from, *to;
	uint64_t asker; /* its id: it may go meanwhile; 0: it is in another process */
	uint64_t far; /* asker is 0: the number of the request there */
	enum cancel_result result;
	uint32_t pid;
	size_t key_len;
	uint8_t key[CANCEL_SECRET_MAX];
};

struct client_cancel {
	struct client_env *env;
	struct client *asker; /* NULL: nobody waits for its end */
	struct client *target; /* NULL: it has gone */
	struct client_cancel *next; /* the next one for the same target */
	struct timer again; /* tries it again */
	struct transfer_cancel *transfer; /* that has brought it; NULL: its connection is on this worker */
	uint64_t far; /* its number in the other process that it came to; 0: it came to this one */
	uint32_t meant; /* which request of the target is meant: the number of requests answered before it */
	uint32_t retries;
	uint8_t phase; /* enum cancel_phase */
	bool has_looked; /* it found nothing to cancel once; set by look_again() and cancel_later(), never cleared */
};

static bool
is_sending(const struct client_cancel *cancel)
{
	return cancel->phase == CANCEL_SENDING || cancel->phase == CANCEL_SENDING_FOR_OURS;
}

/* Returns the oldest cancel for this client, or NULL. */
static struct client_cancel *
first_of(const struct client *target)
{
	return target->x.rare != NULL ? target->x.rare->cancels : NULL;
}

static void
leave_target(struct client_cancel *cancel)
{
	struct client_cancel **at;

	if (cancel->target == NULL)
		return;
	for (at = &cancel->target->x.rare->cancels; *at != cancel; at = &(*at)->next)
		;
	*at = cancel->next;
	cancel->target = NULL;
}

static void
close_asker(struct client *asker, enum cancel_result result)
{
	asker->env->x.counters->cancels[result]++;
	asker->cancel = NULL;
	client_close(asker, NULL);
}

/* On the main worker: the request is over. */
static void
come_back(struct note *n, void *owner, bool is_over)
{
	struct transfer_cancel *x = (struct transfer_cancel *)((char *)n - offsetof(struct transfer_cancel, note));
	struct client *asker = is_over ? NULL : client_find_id(x->from, x->asker);

	if (asker != NULL && asker->x.state == CL_CANCEL)
		close_asker(asker, x->result);
	else
		x->from->x.counters->cancels[x->result]++;
	if (x->far != 0)
		x->from->on_far_cancel_over(x->from->x.owner, x->far);
	OPENSSL_cleanse(x->key, sizeof(x->key));
	free(x);
}

static void
go_back(struct transfer_cancel *x, enum cancel_result result)
{
	x->result = result;
	x->note.read = come_back;
	inbox_post(x->from->inbox, &x->note);
}

/* Ends and frees this one alone. */
static void
cancel_finish(struct client_cancel *cancel, enum cancel_result result)
{
	leave_target(cancel);
	timer_stop(&cancel->again);
	if (cancel->asker != NULL)
		close_asker(cancel->asker, result);
	else if (cancel->transfer != NULL)
		go_back(cancel->transfer, result);
	else
		cancel->env->x.counters->cancels[result]++;
	if (cancel->far != 0)
		cancel->env->on_far_cancel_over(cancel->env->x.owner, cancel->far);
	free(cancel);
}

void
cancel_unregister(struct client *c)
{
	struct client_cancel *cancel;

	/* Cancels that were sent end by themselves. */
	while ((cancel = first_of(c)) != NULL) {
		leave_target(cancel);
		if (!is_sending(cancel))
			cancel_finish(cancel, CR_NO_QUERY);
	}
	cancel_forget_key(c);
}

/* The asking connection has gone; its cancel goes on. */
void
cancel_free(struct client *c)
{
	if (c->cancel != NULL)
		c->cancel->asker = NULL;
	c->cancel = NULL;
}

static void try_cancel(struct client_cancel *cancel);
static void after_ours(struct client_cancel *cancel);

static void
on_again(void *arg)
{
	struct client_cancel *cancel = arg;

	if (cancel->phase == CANCEL_OF_OURS_SENT)
		after_ours(cancel);
	else
		try_cancel(cancel);
}

static int
call_again(struct client_cancel *cancel, uint64_t us)
{
	timer_init(&cancel->again, cancel->env->x.base, cancel->env->x.now_us, on_again, cancel);
	return timer_try(&cancel->again, us);
}

/* After the end of the cancel under way: ends the others for the same request, and sends the next. */
static void
turn_over(struct client *target, uint32_t meant, enum cancel_result result)
{
	struct client_cancel *next;

	while ((next = first_of(target)) != NULL && next->meant == meant && !is_sending(next) &&
	       !timer_is_set(&next->again))
		cancel_finish(next, result);
	if (next != NULL && !is_sending(next) && !timer_is_set(&next->again))
		try_cancel(next);
}

static void
end_turn(struct client_cancel *cancel, enum cancel_result result)
{
	struct client *target = cancel->target;
	uint32_t meant = cancel->meant;

	cancel_finish(cancel, result);
	if (target != NULL)
		turn_over(target, meant, result);
}

/* A cancel is under way for one of our own requests, ahead of the client's. Waits for the reply to ours, which shows
 * which of the two was hit; a second cancel could hit the client's next request. */
static void
after_ours(struct client_cancel *cancel)
{
	const struct client *target = cancel->target;
	struct server *srv = target->x.srv;
	uint64_t since_us;

	if (target->x.requests_done != cancel->meant) {
		end_turn(cancel, CR_SENT);
	} else if (srv == NULL || srv->loan.is_ours_cancelled) {
		cancel->phase = CANCEL_WAITING;
		try_cancel(cancel); /* now the client's own request */
	} else if (!ledger_owes_us(&srv->ledger, &since_us) || call_again(cancel, RETRY_US) < 0) {
		end_turn(cancel, CR_SENT);
	}
}

static void
on_sent(bool is_confirmed, const char *why, void *arg)
{
	struct client_cancel *cancel = arg;

	assert(is_sending(cancel));
	cancel->phase = cancel->phase == CANCEL_SENDING_FOR_OURS ? CANCEL_OF_OURS_SENT : CANCEL_WAITING;
	if (cancel->target != NULL && is_confirmed && cancel->phase == CANCEL_OF_OURS_SENT)
		after_ours(cancel);
	else
		end_turn(cancel, is_confirmed ? CR_SENT : CR_FAILED);
}

/* Nothing runs. The query may have come before the cancel, on a connection that the loop handles later. */
static void
look_again(struct client_cancel *cancel)
{
	if (cancel->has_looked || call_again(cancel, LOOK_AGAIN_US) < 0)
		end_turn(cancel, CR_NO_QUERY);
	else
		cancel->has_looked = true;
}

static void
refuse_waiting(struct client_cancel *cancel, void (*refuse)(struct exchange *x))
{
	struct client *target = cancel->target;
	uint32_t meant = cancel->meant;

	cancel_finish(cancel, CR_SENT);
	refuse(&target->x);
	turn_over(target, meant, CR_SENT);
}

static void
send_cancel(struct client_cancel *cancel, const struct owed *head)
{
	cancel->phase =
	    head->to != OWED_TO_CLIENT && head->to != OWED_TO_STATEMENT ? CANCEL_SENDING_FOR_OURS : CANCEL_SENDING;
	cancel->target->x.srv->loan.is_ours_cancelled = false;
	if (server_cancel(cancel->target->x.srv, CANCEL_TIMEOUT_US, on_sent, cancel) == 0)
		return;
	cancel->phase = CANCEL_WAITING;
	end_turn(cancel, CR_FAILED);
}

/* A request of pgweir's own runs ahead of the client's, normally for a moment. If it is stuck, it is cancelled, and
 * then the client's. Replayed settings are not cancelled, as the query behind them would run without them. */
static void
cancel_ours(struct client_cancel *cancel, const struct owed *head)
{
	struct client *target = cancel->target;
	struct fail why;

	if (cancel->retries++ < RETRIES_MAX && call_again(cancel, RETRY_US) == 0)
		return;
	if (head->to != OWED_TO_GUCS) {
		send_cancel(cancel, head);
		return;
	}
	fail_set(&why, "57014", "canceling statement due to user request");
	cancel_finish(cancel, CR_SENT);
	client_close(target, &why);
}

static void
try_cancel(struct client_cancel *cancel)
{
	struct client *target = cancel->target;
	struct server *srv = target->x.srv;
	uint64_t since_us;

	if (target->x.requests_done != cancel->meant)
		end_turn(cancel, CR_NO_QUERY);
	else if (!exchange_is_ready(&target->x))
		look_again(cancel);
	else if (target->x.state == CL_IN_LINE || target->x.state == CL_CATCHING)
		refuse_waiting(cancel, relay_cancel_wait);
	else if (client_state_listens((enum client_state)target->x.state))
		refuse_waiting(cancel, listen_cancel);
	else if (srv == NULL || !client_is_served(target, &since_us) || srv->ledger.count == 0) /* or it is held */
		look_again(cancel);
	else if (ledger_owes_us(&srv->ledger, &since_us))
		cancel_ours(cancel, ledger_head(&srv->ledger));
	else
		send_cancel(cancel, ledger_head(&srv->ledger));
}

/* Returns a new cancel at the end of its target's list, or NULL without memory. */
static struct client_cancel *
make(struct client *target, struct client *asker)
{
	struct client_cancel *cancel = exchange_rare(&target->x) == NULL ? NULL : calloc(1, sizeof(*cancel)), **at;

	if (cancel == NULL)
		return NULL;
	cancel->env = target->env;
	cancel->asker = asker;
	cancel->target = target;
	cancel->meant = target->x.requests_done;
	for (at = &target->x.rare->cancels; *at != NULL; at = &(*at)->next)
		;
	*at = cancel;
	return cancel;
}

static bool
has_enough(const struct client *target)
{
	unsigned count = 0;

	for (const struct client_cancel *at = first_of(target); at != NULL; at = at->next)
		count++;
	return count >= WAITING_MAX;
}

/* On the worker that has, or had, the client. */
static void
arrive(struct note *n, void *owner, bool is_over)
{
	struct transfer_cancel *x = (struct transfer_cancel *)((char *)n - offsetof(struct transfer_cancel, note));
	struct client *target = is_over ? NULL : cancel_find_key(x->to, x->pid, x->key, x->key_len);
	struct client_cancel *cancel;

	*x->to->x.now_us = clock_now_us();
	if (target == NULL)
		go_back(x, CR_WRONG_KEY); /* it has just gone */
	else if (has_enough(target))
		go_back(x, CR_SENT);
	else if ((cancel = make(target, NULL)) == NULL)
		go_back(x, CR_FAILED);
	else {
		cancel->transfer = x;
		if (first_of(target) == cancel)
			try_cancel(cancel);
	}
}

void
cancel_give_up(struct client_env *worker)
{
	struct note_list back = STAILQ_HEAD_INITIALIZER(back);
	struct note *n;

	inbox_take_back(worker->inbox, note_reads, &(note_read *){ arrive }, &back);
	while ((n = STAILQ_FIRST(&back)) != NULL) {
		STAILQ_REMOVE_HEAD(&back, next);
		((struct transfer_cancel *)((char *)n - offsetof(struct transfer_cancel, note)))->result = CR_FAILED;
		come_back(n, NULL, false);
	}
}

/* Either asker or far is 0. Returns 0, or -1 without memory. */
static int
begin_on(struct client_env *worker, struct client_env *from, uint64_t asker, uint64_t far, uint32_t pid,
	 const uint8_t *key, size_t key_len)
{
	struct transfer_cancel *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return -1;
	x->note.read = arrive;
	x->from = from;
	x->to = worker;
	x->asker = asker;
	x->far = far;
	x->pid = pid;
	x->key_len = key_len;
	memcpy(x->key, key, key_len);
	inbox_post(worker->inbox, &x->note);
	return 0;
}

static void
begin_here(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct client_env *worker = cancel_find_worker(c->env, pid, key, key_len);
	struct client *target = worker == c->env ? cancel_find_key(worker, pid, key, key_len) : NULL;

	if (worker == NULL && c->env->on_strange_cancel(c->env->x.owner, c, pid, key, key_len))
		return;
	if (worker == NULL)
		close_asker(c, CR_WRONG_KEY);
	else if (worker != c->env) {
		if (begin_on(worker, c->env, c->x.waiter.id, 0, pid, key, key_len) < 0)
			close_asker(c, CR_FAILED);
	} else if (has_enough(target))
		close_asker(c, CR_SENT);
	else if ((c->cancel = make(target, c)) == NULL)
		close_asker(c, CR_FAILED);
	else if (first_of(target) == c->cancel)
		try_cancel(c->cancel);
}

void
cancel_begin_far(struct client_env *env, uint64_t number, uint32_t pid, const uint8_t *key, size_t key_len)
{
	bool is_key = key_len == CANCEL_SECRET_SHORT || key_len == CANCEL_SECRET_MAX;
	struct client_env *worker = is_key ? cancel_find_worker(env, pid, key, key_len) : NULL;
	struct client *target = worker == env ? cancel_find_key(env, pid, key, key_len) : NULL;
	struct client_cancel *cancel = target == NULL || has_enough(target) ? NULL : make(target, NULL);

	if (worker != NULL && worker != env && begin_on(worker, env, 0, number, pid, key, key_len) == 0)
		return;
	if (cancel == NULL) {
		env->on_far_cancel_over(env->x.owner, number);
		return;
	}
	cancel->far = number;
	if (first_of(target) == cancel)
		try_cancel(cancel);
}

void
cancel_over(struct client *asker, bool is_known)
{
	close_asker(asker, is_known ? CR_PASSED_ON : CR_WRONG_KEY);
}

void
cancel_begin(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len)
{
	uint32_t peer_id = c->env->x.config->peer_id;
	uint8_t own[CANCEL_SECRET_MAX];
	enum cancel_result result;

	c->env->login_count--;
	c->env->cancel_count++;
	exchange_step(&c->x, CE_CANCEL);
	c->cancel = NULL;
	if (key_len != CANCEL_SECRET_SHORT && key_len != CANCEL_SECRET_MAX) {
		close_asker(c, CR_WRONG_KEY);
		return;
	}
	if (peer_id != 0 && cancel_peer_of(pid) != peer_id) {
		result = cancel_pass_on(c, pid, key, key_len);
		if (result != CR_PASSED_ON)
			close_asker(c, result);
		return;
	}
	memcpy(own, key, key_len);
	if (peer_id != 0)
		cancel_peer_reset_hops(own);
	begin_here(c, pid, own, key_len);
	OPENSSL_cleanse(own, sizeof(own));
}

int
cancel_later(struct client *target)
{
	const struct exchange *x = &target->x;
	struct client_cancel *cancel;
	uint64_t since_us;

	if (x->state != CL_IN_LINE && x->state != CL_CATCHING && !client_state_listens((enum client_state)x->state) &&
	    (x->srv == NULL || !client_is_served(target, &since_us)))
		return 0; /* it is idle */
	if (has_enough(target))
		return 0;
	if ((cancel = make(target, NULL)) == NULL)
		return -1;
	cancel->has_looked = true;
	if (first_of(target) != cancel || call_again(cancel, 0) == 0)
		return 0;
	leave_target(cancel);
	free(cancel);
	return -1;
}

bool
cancel_by_pid(struct exchange *asker, uint32_t pid)
{
	const struct client *c = client_of(asker);
	uint8_t key[CANCEL_SECRET_MAX];
	size_t len = cancel_secret_of_pid(c, pid, key);
	struct client_env *worker = len == 0 ? NULL : cancel_find_worker(c->env, pid, key, len);
	int result = worker == NULL	? -1
		     : worker == c->env ? cancel_later(cancel_find_key(worker, pid, key, len))
					: begin_on(worker, c->env, 0, 0, pid, key, len);

	OPENSSL_cleanse(key, sizeof(key));
	return result == 0;
}
