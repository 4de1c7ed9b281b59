/*
 * src/lookup/auth_query_answer.h - reads the row that auth_query gave. Pure; every byte is hostile.
 *
 * One column: the secret. Two: name and secret, as PgBouncer's queries have them; the name must be the one asked for,
 * or NULL. A third: until when the secret is valid, in seconds since 1970 (text of a number), infinity or NULL.
 */
#ifndef PGWEIR_LOOKUP_AUTH_QUERY_ANSWER_H
#define PGWEIR_LOOKUP_AUTH_QUERY_ANSWER_H

#include "base/fail.h"

#include <stddef.h>
#include <stdint.h>

#define AUTH_SECRET_MAX 1024 /* bytes; PostgreSQL's own have about 135 */
#define AUTH_VALID_FOR_EVER INT64_MAX

struct auth_answer {
	const char *secret; /* within the row, not terminated; NULL: nobody logs in with a password */
	size_t secret_len;
	int64_t valid_until_us; /* since 1970; the secret is valid up to and with this moment */
};

/* body: of a DataRow (protocol chapter, "Message Formats"). -1 and why: it is not such a row. */
int auth_answer_read(const uint8_t *body, size_t len, const char *user, struct auth_answer *out, struct fail *why);

#endif
