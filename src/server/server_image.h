/*
 * src/server/server_image.h - settings of a server, and those that its plans were made under.
 */
#pragma once

#include "server/server.h"

/* Returns true if the plans there are as this image would have them made. */
bool server_plans_suit(const struct server *srv, struct image *img);
/*
 * Turns the server's settings into these: appends the messages, including a Sync, to out, and enters them in the
 * ledger. The caller sends them, and sets srv->image if the server will have that image. always, is_guarded: see
 * image_put_changes.
 */
void server_put_image(struct server *srv, const struct image *to, const struct image *always, bool is_guarded,
		      struct buf *out);
/* The same for random(), which begins anew: another borrower may know what its next values are. seed: a random number.
 */
void server_put_seed(struct server *srv, uint64_t seed, struct buf *out);
/* Enters a Sync of our own, which is sent now. */
void server_owe_sync(struct server *srv, enum owed_to to);
