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
