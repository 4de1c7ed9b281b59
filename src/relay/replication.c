/* src/relay/replication.c - closes the server of a replication client when the client leaves: see relay.h. */
#include "relay/relay.h"
#include "wire/startup.h"
#include "server/server.h"

#define CANCEL_TIMEOUT_US 5000000

bool
replication_is_streaming(const struct exchange *x)
{
	return x->replication != REPLICATION_NONE && x->srv != NULL && x->srv->ledger.copy == COPY_BOTH;
}

/* A stream ends with its connection; any other work is cancelled, as nobody waits for its result. */
void
replication_leave(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv->ledger.count > 0 && !replication_is_streaming(x))
		server_cancel(srv, CANCEL_TIMEOUT_US, NULL, NULL);
	else if (srv->fitness == SERVER_FIT && !x->is_in_relay && (x->body_left == 0 || x->is_body_dropped))
		server_write(srv, "X\0\0\0\4", 5);
	x->srv = NULL;
	srv->borrower = NULL;
	server_close(srv);
}
