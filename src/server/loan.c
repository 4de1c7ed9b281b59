#include "server/loan.h"
#include "session/gucs.h"

#include <stdlib.h>

inline void
loan_begin(struct loan *l, uint64_t now_us)
{
	gucs_unref(l->commit.before);
	/* The struct is cleared in parts of less than 96 bytes, each of which takes a few stores. */
	static_assert(offsetof(struct loan, risk) < 96, "more is cleared by an instruction that is slow to begin");
	memset(l, 0, offsetof(struct loan, risk));
	memset(&l->risk, 0, offsetof(struct loan, late_query_began_us) - offsetof(struct loan, risk));
	memset(&l->late_query_began_us, 0,
	       offsetof(struct loan, bytes_to_client) - offsetof(struct loan, late_query_began_us));
	loan_begin_request(l);
	memset(&l->commit, 0, sizeof(l->commit));
	if (l->clock.since_us != 0) /* the last borrower has left in the middle of a request */
		memset(&l->clock, 0, sizeof(l->clock));
	l->clock.has_passed_reply = l->clock.is_flowing = false;
	l->kept.state = KEPT_NOTHING;
	l->kept.copy.len = 0;
	l->kept.from = NULL;
	l->sent.copy.len = 0;
	l->sent.state = SENT_WHOLE;
	l->sent.local_count = 0;
	l->sent.has_earlier_requests = false;
	l->lent_us = now_us;
}

void
loan_keep_request(struct loan *l)
{
	struct kept_request *k = &l->kept;

	if (k->state != KEPT_NOTHING && k->state != KEPT_WHOLE)
		return;
	k->state = KEPT_SO_FAR;
	k->copy.len = 0;
	k->from = NULL;
}

void
loan_fini(struct loan *l)
{
	gucs_unref(l->commit.before);
	free(l->text);
	free(l->bind);
	free(l->kept.copy.bytes);
	free(l->sent.copy.bytes);
}
