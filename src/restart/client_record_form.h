/*
 * src/restart/client_record_form.h - the form in which a client between two requests is written, to move to another
 * process of pgweir, and how that form is read. Pure.
 *
 * Bytes are checked as if a stranger had written them: client_record_parse() looks at every item, so the functions that
 * walk through the items can't fail. Results point into the bytes.
 */
#pragma once

#include "base/buf.h"
#include "session/gucs.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_RECORD_VERSION 3u
#define CLIENT_RECORD_SECRET_MAX 32u /* length of a cancel key in bytes */
#define CLIENT_RECORD_NAME_MAX 255u /* bytes of a user's or a database's name */

/* Bytes that were checked; items at the front may have been read already. */
struct client_record_part {
	const uint8_t *at;
	size_t len;
};

struct client_record_statement {
	const char *name; /* "" is the unnamed statement */
	uint32_t text; /* the number of the statement's SQL: see struct client_record_text */
	uint32_t shape,
	    types; /* hashes of the statement's result columns and of its parameters, as the client knows them */
	bool is_shared; /* true if clients whose SQL and context are the same share the statement */
	bool is_of_session; /* true if its context is that of the client's present settings; otherwise it has none */
	bool is_proven, is_told; /* see struct client_statement */
};

struct client_record {
	uint64_t number; /* the client's number, in the process that it leaves */
	uint32_t pool; /* the number of the client's pool */
	const char *database, *user;
	struct sockaddr_in6 peer; /* the client's address: for IPv4 a struct sockaddr_in; AF_UNSPEC for a Unix socket */
	uint64_t connected_us, idle_since_us; /* on the monotonic clock, which all processes share */
	uint32_t pid; /* the PID that the client was told */
	uint8_t secret[CLIENT_RECORD_SECRET_MAX];
	size_t secret_len; /* 4 or CLIENT_RECORD_SECRET_MAX */
	bool is_startup_same; /* true if startup is the same as settings; startup is empty then */
	struct client_record_part settings, startup, statements, channels, input;
};

/* The SQL of statements. Its number is its place in the order in which texts are sent, from 0 on. */
struct client_record_text {
	const uint8_t *bytes; /* the bytes of struct statement */
	size_t len, query_len;
	const uint8_t *types; /* the parameter types found by statement_learn_types(); types_len 0 if not known */
	size_t types_len;
};

/* A pool, and how its servers log in. Pools are numbered like texts. */
struct client_record_pool {
	const char *secret; /* the secret with which its servers log in; "" if none was learned */
	const uint8_t *keys; /* the bytes of the pool's struct scram_keys; keys_len is 0 if there are none */
	size_t keys_len;
};

/* A client_record_item writes or reads one of these structs, a struct guc, or the const char * of a channel. For
 * reading, the caller initializes *of, and the function fills it. */
struct client_record_form; /* opaque; defined in client_record_form.c */
typedef void client_record_item(struct client_record_form *f, void *of);
client_record_item client_record_head; /* of a struct client_record: everything but its parts */
client_record_item client_record_setting, client_record_statement, client_record_channel, client_record_text,
    client_record_pool;

void client_record_put(struct buf *b, client_record_item *item, void *of);
/* Begins a part of variable length and returns its start; client_record_end() enters its length there. */
size_t client_record_begin(struct buf *b);
void client_record_end(struct buf *b, size_t begun);

/* Readers. Each returns 0, or -1 if the bytes are malformed; client_record_parse() also for another version. */
int client_record_parse(const uint8_t *bytes, size_t len, struct client_record *out);
int client_record_parse_text(const uint8_t *bytes, size_t len, struct client_record_text *out);
int client_record_parse_pool(const uint8_t *bytes, size_t len, size_t keys_len, struct client_record_pool *out);
/* Reads the next item of a part, which becomes shorter by that item. Returns false at the end of the part. */
bool client_record_next(struct client_record_part *part, client_record_item *item, void *of);
