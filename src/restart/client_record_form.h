/*
 * src/restart/client_record_form.h - writes and reads the record of a client that moves to another process of pgweir
 * (client_record.h). Does no I/O.
 *
 * A record consists of a head, and of parts, which are lists of items. The bytes are not trusted, but
 * client_record_parse() checks every item, so client_record_next() can't fail. The texts in results point into the
 * bytes.
 */
#pragma once

#include "base/buf.h"
#include "session/gucs.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_RECORD_VERSION 3u
#define CLIENT_RECORD_SECRET_MAX 32u /* bytes of the secret in a cancel key */
#define CLIENT_RECORD_NAME_MAX 255u /* bytes of a user's or a database's name */

/* The items of a part that are still to be read. */
struct client_record_part {
	const uint8_t *at;
	size_t len;
};

struct client_record_statement {
	const char *name; /* "" is the unnamed statement */
	uint32_t text; /* the number of the statement's SQL, a struct client_record_text */
	/* hashes, as the client knows them: of the statement's result columns (shape), and of its parameter types */
	uint32_t shape, types;
	bool is_shared; /* the statement may be shared by clients with the same SQL and context */
	/* the statement's context is that of the client's present settings; if false, it has no context */
	bool is_of_session;
	bool is_proven, is_told; /* see struct client_statement */
};

struct client_record {
	uint64_t number; /* the client's number in messages between the processes */
	uint32_t pool; /* the number of the client's pool, a struct client_record_pool */
	const char *database, *user;
	struct sockaddr_in6 peer; /* the client's address: for IPv4 a struct sockaddr_in; AF_UNSPEC for a Unix socket */
	uint64_t connected_us, idle_since_us; /* on the monotonic clock, which all processes share */
	uint32_t pid; /* the PID in the client's cancel key */
	uint8_t secret[CLIENT_RECORD_SECRET_MAX];
	size_t secret_len; /* 4 or CLIENT_RECORD_SECRET_MAX */
	bool is_startup_same; /* the part `startup` is empty, because it would equal `settings` */
	struct client_record_part settings, startup, statements, channels, input;
};

/* The SQL of a statement. Texts are numbered from 0 on, in the order in which they are sent. */
struct client_record_text {
	const uint8_t *bytes; /* the bytes of struct statement */
	size_t len, query_len;
	const uint8_t *types; /* the parameter types from statement_learn_types() */
	size_t types_len; /* 0 if the types are not known */
};

/* The secrets with which a pool's servers log in. Pools are numbered from 0 on, in the order in which they are sent. */
struct client_record_pool {
	const char *secret; /* a password or the like; "" if the pool has none */
	const uint8_t *keys; /* the bytes of the pool's struct scram_keys */
	size_t keys_len; /* 0 if the pool has no keys */
};

/* A function that writes an item from *of, or reads an item into *of. *of is one of the structs above, a struct guc, or
 * a const char * for a channel. Before reading, the caller initializes *of. */
struct client_record_form; /* opaque; defined in client_record_form.c */
typedef void client_record_item(struct client_record_form *f, void *of);
client_record_item client_record_item_head; /* for a struct client_record without its parts */
client_record_item client_record_item_setting, client_record_item_statement, client_record_item_channel,
    client_record_item_text, client_record_item_pool;

void client_record_put(struct buf *b, client_record_item *item, void *of); /* appends an item */
/* Begins a part, and returns its position for client_record_end(). */
size_t client_record_begin(struct buf *b);
void client_record_end(struct buf *b, size_t begun); /* ends a part: writes its length at its beginning */

/* --- functions that read; client_record_parse...() return 0, or -1 if the bytes are malformed --- */
/* Also returns -1 if the record's version is not CLIENT_RECORD_VERSION. */
int client_record_parse(const uint8_t *bytes, size_t len, struct client_record *out);
int client_record_parse_text(const uint8_t *bytes, size_t len, struct client_record_text *out);
/* keys_len is the size of struct scram_keys. */
int client_record_parse_pool(const uint8_t *bytes, size_t len, size_t keys_len, struct client_record_pool *out);
/* Removes an item from the front of a part, and reads it into *of. Returns false at the end of the part. */
bool client_record_next(struct client_record_part *part, client_record_item *item, void *of);
