/*
 * src/pipeline/batch.h - one whole request in one of the forms that may go ahead of their turn, or be followed by what
 * does: a Query; or [unnamed Parse,] Bind, [Describe of the portal,] Execute without a limit, Sync, all of the unnamed
 * portal. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch {
	const char *sql; /* of the Query or Parse; NULL: of a statement that was prepared before: */
	const char *statement;
	size_t sql_len; /* without terminator */
	const uint8_t *bind; /* NULL: it is a Query */
	size_t bind_len, first_len; /* bytes of the Bind; of the first message */
	uint32_t kinds; /* of the replies, four bits each, the first one in the lowest: enum owed_kind + 1 */
};

/* Returns false if these bytes are anything else, or not all of it, or more. Borrows them. */
bool batch_read(const uint8_t *bytes, size_t len, struct batch *b);
