/*
 * src/relay/resend.h - relays a request again, from a copy of its bytes, like new input of the client.
 *
 *   resend.c       for a request that a lost server has not executed; the copy has all bytes that were sent since the
 *                  server last owed no reply
 *   resend_copy.c  tells which messages a copy has, and if they may run twice
 *   retry.c        for a request that has failed because of an outdated plan; the copy has one request, and is made
 *                  only if that may happen
 *
 * Owns: nothing; the copies belong to the server's loan.
 */
#pragma once

#include "exchange/exchange.h"
#include "wire/frame.h"

/* --- resend.c --- */
/* Appends to the copy. Returns false, and appends nothing, if the copy would be longer than `max` bytes, or if there is
 * no memory. max: COPY_MIN times a power of two. */
bool resend_add(struct request_copy *copy, const uint8_t *bytes, size_t len, uint32_t max);

/* Relays the copy, and then the client's pending input, to any suitable server. The copy is not used afterwards. Closes
 * the client if there is no memory. */
MAY_CLOSE bool resend_now(struct exchange *x, const struct request_copy *copy);

/* Call before bytes of a client with a server are sent. Empties the copy if a new request begins, and no part of
 * earlier requests need be relayed again. */
void resend_begin(struct exchange *x);
/* Appends len bytes at `from`, which were walked (walk.h), to the copy. They may begin in the middle of a message. */
void resend_keep_bytes(struct exchange *x, const uint8_t *from, size_t len);

/* --- resend_copy.c --- */
#define RESEND_MAX 65536u /* bytes of a request; larger requests are not relayed again */
/* Reads the frame of the message at offset `at` into *f. Returns false at the end of the copy, which may be empty. */
static inline bool
resend_read_frame_at(const struct request_copy *copy, size_t at, struct frame *f)
{
	return at < copy->len && frame_parse_whole(copy->bytes + at, copy->len - at, f);
}
/* Returns true if all messages of srv's copy only prepare, describe or close statements, which any server can do. */
bool resend_has_only_statements(const struct server *srv);
/* Returns the SQL that srv's copy begins with, and sets *len to its length. Returns NULL if the copy does not begin
 * with complete SQL, or if it begins with a Parse, and runs other statements than that Parse's. */
const char *resend_sql(const struct server *srv, size_t *len);
/* Returns true if all messages of the copy may run twice. */
bool resend_is_harmless(struct exchange *x, const struct request_copy *copy);
/* Returns true if the bytes begin with a whole request that may run on a standby and then once more on the primary, if
 * the standby has not replayed in time. x must have no server. */
bool resend_may_be_sent(struct exchange *x, const uint8_t *bytes, size_t len);

/* --- resend.c --- */
/* Returns true if the client has nothing on srv but the request in srv's copy, was shown nothing of the answer, and the
 * copy's messages may run twice. */
bool resend_is_possible(struct exchange *x, const struct server *srv);
/* Call when loss_of() has returned LOSS_NOT_EXECUTED and x has left srv. Relays the request again, ahead of the
 * client's pending input. */
MAY_CLOSE bool resend_unexecuted(struct exchange *x, struct server *srv);

/* --- retry.c --- */
/*
 * Call after a message was handled. If the message may have to be sent again, notes that retry_copy() must copy it, and
 * copies the request at its Sync. is_sent: true if a part of the message was sent to the server. The messages of a
 * batch must lie one after another in memory.
 */
void retry_keep(struct exchange *x, const uint8_t *message, size_t len, bool is_sent);

/* Copies all messages from k->from to `end` at once. Returns false if they are too long, or if there is no memory. */
bool retry_copy(struct kept_request *k, const uint8_t *end);
/* Like retry_keep(), for a complete message that the fast lane has sent. Does nothing for most messages. */
static inline void
retry_keep_sent(struct exchange *x, uint8_t type, const uint8_t *message, size_t len)
{
	struct kept_request *k = &x->srv->loan.kept;
	bool is_end;

	if (k->state == KEPT_IMPOSSIBLE && type != 'S' && type != 'Q')
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
/* Call when the batch was walked up to `end`. Copies the messages that are not copied yet. */
static inline void
retry_keep_rest(struct exchange *x, const uint8_t *end)
{
	struct kept_request *k = &x->srv->loan.kept;

	if (k->state == KEPT_SO_FAR && k->from != NULL)
		retry_copy(k, end);
}

/* Returns true if the request that has failed with e must be sent once more. Then the client must not get e, and the
 * caller must call retry_now() when nothing is owed any more. */
bool retry_begin(struct exchange *x, const struct error_fields *e);
/* Like retry_begin(), for an error after the Bind. is_unshown: true if the client was shown nothing of the answer. */
bool retry_begin_after_bind(struct exchange *x, const struct error_fields *e, bool is_unshown);
MAY_CLOSE bool retry_now(struct exchange *x); /* relays the request again: see retry_begin() */
