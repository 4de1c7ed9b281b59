/*
 * src/relay/reject.c - a request that gets no server: it is answered with an error, the rest of it is dropped, and
 * ReadyForQuery follows where it would have (protocol chapter, "Extended Query": after an error everything up to Sync
 * is ignored). The client lives on.
 */
#include "client/client.h"

#include "wire/frame.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

static void
send_ready(struct client *c)
{
	struct buf b = { 0 };

	message_ready(&b, 'I');
	client_send(c, &b);
	buf_fini(&b);
	c->idle_since_us = *c->env->now_us;
}

void
refusal_words(const struct client *c, const struct fail *why, struct fail *told)
{
	*told = *why;
	if (told->detail[0] != '\0' && strcmp(why->sqlstate, "53300") == 0) {
		fail_detail(told, "Database \"%s\", user \"%s\": %s", c->entry->database->name, c->entry->user,
			    why->detail);
	}
}

void
refuse_request(struct client *c, const struct fail *why, enum request_failure kind)
{
	uint8_t *whole = c->pending;
	size_t len = c->pending_len;
	struct fail told;
	struct buf b = { 0 };

	if (c->is_closing)
		return;
	refusal_words(c, why, &told);
	report_failure(c, &told, kind, NULL);
	report_error(c->entry, EO_PROXY, told.sqlstate);
	if (kind == RF_SHUTDOWN || c->entry->is_orphan) {
		client_close(c, &told);
		return;
	}
	message_error(&b, "ERROR", &told);
	client_send(c, &b);
	buf_fini(&b);
	c->refusing = len > 0 && (whole[0] == 'Q' || whole[0] == 'F') ? 'Q' : 'S';
	c->pending = NULL;
	c->pending_len = c->pending_cap = 0;
	if (!c->is_closing)
		relay_bytes(c, whole, len);
	free(whole);
}

size_t
refuse_bytes(struct client *c, const uint8_t *bytes, size_t len)
{
	struct frame f;
	size_t total, n;

	if (frame_parse(bytes, len, &f) != FRAME_OK) {
		if (len >= FRAME_HEAD_LEN) {
			struct fail why;

			fail_set(&why, "08P01", "invalid message length");
			client_close(c, &why);
			return len;
		}
		return 0;
	}
	if (f.type == 'X') {
		client_close(c, NULL);
		return len;
	}
	total = FRAME_HEAD_LEN + (size_t)f.body_len;
	n = total < len ? total : len;
	c->body_left = (uint32_t)(total - n);
	c->is_body_dropped = true;
	if (c->refusing == 'Q' || f.type == 'S') {
		c->refusing = 0;
		send_ready(c);
	}
	return n;
}
