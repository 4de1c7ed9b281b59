/*
 * src/client/cancel.c - CancelRequests (protocol chapter, "Canceling Requests in Progress").
 *
 * cancel_keys.c finds the client that is meant. A cancel reaches only the query that runs for that client now: the
 * server is not lent to another client before PostgreSQL has taken the cancel. The asker gets no reply. Its connection
 * is closed when the cancel is done, so the asker can wait for that.
 *
 * A client has at most one cancel under way. Further cancels wait until that one ends. Then waiting cancels for the
 * same request end, too, and one for a later request is sent, if that request is still not answered.
 */
#include "client/cancel.h"
#include "client/clients.h"
#include "listen/listen.h"
#include "relay/query_timeout.h"
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
#define WAITING_MAX 8u /* the most cancels for one client at a time; more would have no further effect */

enum cancel_phase {
	CANCEL_WAITING, /* try_cancel() is to be called, or called again */
	CANCEL_SENDING, /* on_sent has not been called yet */
	/* on_sent has not been called yet; the cancel is for a request of pgweir's own, ahead of the client's */
	CANCEL_SENDING_FOR_OURS,
	CANCEL_OF_OURS_SENT /* the reply to pgweir's own request will show which request was hit */
};

/* A cancel is a note. If the worker that was asked does not have the client, it posts the note to the worker that has
 * the client; that worker posts the note back when the cancel is over. Only the worker that has the note uses it. */
struct client_cancel {
	struct note note; /* must be first */
	struct client_env *from, *to;
	uint64_t asker_id; /* the id of the asker, to close it at the end if it is still there; 0 if none */
	uint64_t far_id; /* the cancel's number in the other process that received it; 0 if this process received it */
	enum cancel_result result;
	uint32_t pid;
	size_t key_len;
	uint8_t key[CANCEL_SECRET_MAX];
	/* The fields below are used on the client's worker. */
	struct client *target; /* NULL if the client has gone */
	struct client_cancel *next; /* the next cancel for the same target */
	struct timer again; /* calls on_again() */
	uint32_t answered_before; /* how many requests of the target were answered before the one to cancel */
	uint32_t retries;
	uint8_t phase; /* enum cancel_phase */
	uint8_t by; /* enum canceler: says who asked for the cancel */
	/* If nothing runs, the cancel ends at once, without a second look. Set by look_again() and cancel_later(),
	 * never cleared. */
	bool ends_if_idle;
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
	client_close(asker, NULL);
}

/* Called on the worker that was asked, when the cancel is over. */
static void
finish_at_origin(struct note *n, void *owner, bool is_over)
{
	struct client_cancel *cancel = (struct client_cancel *)n;
	struct client_env *env = cancel->from;
	struct client *asker = is_over || cancel->asker_id == 0 ? NULL : client_find_by_id(env, cancel->asker_id);

	if (asker != NULL && asker->x.state == CL_CANCEL)
		close_asker(asker, cancel->result);
	else
		env->x.counters->cancels[cancel->result]++;
	if (cancel->far_id != 0)
		env->on_far_cancel_over(env->x.owner, cancel->far_id);
	OPENSSL_cleanse(cancel->key, sizeof(cancel->key));
	free(cancel);
}

/* Ends this cancel, but no other. The worker that was asked frees the cancel. */
static void
cancel_finish(struct client_cancel *cancel, enum cancel_result result)
{
	leave_target(cancel);
	timer_stop(&cancel->again);
	cancel->result = result;
	cancel->note.read = finish_at_origin;
	if (cancel->from == cancel->to)
		finish_at_origin(&cancel->note, NULL, false);
	else
		inbox_post(cancel->from->inbox, &cancel->note);
}

void
cancel_client_closed(struct client *c)
{
	struct client_cancel *cancel;

	/* A cancel that is being sent ends by itself. */
	while ((cancel = first_of(c)) != NULL) {
		leave_target(cancel);
		if (!is_sending(cancel))
			cancel_finish(cancel, CR_NO_QUERY);
	}
	cancel_forget_key(c);
}

static void try_cancel(struct client_cancel *cancel);
static void await_our_reply(struct client_cancel *cancel);

static void
on_again(void *arg)
{
	struct client_cancel *cancel = arg;

	if (cancel->phase == CANCEL_OF_OURS_SENT)
		await_our_reply(cancel);
	else
		try_cancel(cancel);
}

static int
call_again(struct client_cancel *cancel, uint64_t us)
{
	timer_init(&cancel->again, cancel->to->x.base, cancel->to->x.now_us, on_again, cancel);
	return timer_try_start(&cancel->again, us);
}

/* Called after a cancel has ended: ends the other cancels for the same request, and tries the next one. */
static void
begin_next_turn(struct client *target, uint32_t answered_before, enum cancel_result result)
{
	struct client_cancel *next;

	while ((next = first_of(target)) != NULL && next->answered_before == answered_before && !is_sending(next) &&
	       !timer_is_set(&next->again))
		cancel_finish(next, result);
	if (next != NULL && !is_sending(next) && !timer_is_set(&next->again))
		try_cancel(next);
}

