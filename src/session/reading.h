/*
 * src/session/reading.h - makes PostgreSQL parse SQL under the settings that its literals were read under before,
 * whatever the session's settings are now. Pure.
 *
 * PostgreSQL itself keeps the session's settings meanwhile, as there may be more than pgweir knows of; all is set for
 * the transaction alone, so that an error undoes it.
 */
#pragma once

#include "session/image.h"

/*
 * Appends Close, Parse, Bind, Execute and Close, after which these settings (image_reading) are in force, and those it
 * lacks are at their defaults; NULL: restores the session's own. name: an unused name, for a statement and a portal.
 */
void reading_put(struct buf *out, const char *name, const struct image *reading);
/*
 * Returns what literals are read under in a session with this image, as one string, which the caller frees. NULL: no
 * memory, or a value that it can't have.
 */
char *reading_text(const struct image *img);
/* Returns the image_reading() of an image with this text; a reference of the caller's. NULL: no memory. */
struct image *reading_image(struct image_store *store, const char *text);
