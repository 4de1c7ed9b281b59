/*
 * src/pipeline/batch.h - parses one complete request in one of the forms that may go ahead of their turn, or may have
 * such requests sent after them: a Query; or [unnamed Parse,] Bind, [Describe of the portal,] Execute without a limit,
 * Sync, where the portal is always the unnamed one. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch {
	const char *sql; /* SQL of the Query or Parse; NULL for a statement that was prepared before */
	const char *statement;
	size_t sql_len; /* without terminator */
	const uint8_t *bind; /* NULL for a Query */
	size_t bind_len, first_len; /* bytes of the Bind; bytes of the first message */
	uint32_t kinds; /* the replies, as enum owed_kind + 1 in four bits each, the first in the lowest */
};

/* Returns false if these bytes are not exactly one such request. The batch points into the bytes. */
bool batch_read(const uint8_t *bytes, size_t len, struct batch *b);