static void
end_turn(struct client_cancel *cancel, enum cancel_result result)
{
	struct client *target = cancel->target;
	uint32_t answered_before = cancel->answered_before;

	cancel_finish(cancel, result);
	if (target != NULL)
		begin_next_turn(target, answered_before, result);
}

/* Called after a cancel of pgweir's own request, which runs ahead of the client's. Waits for the reply to pgweir's
 * request, which shows which of the two was hit; a cancel before that could hit the client's next request. */
static void
await_our_reply(struct client_cancel *cancel)
{
	const struct client *target = cancel->target;
	struct server *srv = target->x.srv;
	uint64_t since_us;

	if (target->x.requests_done != cancel->answered_before) {
		end_turn(cancel, CR_SENT);
	} else if (srv == NULL || srv->loan.is_ours_cancelled) {
		cancel->phase = CANCEL_WAITING;
		try_cancel(cancel); /* cancels the client's own request */
	} else if (!ledger_owes_own_request(&srv->ledger, &since_us) || call_again(cancel, RETRY_US) < 0) {
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
		await_our_reply(cancel);
	else
		end_turn(cancel, is_confirmed ? CR_SENT : CR_FAILED);
}

/* Called if nothing runs. Tries once more a moment later: the client may have sent its query before the cancel was
 * sent, but the loop may have read the cancel first. */
static void
look_again(struct client_cancel *cancel)
{
	if (cancel->ends_if_idle || call_again(cancel, LOOK_AGAIN_US) < 0)
		end_turn(cancel, CR_NO_QUERY);
	else
		cancel->ends_if_idle = true;
}

static void
note_canceled(const struct client_cancel *cancel)
{
	cancel->target->x.rare->canceled_by = cancel->by;
	cancel->target->x.rare->canceled_request = cancel->answered_before + 1;
}

static void
refuse_waiting(struct client_cancel *cancel, void (*refuse)(struct exchange *x))
{
	struct client *target = cancel->target;
	uint32_t answered_before = cancel->answered_before;

	note_canceled(cancel);
	cancel_finish(cancel, CR_SENT);
	refuse(&target->x);
	begin_next_turn(target, answered_before, CR_SENT);
}

static void
send_cancel(struct client_cancel *cancel, const struct owed *head)
{
	cancel->phase = owed_to_is_for_client(head->to) ? CANCEL_SENDING : CANCEL_SENDING_FOR_OURS;
	note_canceled(cancel);
	cancel->target->x.srv->loan.is_ours_cancelled = false;
	if (server_cancel(cancel->target->x.srv, CANCEL_TIMEOUT_US, on_sent, cancel) == 0) {
		query_timeout_note_other_cancel(&cancel->target->x);
		return;
	}
	cancel->phase = CANCEL_WAITING;
	end_turn(cancel, CR_FAILED);
}

/* Called while a request of pgweir's own runs ahead of the client's, normally for a moment. If pgweir's request is
 * stuck, it is cancelled first, then the client's. If it replays settings, the client is closed instead, because the
 * query after a cancelled replay would run without the settings. */
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
	note_canceled(cancel);
	cancel_finish(cancel, CR_SENT);
	client_close(target, &why);
}

static void
try_cancel(struct client_cancel *cancel)
{
	struct client *target = cancel->target;
	struct server *srv = target->x.srv;
	uint64_t since_us;

	if (target->x.requests_done != cancel->answered_before)
		end_turn(cancel, CR_NO_QUERY);
	else if (!exchange_is_relayed(&target->x))
		look_again(cancel);
	else if (target->x.state == CL_IN_LINE || target->x.state == CL_CATCHING_UP)
		refuse_waiting(cancel, relay_cancel_wait);
	else if (client_state_awaits_listener_or_flush((enum client_state)target->x.state))
		refuse_waiting(cancel, listen_cancel);
	else if (srv == NULL || !client_is_served(target, &since_us) ||
		 srv->ledger.count == 0) /* pgweir may still hold the request */
		look_again(cancel);
	else if (ledger_owes_own_request(&srv->ledger, &since_us))
		cancel_ours(cancel, ledger_head(&srv->ledger));
	else
		send_cancel(cancel, ledger_head(&srv->ledger));
}

/* Appends the cancel to its target's list. Returns 0, or -1 without memory. */
static int
join(struct client_cancel *cancel, struct client *target)
{
	struct client_cancel **at;

	if (exchange_get_or_create_rare(&target->x) == NULL)
		return -1;
	cancel->target = target;
	cancel->answered_before = target->x.requests_done;
	for (at = &target->x.rare->cancels; *at != NULL; at = &(*at)->next)
		;
	*at = cancel;
	return 0;
}

static bool
has_enough_cancels(const struct client *target)
{
	unsigned count = 0;

	for (const struct client_cancel *at = first_of(target); at != NULL; at = at->next)
		count++;
	return count >= WAITING_MAX;
}

