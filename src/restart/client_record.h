/*
 * src/restart/client_record.h - a client moves to another process of pgweir, with its socket and its session.
 *
 *   the process that it leaves:     client_record_obstacle(), client_record_write(), later client_let_go()
 *   the process that it comes to:   client_record_reader_...(), client_record_adopt(), later
 *                                   client_record_begin_reading()
 *
 * A client can move between two requests, if it has no server. Its session then consists of its GUC set, its
 * statements, the channels that it listens on, and its cancel key. The SQL of statements and the secrets of pools,
 * which many clients share, are sent once.
 */
#pragma once

#include "client/client.h"
#include "restart/client_record_form.h"

/* The reason why a client can't move now. */
enum client_record_obstacle {
	CLIENT_RECORD_NONE,
	CLIENT_RECORD_BUSY, /* a request, a transaction or a login is in progress */
	CLIENT_RECORD_PINNED, /* the client keeps its server between transactions */
	CLIENT_RECORD_SESSION, /* the client keeps its server, because of pool_mode = session or for replication */
	CLIENT_RECORD_TLS,
	CLIENT_RECORD_CONSOLE,
	CLIENT_RECORD_TICKET, /* the pool's servers log in with the client's delegated ticket, which can't move */
	CLIENT_RECORD_REFUSED, /* the other process could not take the client */
	CLIENT_RECORD_OBSTACLES
};
enum client_record_obstacle client_record_obstacle(const struct client *c);
const char *client_record_obstacle_name(enum client_record_obstacle o);

/* --- the process that the client leaves --- */
struct client_record_writer; /* opaque; remembers which pools and texts were sent */
/* Makes a writer, which calls send for each pool and each text. Returns NULL without memory. */
struct client_record_writer *client_record_writer_new(void (*send)(void *arg, bool is_pool, const struct buf *what),
						      void *arg);
void client_record_writer_free(struct client_record_writer *o); /* before the stores are freed; o may be NULL */
/* Appends the record of a client that has no obstacle. First sends the client's pool and texts, if they were not sent
 * yet. Returns 0, or -1 without memory. */
int client_record_write(struct client_record_writer *o, struct client *c, uint64_t number, struct buf *out);

/* --- the process that the client comes to --- */
struct client_record_reader; /* opaque; holds the pools and texts that have come */
struct client_record_reader *client_record_reader_new(struct client_env *main_worker); /* main_worker is worker 0's */
void client_record_reader_free(struct client_record_reader *s); /* s may be NULL */
/* Takes a pool or the SQL of a statement. Returns 0, or -1 if it or an earlier one is malformed, or without memory. */
int client_record_reader_take(struct client_record_reader *s, bool is_pool, const uint8_t *bytes, size_t len);
/*
 * Called in a halt. Makes a client of the record, on the worker of its pool; the client is not read yet. Takes fd.
 * Returns NULL with *why set if the client's database is not configured any more, if its pool or a text has not come,
 * or without memory. The client does not notice the failure, because it stays in the old process.
 */
struct client *client_record_adopt(struct client_record_reader *s, const struct client_record *p, int fd,
				   struct fail *why);
void client_record_begin_reading(struct client *c); /* called when the client belongs to this process: reads it again */
