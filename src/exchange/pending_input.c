/* src/exchange/pending_input.c - bytes of a client that were read and can't be handled yet: see exchange.h. */
#include "exchange/exchange.h"
#include "wire/frame.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void
exchange_free_input(struct exchange *x)
{
	if (x->pending != NULL)
		OPENSSL_cleanse(x->pending, x->pending_len);
	free(x->pending);
	x->pending = NULL;
	x->pending_len = x->pending_cap = 0;
}

/* Returns a buffer of cap bytes with the pending input. Does not use realloc() while the client logs in, because a
 * password among the bytes would stay in the freed memory. */
static uint8_t *
input_grow(struct exchange *x, size_t cap)
{
	uint8_t *grown;

	if (!client_state_is_login((enum client_state)x->state))
		return realloc(x->pending, cap);
	grown = malloc(cap);
	if (grown == NULL)
		return NULL;
	if (x->pending_len > 0) {
		memcpy(grown, x->pending, x->pending_len);
		OPENSSL_cleanse(x->pending, x->pending_len);
	}
	free(x->pending);
	return grown;
}

/* If `bytes` is the end of the input that is being handled, keeps the buffer of that input, and returns true. So a
 * message that comes in small pieces is not copied again for each piece. */
static bool
take_back(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct exchange_env *env = x->env;
	uint8_t *whole = env->handled.bytes;

	if (whole == NULL || x->pending != NULL || bytes < whole || bytes + len != whole + env->handled.len)
		return false;
	if (bytes > whole) {
		memmove(whole, bytes, len);
		OPENSSL_cleanse(whole + len, env->handled.len - len);
	}
	assert(len <= env->handled.cap);
	x->pending = whole;
	x->pending_len = (uint32_t)len;
	x->pending_cap = env->handled.cap;
	env->handled.bytes = NULL;
	return true;
}

int
exchange_keep(struct exchange *x, const uint8_t *bytes, size_t len)
{
	uint8_t *grown;

	assert(x->pending_len <= x->pending_cap);
	if (len == 0 || take_back(x, bytes, len))
		return 0;
	if (x->pending_cap - x->pending_len < len) {
		size_t cap = (size_t)x->pending_len + len;

		if (x->pending_cap > 0 && cap < 2 * (size_t)x->pending_cap)
			cap = 2 * (size_t)x->pending_cap;
		if (cap > UINT32_MAX || (grown = input_grow(x, cap)) == NULL)
			return -1;
		x->pending = grown;
		x->pending_cap = (uint32_t)cap;
	}
	memcpy(x->pending + x->pending_len, bytes, len);
	x->pending_len += (uint32_t)len;
	return 0;
}

bool
exchange_has_pending_terminate(const struct exchange *x)
{
	struct frame f;
	size_t at = 0;

	if (!exchange_is_relayed(x) || !client_state_waits((enum client_state)x->state) ||
	    x->state == CL_CLOSE_AFTER_FLUSH)
		return false;
	while (frame_parse_whole(x->pending + at, x->pending_len - at, &f) && f.type != 'X')
		at += FRAME_HEAD_LEN + (size_t)f.body_len;
	return at < x->pending_len && x->pending[at] == 'X';
}

void
exchange_handle_pending(struct exchange *x, void (*handle)(struct exchange *x, const uint8_t *bytes, size_t len))
{
	struct exchange_env *env = x->env;
	struct handled_input outer = env->handled; /* this may be called while another exchange's input is handled */
	bool is_login = client_state_is_login((enum client_state)x->state);
	uint8_t *whole = x->pending;
	uint32_t len = x->pending_len;

	env->handled = (struct handled_input){ whole, len, x->pending_cap };
	x->pending = NULL;
	x->pending_len = x->pending_cap = 0;
	handle(x, whole, len);
	if (env->handled.bytes != NULL && is_login)
		OPENSSL_cleanse(whole, len);
	free(env->handled.bytes);
	env->handled = outer;
}
