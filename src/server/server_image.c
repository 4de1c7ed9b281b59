/*
 * src/server/server_image.c - gives a server connection the settings of its borrower.
 *
 * The messages go ahead of the borrower's first one; their answers are swallowed (OWED_TO_IMAGE).
 */
#include "server/server.h"

#include "wire/messages.h"

static int
owe_triples(struct server *srv, size_t triples)
{
	for (size_t i = 0; i < triples; i++)
		if (ledger_push_run(&srv->ledger, OWED_TO_IMAGE, NULL) < 0)
			return -1;
	if (triples > 0)
		srv->unnamed_of = 0;
	return 0;
}

int
server_owe_sync(struct server *srv, enum owed_to to)
{
	return ledger_push_request(&srv->ledger, OWED_SYNC, to,
				   &(struct owed_request){ .started_us = *srv->env->now_us });
}

int
server_put_image(struct server *srv, const struct image *to, const struct image *always, struct buf *out)
{
	size_t triples;

	for (size_t n = image_put_deallocates(out, srv->image, to); n > 0; n--)
		if (owe_triples(srv, 1) < 0 || server_owe_sync(srv, OWED_TO_IMAGE) < 0)
			return -1;
	triples = image_put_changes(out, srv->image, to, always);
	if (!buf_ok(out) || owe_triples(srv, triples) < 0)
		return -1;
	if (triples == 0)
		return 0;
	message_sync(out);
	return server_owe_sync(srv, OWED_TO_IMAGE);
}
