/*
 * src/restart/client_record.h - a client moves to another process of pgweir, with its socket and its session.
 *
 *   the process it leaves:     client_record_obstacle(), client_record_write(), later client_let_go()
 *   the process it comes to:   client_record_reader_...(), client_record_adopt(), later client_record_begin_reading()
 *
 * A client can move between two requests, if it has no server. Its session is then its GUC set, its statements, what it
 * listens on, and its cancel key. The SQL of statements and the secrets of pools, which many clients share, are sent
 * once.
 */
#pragma once

#include "client/client.h"
#include "restart/client_record_form.h"

/* Why a client can't move now. */
enum client_record_obstacle {
	CLIENT_RECORD_NONE,
	CLIENT_RECORD_BUSY, /* a request or a transaction is under way, or a login */
	CLIENT_RECORD_PINNED, /* it keeps its server between transactions */
	CLIENT_RECORD_SESSION, /* the same, by pool_mode = session or for replication */
	CLIENT_RECORD_TLS,
	CLIENT_RECORD_CONSOLE,
	CLIENT_RECORD_TICKET, /* its pool logs in by what it has delegated, which can't move */
	CLIENT_RECORD_REFUSED, /* the other process could not take it */
	CLIENT_RECORD_OBSTACLES
};
enum client_record_obstacle client_record_obstacle(const struct client *c);
const char *client_record_obstacle_name(enum client_record_obstacle o);

/* --- the process it leaves --- */
struct client_record_writer; /* opaque: which pools and texts were sent */
/* send: sends a pool, or a text. */
struct client_record_writer *client_record_writer_new(void (*send)(void *arg, bool is_pool, const struct buf *what),
						      void *arg);
void client_record_writer_free(struct client_record_writer *o); /* before the stores of statements; NULL is fine */
/* Appends the client record of a client without obstacle; what it refers to is sent first. 0, or -1: no memory. */
int client_record_write(struct client_record_writer *o, struct client *c, uint64_t number, struct buf *out);

/* --- the process it comes to --- */
struct client_record_reader; /* opaque: pools and texts that came */
struct client_record_reader *client_record_reader_new(struct client_env *main_worker); /* worker 0's */
void client_record_reader_free(struct client_record_reader *s); /* NULL is fine */
/* A pool, or a text. Returns 0, or -1: it, or one before it, is malformed, or there was no memory. */
int client_record_reader_take(struct client_record_reader *s, bool is_pool, const uint8_t *bytes, size_t len);
/*
 * In a halt: makes a client of it, on the worker of its pool, which is not read yet. Takes fd. Returns NULL with *why
 * set: its database is not configured any more, something is missing, or no memory; nobody has noticed then.
 */
struct client *client_record_adopt(struct client_record_reader *s, const struct client_record *p, int fd,
				   struct fail *why);
void client_record_begin_reading(struct client *c); /* it is this process's now */
