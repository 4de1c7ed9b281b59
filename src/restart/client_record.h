/*
 * src/restart/client_record.h - moves a client, with its socket and its session, to another process of pgweir.
 *
 *   the old process:  client_record_find_obstacle(), client_record_write(), later client_close_copy()
 *   the new process:  client_record_reader_...(), client_record_adopt(), later client_record_begin_reading()
 *
 * A client can move between two requests, if it has no server. The client's record has its settings, its statements,
 * the channels that it listens to, and its cancel key. The SQL of statements (here called texts) and the secrets of
 * pools are shared by many clients, so they are sent once, outside the records.
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
	CLIENT_RECORD_TICKET, /* the pool's servers log in with a client's delegated ticket, which can't move */
	CLIENT_RECORD_REFUSED, /* the new process could not take the client */
	CLIENT_RECORD_OBSTACLES
};
enum client_record_obstacle client_record_find_obstacle(const struct client *c);
const char *client_record_obstacle_name(enum client_record_obstacle o);

/* --- the old process --- */
struct client_record_writer; /* opaque; remembers which pools and texts were sent */
/* Makes a writer, which calls send() with each pool and each text. Returns NULL if there is no memory. */
struct client_record_writer *client_record_writer_new(void (*send)(void *arg, bool is_pool, const struct buf *what),
						      void *arg);
/* Must be called before the stores of statements are freed. o may be NULL. */
void client_record_writer_free(struct client_record_writer *o);
/* Appends to *out the record of a client that has no obstacle. First sends the client's pool and texts, unless they
 * were sent already. `number` stands for the client in messages between the processes. Returns 0, or -1 without
 * memory. */
int client_record_write(struct client_record_writer *o, struct client *c, uint64_t number, struct buf *out);

/* --- the new process --- */
struct client_record_reader; /* opaque; holds the pools and texts that have come */
struct client_record_reader *client_record_reader_new(struct client_env *main_worker); /* main_worker is worker 0's */
void client_record_reader_free(struct client_record_reader *s); /* s may be NULL */
/* Takes a pool or a text. Returns 0, or -1 if a pool or text so far was malformed, or if there is no memory. */
int client_record_reader_take(struct client_record_reader *s, bool is_pool, const uint8_t *bytes, size_t len);
/*
 * Called while all workers are halted. Makes a client from the record, on the worker of its pool, and takes over fd.
 * Does not read from the client yet. Returns NULL with *why set if the client's database is no longer configured, if
 * its pool or a text has not come, or if there is no memory; the client then stays in the old process.
 */
struct client *client_record_adopt(struct client_record_reader *s, const struct client_record *p, int fd,
				   struct fail *why);
/* Called when the old process has released the client. Begins to read from the client. */
void client_record_begin_reading(struct client *c);
