/*
 * src/relay/resend.h - relays a request again, from a copy, as if the client sent it now.
 *
 *   resend.c       a request that an ending server has not executed; the copy has all bytes sent since nothing was owed
 *   resend_copy.c  which messages a copy has, and whether they may run twice
 *   retry.c        a request that met an outdated plan; the copy has one request, and is kept only where that may happen
 *
 * Owns: nothing; the copies are those of the server's loan.
 */
#pragma once

#include "exchange/exchange.h"
#include "wire/frame.h"

/* --- resend.c --- */
/* Appends to the copy. Returns false, and appends nothing, if the copy would be longer than max bytes (COPY_MIN times a
 * power of two), or there is no memory. */
bool resend_add(struct request_copy *copy, const uint8_t *bytes, size_t len, uint32_t max);

/*
 * Relays the copy to any suitable server, and after it the messages that the client has sent since. copy is no longer
 * used when this returns. Closes the client if there is no memory.
 */
MAY_CLOSE bool resend_now(struct exchange *x, const struct request_copy *copy);

/* Forgets the copy if nothing is owed any more: a new request begins on a server that the client has kept. */
void resend_begin(struct exchange *x);
/* Appends to the copy the bytes at from, which were walked; they may begin in the middle of a message. */
void resend_keep_bytes(struct exchange *x, const uint8_t *from, size_t len);

/* --- resend_copy.c --- */
#define RESEND_MAX 65536u /* bytes of a request; larger requests are not relayed again */
/* Reads the message at offset at. Returns false at the end of the copy, which may have no bytes at all. */
static inline bool
resend_frame_at(const struct request_copy *copy, size_t at, struct frame *f)
{
	return at < copy->len && frame_whole(copy->bytes + at, copy->len - at, f);
}
/* Returns true if everything that was sent since nothing was owed only makes, describes or closes statements: the
 * client has these on any server. */
bool resend_is_of_statements(const struct server *srv);
/* Returns the SQL that the copy begins with, and its length in *len. Returns NULL if the copy begins with no SQL, with
 * incomplete SQL, or with a Parse that is not the one statement run. */
const char *resend_sql(const struct server *srv, size_t *len);
/* Returns true if all messages of the copy may run twice. */
bool resend_is_harmless(struct exchange *x, const struct request_copy *copy);
/* Returns true if the bytes of a client without a server begin with a whole request that may be sent to a standby and,
 * if the standby has not replayed in time, to the primary. */
bool resend_may_be_sent(struct exchange *x, const uint8_t *bytes, size_t len);

/* --- resend.c --- */
/* Returns true if the client has nothing on srv except the copy, was shown nothing of the answer, and the copy may be
 * run twice. */
bool resend_is_possible(struct exchange *x, const struct server *srv);
/* Call when loss_of() was LOSS_NOT_EXECUTED and x has left srv: relays the request again, ahead of the messages that
 * the client has sent since. */
MAY_CLOSE bool resend_unexecuted(struct exchange *x, struct server *srv);

/* --- retry.c --- */
/*
 * Copies a message that was handled, if it may have to be sent again. is_sent tells if something of the message went to
 * the server. The messages of a batch must follow each other in memory.
 */
void retry_keep(struct exchange *x, const uint8_t *message, size_t len, bool is_sent);

/* Copies all messages of a batch at once, up to end. Returns false if they are too long for a copy. */
bool retry_copy(struct kept_request *k, const uint8_t *end);
/* Like retry_keep() for a complete message that the fast lane has sent. Most messages need nothing to be done. */
static inline void
retry_keep_sent(struct exchange *x, uint8_t type, const uint8_t *message, size_t len)
{
	struct kept_request *k = &x->srv->loan.kept;
	bool is_end;

	if (k->state == KEPT_NOT && type != 'S' && type != 'Q')
		return;
	is_end = type == 'S' || type == 'Q';
	if (is_end && k->state == KEPT_NOTHING)
		return;
	if (type == 'Q')
		k->state = KEPT_NOTHING;
	else if (k->state != KEPT_SO_FAR)
		retry_keep(x, message, len, true);
	else {
		if (k->from == NULL)
			k->from = message;
		if (is_end && retry_copy(k, message + len))
			k->state = KEPT_WHOLE;
	}
}
/* Call when the batch was walked up to end. */
static inline void
retry_keep_rest(struct exchange *x, const uint8_t *end)
{
	struct kept_request *k = &x->srv->loan.kept;

	if (k->state == KEPT_SO_FAR && k->from != NULL)
		retry_copy(k, end);
}

/* Returns true if the client must not get the error e; then retry_now() is due when nothing is owed any more. */
bool retry_wanted(struct exchange *x, const struct error_fields *e);
MAY_CLOSE bool retry_now(struct exchange *x);
