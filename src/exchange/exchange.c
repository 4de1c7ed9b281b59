#include "exchange/exchange.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
exchange_step(struct exchange *x, enum client_event ev)
{
	bool has_server = x->srv != NULL;
	enum client_state from = (enum client_state)x->state, to = client_state_next(from, ev);
	char what[96];

	if (to == CL_NONE) {
		snprintf(what, sizeof(what), "client %llu: %s while %s", (unsigned long long)x->waiter.id,
			 client_event_name(ev), client_state_name(from, has_server));
		log_bug(x->env->log, what);
		return;
	}
	log_debug(x->env->log, "client %llu: %s -> %s (%s)", (unsigned long long)x->waiter.id,
		  client_state_name(from, has_server), client_state_name(to, has_server), client_event_name(ev));
	x->state = (uint8_t)to;
}

void
exchange_stall(struct exchange *x)
{
	x->reading = EXCHANGE_STALLED;
	stream_set_reading(&x->stream, false);
}

void
exchange_unstall(struct exchange *x)
{
	if (x->reading != EXCHANGE_STALLED || stream_is_full(&x->stream))
		return;
	x->reading = EXCHANGE_READS;
	stream_set_reading(&x->stream, true);
}

void
exchange_out_of_memory(struct exchange *x)
{
	struct fail why;

	fail_set(&why, "53200", "out of memory, or too many messages without a reply");
	if (x->srv != NULL)
		server_condemn(x->srv, SERVER_IN_DOUBT);
	exchange_close(x, &why);
}

void
exchange_repair_batch(struct exchange_env *env, struct outbox *o, struct stream *to)
{
	if (outbox_begin(o, to) < 0)
		log_bug(env->log, "a batch for one peer was begun within another's");
}

void
exchange_answer(struct exchange *x, const void *bytes, size_t len)
{
	if (x->is_closing)
		return;
	exchange_begin_batch(x->env, &x->env->to_client, &x->stream);
	outbox_copy(&x->env->to_client, bytes, len);
}

void
exchange_send(struct exchange *x, const struct buf *b)
{
	struct iovec piece = { .iov_base = b->bytes, .iov_len = b->len };

	if (x->is_closing)
		return;
	if (buf_ok(b) && x->env->to_client.to == &x->stream)
		outbox_copy(&x->env->to_client, b->bytes, b->len);
	else if (!buf_ok(b) || stream_write(&x->stream, &piece, 1) < 0) {
		log_warning(x->env->log, "client %llu: out of memory", (unsigned long long)x->waiter.id);
		exchange_break_later(x);
	}
}

struct exchange_rare *
exchange_get_or_create_rare(struct exchange *x)
{
	if (x->rare == NULL)
		x->rare = calloc(1, sizeof(*x->rare));
	return x->rare;
}

int
exchange_set_user(struct exchange *x, const char *user)
{
	struct exchange_rare *rare = exchange_get_or_create_rare(x);

	assert(rare == NULL || rare->user == NULL);
	return rare == NULL || (rare->user = strdup(user)) == NULL ? -1 : 0;
}

const char *
exchange_user(const struct exchange *x)
{
	if (x->rare != NULL && x->rare->user != NULL)
		return x->rare->user;
	return x->pool != NULL ? x->pool->user : "";
}

const char *
exchange_application(const struct exchange *x)
{
	const struct gucs *gucs = x->gucs != NULL ? x->gucs : x->startup;
	const char *name = gucs == NULL ? NULL : gucs_get(gucs, "application_name");

	return name == NULL ? "" : name;
}

void
exchange_fail_rolled_back(struct fail *why, const char *reason)
{
	fail_set(why, "40001",
		 "the transaction was rolled back by the loss of its connection to PostgreSQL; it is safe to "
		 "run it again");
	fail_detail(why, "What is known of its COMMIT: %s.", reason);
	fail_hint(why, "Run the whole transaction again, as after any serialization failure.");
}
