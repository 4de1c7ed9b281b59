/*
 * src/restart/passport.h - a client moves to another process of pgweir, with its socket and its session.
 *
 *   the process it leaves:     passport_obstacle(), passport_write(), later client_let_go()
 *   the process it comes to:   passport_reader_...(), passport_adopt(), later passport_begin_reading()
 *
 * A client can move between two requests, if it has no server. Its session is then its image, its statements, what it
 * listens on, and its cancel key. The SQL of statements and the secrets of pools, which many clients share, are sent
 * once.
 */
#pragma once

#include "client/client.h"
#include "restart/passport_form.h"

/* Why a client can't move now. */
enum passport_obstacle {
	PASSPORT_NONE,
	PASSPORT_BUSY, /* a request or a transaction is under way, or a login */
	PASSPORT_PINNED, /* it keeps its server between transactions */
	PASSPORT_SESSION, /* the same, by pool_mode = session or for replication */
	PASSPORT_TLS,
	PASSPORT_CONSOLE,
	PASSPORT_REFUSED, /* the other process could not take it */
	PASSPORT_OBSTACLES
};
enum passport_obstacle passport_obstacle(const struct client *c);
const char *passport_obstacle_name(enum passport_obstacle o);

/* --- the process it leaves --- */
struct passport_writer; /* opaque: which pools and texts were sent */
/* send: sends a pool, or a text. */
struct passport_writer *passport_writer_new(void (*send)(void *arg, bool is_pool, const struct buf *what), void *arg);
void passport_writer_free(struct passport_writer *o); /* before the stores of statements; NULL is fine */
/* Appends the passport of a client without obstacle; what it refers to is sent first. Returns 0, or -1: no memory. */
int passport_write(struct passport_writer *o, struct client *c, uint64_t number, struct buf *out);

/* --- the process it comes to --- */
struct passport_reader; /* opaque: pools and texts that came */
struct passport_reader *passport_reader_new(struct client_env *door); /* worker 0's */
void passport_reader_free(struct passport_reader *s); /* NULL is fine */
/* A pool, or a text. Returns 0, or -1: it, or one before it, is malformed, or there was no memory. */
int passport_reader_take(struct passport_reader *s, bool is_pool, const uint8_t *bytes, size_t len);
/*
 * In a halt: makes a client of it, on the worker of its pool, which is not read yet. Takes fd. Returns NULL with *why
 * set: its database is not configured any more, something is missing, or no memory; nobody has noticed then.
 */
struct client *passport_adopt(struct passport_reader *s, const struct passport *p, int fd, struct fail *why);
void passport_begin_reading(struct client *c); /* it is this process's now */
