/*
 * src/session/reading.h - has PostgreSQL parse something under the settings under which its literals were read once,
 * whatever the session's are now. Pure.
 *
 * What the settings are is kept by PostgreSQL itself, for there may be more than pgweir knows of; all is set for the
 * transaction alone, so that an error takes it back.
 */
#ifndef PGWEIR_SESSION_READING_H
#define PGWEIR_SESSION_READING_H

#include "base/buf.h"
#include "session/image.h"

/*
 * Appends Close, Parse, Bind, Execute and Close, after which these settings (image_reading) are in force, those that it
 * has not at their defaults; NULL: the session's own are again. name: of a statement and portal that are free to use.
 */
void reading_put(struct buf *out, const char *name, const struct image *reading);

#endif
