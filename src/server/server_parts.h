/*
 * src/server/server_parts.h - declarations that the files of a server connection share; no other file includes it.
 *
 *   server.c          opening, lending, pinging, closing
 *   server_dial.c     hosts, TLS and login, until the server is ready
 *   server_role.c     whether the server is what target_session_attrs wants
 *   server_replies.c  handles the server's messages
 */
#pragma once

#include "server/server.h"

const char *server_event_name(enum server_event ev); /* server_state.c */
/* --- server.c: the end of a server, in two steps. Between them its owner or borrower is called back. --- */
/* Frees everything that srv holds except its own memory; calls ops.settled for the replies that were owed. */
void server_let_go(struct server *srv);
/* Fills srv->owed with the replies that are owed to the borrower now, unless is_owed_final is set. */
void server_note_owed(struct server *srv);
/* Calls owner_ops.closed, and frees srv later. */
void server_finish(struct server *srv);
void server_free_later(struct server *srv); /* the last part of server_finish(): frees srv in the loop's next turn */
/* Sends a question of the owner's, a text that outlives srv. Returns 0, or -1 without memory: see server_send(). */
int server_ask(struct server *srv, const char *question);

/* server_dial.c */
/* Sets host_index. Called before any other function of this file. */
void server_first_host(struct server *srv, uint32_t turn, const struct upstream_host *only);
int server_dial_host(struct server *srv); /* begins to dial the host at host_index; returns -1 without memory */
void server_forget_secret(struct server *srv); /* wipes the output of password_command */
void server_on_login_timer(evutil_socket_t fd, short what, void *arg);
/* Handles bytes while LOGIN. Returns how many were used, or -1 if srv has ended. */
ssize_t server_dial_login(struct server *srv, const uint8_t *p, size_t len);

/* server_reset.c: handles a row of the seal's answer. */
void server_reset_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void server_cancel_forget(struct server *srv); /* server_cancel.c: srv ends, but a cancel under way goes on */

/* server_tls_start.c: begins TLS on a new connection. The login follows, or server_login_failed(). */
void server_tls_begin(struct server *srv);
/* Handles the answer to pgweir's SSLRequest. If the answer begins with an error that the login is to handle, sets
 * tls_phase to STP_REFUSED_WITH_ERROR. */
void server_tls_answer(struct server *srv, const uint8_t *bytes, size_t len);
/* server_dial.c: called when the handshake is over. failed: why it has failed, or NULL. */
void server_tls_done(struct server *srv, const struct fail *failed);

/* server_login.c: the login. If the login can't begin, or work that a thread does for it fails, server_login_failed()
 * is called. server_login_free() abandons such work. */
struct server_login;
void server_login_begin(struct server *srv);
void server_login_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why);
/* Handles one whole message. */
enum login_step { LOGIN_GOES_ON, LOGIN_READY, LOGIN_FAILED };
enum login_step server_login_message(struct server *srv, uint8_t type, const uint8_t *body, size_t len,
				     enum connect_failure *kind, bool *is_fatal, struct fail *why);
void server_login_free(struct server_login *login);
/* Called when the time for the login is over. Returns the kind of the failure, with *why set. */
enum connect_failure server_login_late(const struct server *srv, struct fail *why);

/* server_role.c */
/* Checks the role at the end of the login; welcome has the reported settings. Returns 0, or -1 with *why set. */
int server_check_role(struct server *srv, const struct gucs *welcome, struct fail *why);
/* Handles a setting reported after the login: a server that has lost the wanted role is closed when it is returned. */
void server_role_reported(struct server *srv, const char *name, const char *value);
void server_end_misplaced(struct server *srv); /* ends an idle server that has lost the wanted role */

/* server_replies.c */
extern const struct stream_ops server_stream_ops[2]; /* indexed by server_env.has_other_workers */

/*
 * --- server_keys.c: a thread derives SCRAM keys from a password, for a login that waits for them.
 *
 * Owns:   copies of the password and the salt, and the keys; all are wiped. A server_keys frees itself when the thread
 *         is done.
 */
struct server_keys; /* opaque; one derivation */

/* Called once, from the loop, with the keys (borrowed), or with NULL and *why set. */
typedef void (*server_keys_done)(const struct scram_keys *keys, const struct fail *why, void *arg);

/* Calls done later, unless server_keys_abandon() comes first. Returns NULL with *why set if too much work waits. */
struct server_keys *server_keys_derive(const struct server_env *env, const char *password, const uint8_t *salt,
				       size_t salt_len, uint32_t iterations, server_keys_done done, void *arg,
				       struct fail *why);
void server_keys_abandon(struct server_keys *k); /* done is then not called; k may be NULL */
