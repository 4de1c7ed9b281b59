/*
 * src/pipeline/batch.h - parses a complete request of a form that may be sent ahead of its turn, or after which other
 * requests may be sent. There are two such forms: a Query; or [unnamed Parse,] Bind, [Describe of the portal,] Execute
 * without a limit, Sync, all with the unnamed portal. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch {
	const char *sql; /* the SQL of the Query or Parse; NULL if the request has neither */
	const char *statement;
	size_t sql_len; /* without terminator */
	const uint8_t *bind; /* NULL for a Query */
	size_t bind_len; /* bytes of the Bind */
	size_t first_len; /* bytes of the first message */
	uint32_t kinds; /* the expected replies, four bits each: enum owed_kind plus 1, the first in the lowest bits */
};

/* Returns false if these bytes are not exactly one such request. The batch points into the bytes. */
bool batch_read(const uint8_t *bytes, size_t len, struct batch *b);
