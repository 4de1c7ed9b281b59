#include "relay/resend.h"

#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#define COPY_MIN 512u

bool
resend_add(struct request_copy *copy, const uint8_t *bytes, size_t len, uint32_t max)
{
	uint32_t cap = copy->cap == 0 ? COPY_MIN : copy->cap;
	uint8_t *grown;

	if (len > max - copy->len)
		return false;
	while (cap - copy->len < len)
		cap *= 2;
	if (cap != copy->cap) {
		grown = realloc(copy->bytes, cap);
		if (grown == NULL)
			return false;
		copy->bytes = grown;
		copy->cap = cap;
	}
	memcpy(copy->bytes + copy->len, bytes, len);
	copy->len += (uint32_t)len;
	return true;
}

void
resend_now(struct exchange *x, const struct request_copy *copy)
{
	size_t len = (size_t)copy->len + x->pending_len;
	uint8_t *whole = len > UINT32_MAX ? NULL : malloc(len);

	if (whole == NULL) {
		exchange_out_of_memory(x);
		return;
	}
	memcpy(whole, copy->bytes, copy->len);
	if (x->pending_len > 0)
		memcpy(whole + copy->len, x->pending, x->pending_len);
	exchange_free_input(x);
	x->pending = whole;
	x->pending_len = x->pending_cap = (uint32_t)len;
	stream_set_reading(&x->stream, true);
	exchange_replay(x, relay_bytes);
}
