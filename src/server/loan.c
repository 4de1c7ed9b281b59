/* src/server/loan.c - see loan.h. */
#include "server/loan.h"

#include "session/image.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void
loan_begin(struct loan *l, uint64_t now_us)
{
	image_unref(l->commit.before);
	memset(l, 0, offsetof(struct loan, text));
	l->kept.state = KEPT_NOTHING;
	l->kept.len = 0;
	l->kept.from = NULL;
	l->sent.len = 0;
	l->sent.is_cut = l->sent.is_later = false;
	l->lent_us = now_us;
}

void
loan_keep_request(struct loan *l)
{
	struct kept_request *k = &l->kept;

	if (k->state != KEPT_NOTHING && k->state != KEPT_WHOLE)
		return;
	k->state = KEPT_SO_FAR;
	k->len = 0;
	k->from = NULL;
}

void
loan_fini(struct loan *l)
{
	image_unref(l->commit.before);
	free(l->text);
	free(l->bind);
	free(l->kept.bytes);
	free(l->sent.bytes);
}
