/*
 * src/relay/resend.h - relays a request again, from a copy, as if the client sent it now.
 *
 *   resend.c   one that a server which ends has not executed; the copy has all that was sent since nothing was owed
 *   resend_copy.c  what a copy a copy is of, and whether it may be run twice
 *   retry.c    one that met an outdated plan; the copy has one request, and is kept only for those that may meet one
 */
#pragma once

#include "exchange/exchange.h"
#include "wire/frame.h"

/* --- resend.c --- */
/* Appends to the copy. Returns false, and appends nothing, if it were longer than max bytes (COPY_MIN times a power of
 * two), or there is no memory. */
bool resend_add(struct request_copy *copy, const uint8_t *bytes, size_t len, uint32_t max);

/*
 * Relays the copy to whichever server suits, and behind it what the client has sent meanwhile. copy is no longer used
 * when this returns. Closes the client if there is no memory.
 */
MAY_CLOSE bool resend_now(struct exchange *x, const struct request_copy *copy);

/* Forgets the copy if nothing is owed any more: a new request begins on a server that the client has kept. */
void resend_begin(struct exchange *x);
/* The bytes at from were walked; they may begin in mid-message. */
void resend_keep_bytes(struct exchange *x, const uint8_t *from, size_t len);

/* --- resend_copy.c --- */
#define RESEND_MAX 65536u /* bytes of a request; larger ones are not relayed again */
/* Reads the message that begins there. Returns false at the end of the copy, which may be without any bytes. */
static inline bool
resend_frame_at(const struct request_copy *copy, size_t at, struct frame *f)
{
	return at < copy->len && frame_whole(copy->bytes + at, copy->len - at, f);
}
/* Returns true if all that was sent since nothing was owed only makes, describes or closes statements: the client has
 * these wherever it goes. */
bool resend_is_of_statements(const struct server *srv);
/* Returns the SQL that the copy begins with and, if that is a Parse, runs, and writes its length; NULL: it has none,
 * not whole, or more than one. */
const char *resend_sql(const struct server *srv, size_t *len);
/* Returns true if the copy may be run twice, for all that its messages are. */
bool resend_is_harmless(struct exchange *x, const struct request_copy *copy);
/* Returns true if these bytes, of a client without a server, begin with a whole request that a standby may be sent, and
 * another host again. */
bool resend_may_be_sent(struct exchange *x, const uint8_t *bytes, size_t len);

/* --- resend.c --- */
/* Returns true if the copy is all that the client has on srv, it was shown nothing of it, and it may be run twice. */
bool resend_is_possible(struct exchange *x, const struct server *srv);
/* loss_of() was NOT_EXECUTED; srv is no longer x's. The request goes ahead of what the client has sent meanwhile. */
MAY_CLOSE bool resend_unexecuted(struct exchange *x, struct server *srv);

/* --- retry.c --- */
/*
 * A message was handled: it is copied if it may have to be sent again. is_sent: something of it went to the server.
 * The messages of a batch must follow each other in memory.
 */
void retry_keep(struct exchange *x, const uint8_t *message, size_t len, bool is_sent);

/* Copies all messages of a batch at once, up to end. Returns false if they are too many. */
bool retry_copy(struct kept_request *k, const uint8_t *end);
/* As retry_keep() for a whole message of the fast lane, all of which went there. Most need nothing to be done. */
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
/* The batch was walked up to here. */
static inline void
retry_keep_rest(struct exchange *x, const uint8_t *end)
{
	struct kept_request *k = &x->srv->loan.kept;

	if (k->state == KEPT_SO_FAR && k->from != NULL)
		retry_copy(k, end);
}

/* An error came. Returns true if the client must not get it; then retry_now is due when nothing is owed any more. */
bool retry_wanted(struct exchange *x, const struct error_fields *e);
MAY_CLOSE bool retry_now(struct exchange *x);
