/* src/server/loan.c - see loan.h. */
#include "server/loan.h"

#include <stdlib.h>
#include <string.h>

void
loan_begin(struct loan *l, uint64_t now_us)
{
	struct kept_request kept = { .bytes = l->kept.bytes, .cap = l->kept.cap };
	uint8_t *text = l->text;

	memset(l, 0, sizeof(*l));
	l->kept = kept;
	l->text = text;
	l->lent_us = now_us;
}

void
loan_fini(struct loan *l)
{
	free(l->text);
	free(l->kept.bytes);
}