/* Called on the worker that has, or had, the client. */
static void
begin_on_worker(struct note *n, void *owner, bool is_over)
{
	struct client_cancel *cancel = (struct client_cancel *)n;
	struct client_env *env = cancel->to;
	struct client *target = is_over ? NULL : cancel_find_client(env, cancel->pid, cancel->key, cancel->key_len);

	*env->x.now_us = clock_now_us();
	if (target == NULL)
		cancel_finish(cancel, CR_WRONG_KEY); /* the client has just gone */
	else if (has_enough_cancels(target))
		cancel_finish(cancel, CR_SENT);
	else if (join(cancel, target) < 0)
		cancel_finish(cancel, CR_FAILED);
	else if (first_of(target) == cancel)
		try_cancel(cancel);
}

void
cancel_give_up(struct client_env *worker)
{
	struct note_list back = STAILQ_HEAD_INITIALIZER(back);
	struct note *n;

	inbox_take_back(worker->inbox, note_has_reader, &(note_read *){ begin_on_worker }, &back);
	while ((n = STAILQ_FIRST(&back)) != NULL) {
		STAILQ_REMOVE_HEAD(&back, next);
		cancel_finish((struct client_cancel *)n, CR_FAILED);
	}
}

/* Returns a new cancel for a client of worker `to`, or NULL without memory. */
static struct client_cancel *
make_cancel(struct client_env *from, struct client_env *to, enum canceler by, uint32_t pid, const uint8_t *key,
	    size_t key_len)
{
	struct client_cancel *cancel = calloc(1, sizeof(*cancel));

	if (cancel == NULL)
		return NULL;
	cancel->note.read = begin_on_worker;
	cancel->from = from;
	cancel->to = to;
	cancel->by = by;
	cancel->pid = pid;
	cancel->key_len = key_len;
	memcpy(cancel->key, key, key_len);
	return cancel;
}

static void
begin_cancel(struct client_cancel *cancel)
{
	if (cancel->from == cancel->to)
		begin_on_worker(&cancel->note, NULL, false);
	else
		inbox_post(cancel->to->inbox, &cancel->note);
}

static void
begin_here(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len)
{
	struct client_env *worker = cancel_find_env(c->env, pid, key, key_len);
	struct client_cancel *cancel;

	if (worker == NULL && c->env->on_unknown_cancel_key(c->env->x.owner, c, pid, key, key_len))
		return;
	if (worker == NULL)
		close_asker(c, CR_WRONG_KEY);
	else if ((cancel = make_cancel(c->env, worker, CANCELED_BY_CLIENT, pid, key, key_len)) == NULL)
		close_asker(c, CR_FAILED);
	else {
		cancel->asker_id = c->x.waiter.id;
		begin_cancel(cancel);
	}
}

void
cancel_begin_far(struct client_env *env, uint64_t number, uint32_t pid, const uint8_t *key, size_t key_len)
{
	bool is_key = key_len == CANCEL_SECRET_SHORT || key_len == CANCEL_SECRET_MAX;
	struct client_env *worker = is_key ? cancel_find_env(env, pid, key, key_len) : NULL;
	struct client_cancel *cancel =
	    worker == NULL ? NULL : make_cancel(env, worker, CANCELED_BY_CLIENT, pid, key, key_len);

	if (cancel == NULL) {
		env->on_far_cancel_over(env->x.owner, number);
		return;
	}
	cancel->far_id = number;
	begin_cancel(cancel);
}

void
cancel_end_forwarded(struct client *asker, bool is_known)
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
cancel_later(struct client *target, enum canceler by)
{
	const struct exchange *x = &target->x;
	struct client_cancel *cancel;
	uint64_t since_us;

	if (x->state != CL_IN_LINE && x->state != CL_CATCHING_UP &&
	    !client_state_awaits_listener_or_flush((enum client_state)x->state) &&
	    (x->srv == NULL || !client_is_served(target, &since_us)))
		return 0; /* the client is idle */
	if (has_enough_cancels(target))
		return 0;
	cancel = calloc(1, sizeof(*cancel));
	if (cancel == NULL || join(cancel, target) < 0) {
		free(cancel);
		return -1;
	}
	cancel->from = cancel->to = target->env;
	cancel->by = by;
	cancel->ends_if_idle = true;
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
	size_t len = cancel_copy_secret_of_pid(c, pid, key);
	struct client_env *worker = len == 0 ? NULL : cancel_find_env(c->env, pid, key, len);
	struct client_cancel *cancel;
	bool is_begun = false;

	if (worker == c->env)
		is_begun = cancel_later(cancel_find_client(worker, pid, key, len), CANCELED_BY_SERVER) == 0;
	else if (worker != NULL && (cancel = make_cancel(c->env, worker, CANCELED_BY_SERVER, pid, key, len)) != NULL) {
		begin_cancel(cancel);
		is_begun = true;
	}
	OPENSSL_cleanse(key, sizeof(key));
	return is_begun;
}
