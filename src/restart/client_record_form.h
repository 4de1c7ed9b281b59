/*
 * src/restart/client_record_form.h - how a client between two requests is written down, to be transferred to another
 * process of pgweir, and how that is read. Pure.
 *
 * Bytes are checked as if a stranger had written them: client_record_parse() looks at every item, so that the functions
 * that walk through them can't fail. Results point into the bytes.
 */
#pragma once

#include "base/buf.h"
#include "session/gucs.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_RECORD_VERSION 3u
#define CLIENT_RECORD_SECRET_MAX 32u /* bytes of a cancel key */
#define CLIENT_RECORD_NAME_MAX 255u /* bytes of a user or a database */

/* Bytes that were checked, and of which the front may have been walked through. */
struct client_record_part {
	const uint8_t *at;
	size_t len;
};

struct client_record_statement {
	const char *name; /* "": the unnamed statement */
	uint32_t text; /* the number of its SQL */
	uint32_t shape, types; /* of its rows and parameters, as the client knows them */
	bool is_shared; /* with clients whose SQL and context are the same */
	bool is_of_session; /* its context is that of the client's present settings; else it has none */
	bool is_proven, is_told;
};

struct client_record {
	uint64_t number; /* the client's, in the process that it leaves */
	uint32_t pool; /* the number of its pool */
	const char *database, *user;
	struct sockaddr_in6 peer; /* its address; of IPv4 a struct sockaddr_in; AF_UNSPEC: it has a Unix socket */
	uint64_t connected_us, idle_since_us; /* by the monotonic clock, which all processes share */
	uint32_t pid; /* that it was told */
	uint8_t secret[CLIENT_RECORD_SECRET_MAX];
	size_t secret_len; /* 4, or CLIENT_RECORD_SECRET_MAX */
	bool is_startup_same; /* startup is the same as settings, and empty here */
	struct client_record_part settings, startup, statements, channels, input;
};

/* The SQL of statements; its number is its place in the order in which such texts are sent, from 0 on. */
struct client_record_text {
	const uint8_t *bytes; /* as struct statement has them */
	size_t len, query_len;
	const uint8_t *types; /* that it was found to have (statement_learn_types); len 0: that is not known */
	size_t types_len;
};

/* A pool, and how its servers log in; numbered like texts. */
struct client_record_pool {
	const char *secret; /* that its servers log in with; "": none was learnt */
	const uint8_t *keys; /* the bytes of its struct scram_keys; len 0: none */
	size_t keys_len;
};

/*
 * Items: how each of these structs, and a struct guc or the const char * of a channel, is written and read.
 * When one is read, `of` is initialised, and is filled.
 */
struct client_record_form; /* opaque: client_record_form.c */
typedef void client_record_item(struct client_record_form *f, void *of);
client_record_item client_record_head; /* of a struct client_record: all but the parts */
client_record_item client_record_setting, client_record_statement, client_record_channel, client_record_text,
    client_record_pool;

void client_record_put(struct buf *b, client_record_item *item, void *of);
/* Returns where a part begins; client_record_end() enters its length there. */
size_t client_record_begin(struct buf *b);
void client_record_end(struct buf *b, size_t begun);

/* Readers. They return 0, or -1: these bytes are no such thing, or of another version (client_record_parse() alone). */
int client_record_parse(const uint8_t *bytes, size_t len, struct client_record *out);
int client_record_parse_text(const uint8_t *bytes, size_t len, struct client_record_text *out);
int client_record_parse_pool(const uint8_t *bytes, size_t len, size_t keys_len, struct client_record_pool *out);
/* Takes the next item of a part, which gets shorter. Returns false at its end. */
bool client_record_next(struct client_record_part *part, client_record_item *item, void *of);
