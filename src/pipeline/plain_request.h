/*
 * src/pipeline/plain_request.h - parses a complete request of one of two forms: a Query; or [unnamed Parse,] Bind,
 * [Describe of the portal,] Execute without a limit, Sync, all with the unnamed portal. A request is sent ahead of its
 * turn only if it has one of these forms, and if the request that runs on the server has one, too. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plain_request {
	const char *sql; /* the SQL of the Query or Parse; NULL if the request has neither */
	const char *statement_name;
	size_t sql_len; /* without terminator */
	const uint8_t *bind; /* the whole Bind message; NULL for a Query */
	size_t bind_len; /* bytes of the Bind */
	size_t first_len; /* bytes of the first message */
	/* the expected replies, each in four bits as enum owed_kind plus 1, the first reply in the lowest bits */
	uint32_t kinds;
};

/* Fills *b, which points into the bytes. Returns false if the bytes are not exactly one such request. */
bool plain_request_parse(const uint8_t *bytes, size_t len, struct plain_request *b);
