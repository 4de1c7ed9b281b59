/* src/base/json.h - strings as JSON. */
#ifndef PGWEIR_BASE_JSON_H
#define PGWEIR_BASE_JSON_H

#include "base/buf.h"

/* Appends s between quotes, escaped, whatever bytes it has (base/escape.h); null if s is NULL. */
void json_put_string(struct buf *to, const char *s);

#endif
