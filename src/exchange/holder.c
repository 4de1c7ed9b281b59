#include "exchange/holder.h"
#include "base/clock.h"
#include "server/server.h"

#include <inttypes.h>
#include <stdio.h>

const char *
holder_word(enum server_use use, bool is_session)
{
	static const char *const words[SERVER_USES] = { [USE_RUNNING] = "running",
							[USE_CLIENT] = "waiting for the client",
							[USE_IDLE] = "idle in transaction",
							[USE_KEPT] = "pinned" };

	return use == USE_KEPT && is_session ? "idle in session" : words[use];
}

bool
holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us)
{
	const struct exchange *x = srv->borrower;
	enum server_use use = pool_use_of(srv, since_us);

	return use != USE_RUNNING && *since_us <= before_us && (use != USE_KEPT || (!x->is_session && x->pins != 0));
}

void
holder_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap)
{
	const struct exchange *x = srv->borrower;
	uint64_t id = x->waiter.id, since_us;
	enum server_use use = pool_use_of(srv, &since_us);
	struct duration since = duration_of(now_us > since_us ? now_us - since_us : 0);
	bool is_unread = stream_is_full(&x->stream);

	if (use == USE_RUNNING)
		snprintf(out, cap,
			 "wait for what client %" PRIu64 " runs, or end it (KILL_CLIENT %" PRIu64
			 " in the pgweir console); query_timeout limits it",
			 id, id);
	else if (use == USE_IDLE)
		snprintf(out, cap,
			 "end client %" PRIu64 "'s transaction, idle for %s (KILL_CLIENT %" PRIu64
			 " in the pgweir console), or set idle_transaction_timeout",
			 id, since.text, id);
	else
		snprintf(out, cap,
			 "end client %" PRIu64 ", which %s for %s (KILL_CLIENT %" PRIu64
			 " in the pgweir console), or set %s",
			 id,
			 use == USE_KEPT ? "has kept its server between transactions (SHOW PINS)"
			 : is_unread	 ? "has not read its result"
					 : "has not sent the rest of its request",
			 since.text, id,
			 use == USE_KEPT ? "client_idle_timeout"
			 : is_unread	 ? "query_timeout"
					 : "idle_transaction_timeout");
}
