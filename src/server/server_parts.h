/*
 * src/server/server_parts.h - what the files of a server connection share; nobody else sees it.
 *
 *   server.c          opened, lent, pinged, closed
 *   server_dial.c     until it is ready: hosts, TLS, login
 *   server_replies.c  what it sends
 */
#ifndef PGWEIR_SERVER_SERVER_PARTS_H
#define PGWEIR_SERVER_SERVER_PARTS_H

#include "server/server.h"

/* server.c: its end in two steps, between which its owner or borrower is told. */
/* Everything it holds but its memory goes; ops.settled is called for what was owed. */
void server_let_go(struct server *srv);
void server_finish(struct server *srv);

/* server_dial.c */
int server_dial_host(struct server *srv); /* begins to dial the one at host_index. -1: no memory */
void server_on_login_timer(evutil_socket_t fd, short what, void *arg);
/* Bytes while LOGIN, after our SSLRequest: as server_tls_answer, but a failure has ended srv. */
int server_dial_tls_answer(struct server *srv, const uint8_t *p, size_t len);
/* Bytes while LOGIN. How many were used; -1: it has ended srv. */
ssize_t server_dial_login(struct server *srv, const uint8_t *p, size_t len);

/* server_replies.c */
extern const struct stream_ops server_stream_ops;

#endif
