/*
 * src/session/image_changes.h - the messages that turn one image into another.
 */
#pragma once

#include "session/image.h"

/* Appends name between double quotes, and doubles those in it. is_qualified: a.b is two names. */
void image_put_identifier(struct buf *out, const char *name, bool is_qualified);
/* Returns true for settings of whom the session acts as, which RESET ALL does not reset. */
bool image_is_identity(const struct image_setting *s);
/*
 * Appends the messages that turn a server with image from into one with image to: extended protocol, values as bound
 * parameters (never SQL text), without a Sync; nothing if there is no difference. Reported settings that only from has
 * are left alone. is_guarded: PostgreSQL ends the session if a setting is refused, and does not run what was sent
 * behind that; not within a transaction of a client's. always (may be NULL): settings of that image are sent even if
 * from and to agree on them. Messages that only undo settings of from can't fail. Returns the number of
 * Parse/Bind/Execute triples.
 */
size_t image_put_changes(struct buf *out, const struct image *from, const struct image *to, const struct image *always,
			 bool is_guarded);
