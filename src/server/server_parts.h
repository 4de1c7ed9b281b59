/*
 * src/server/server_parts.h - declarations that are shared by, and only by, the files that implement server.h.
 *
 *   server.c          opening, lending, pinging, closing
 *   server_dial.c     hosts, TLS and login, until the server is ready
 *   server_role.c     whether the server is what target_session_attrs wants
 *   server_replies.c  handles the server's messages
 */
#pragma once

#include "server/server.h"

const char *server_event_name(enum server_event ev); /* server_state.c */
/* --- server.c: the end of a server, in two steps. In between, the owner or the borrower is called back. --- */
/* Step 1: closes the socket, and frees what srv needs only while it is connected. Calls ops.settled for the replies
 * that were owed. */
void server_free_parts(struct server *srv);
/* Fills srv->owed with the replies that are owed to the borrower now, unless is_owed_final is set. */
void server_note_owed(struct server *srv);
/* Step 2: calls owner_ops.closed, and frees srv in the loop's next turn. */
void server_finish_closing(struct server *srv);
void server_free_later(struct server *srv); /* does the last part of server_finish_closing() */
/* Sends a query of the owner's. `question` must outlive srv. Returns 0, or -1 as server_send() does. */
int server_ask(struct server *srv, const char *question);

/* server_dial.c */
/* Sets host_index to the host that is tried first. turn, only: see server_new(). Called before any other function of
 * server_dial.c. */
void server_set_first_host(struct server *srv, uint32_t turn, const struct upstream_host *only);
/* Gets the password if a command prints it, then dials the host at host_index. Returns 0, or -1 if out of memory. */
int server_dial_host(struct server *srv);
void server_forget_secret(struct server *srv); /* wipes the output of password_command */
void server_on_login_timer(evutil_socket_t fd, short what, void *arg); /* called when the login's time is over */
/* Handles bytes that come before the login is complete (SV_LOGIN). Returns how many were used, or -1 if srv has ended
 * or dials again. */
ssize_t server_take_login_bytes(struct server *srv, const uint8_t *p, size_t len);

/* server_reset.c: handles a row of the answer to a Query of seal_put(). */
void server_reset_take_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
/* server_cancel.c: call when srv ends. A cancel that is under way then goes on without srv. */
void server_cancel_forget(struct server *srv);

/* server_tls_start.c: begins TLS, if it is wanted, on a new connection; otherwise begins the login. Calls
 * server_tls_done() or server_host_failed() later. */
void server_tls_begin(struct server *srv);
/* Handles the answer to pgweir's SSLRequest. If the answer begins with an error that the login is to handle, sets
 * tls_phase to STP_REFUSED_WITH_ERROR. */
void server_tls_take_answer(struct server *srv, const uint8_t *bytes, size_t len);
/* server_dial.c: call when the TLS handshake is over. failed: why it has failed; NULL if it has succeeded. */
void server_tls_done(struct server *srv, const struct fail *failed);

/* server_login.c: the login. If the login can't begin, or if a thread's work for the login fails, server_host_failed()
 * is called. server_login_free() abandons the thread's work. */
struct server_login;
void server_login_begin(struct server *srv);
/* server_dial.c: tries the next host; ends srv if there is none, or if kind is CF_TOO_MANY. is_fatal: see
 * server_owner_ops.failed. If *why is a lack of resources (class 53), is_fatal is ignored, and CF_AUTH is taken as
 * CF_OTHER. */
void server_host_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why);
/* Handles one whole message. Sets *kind, *is_fatal and *why if it returns LOGIN_FAILED. */
enum login_step { LOGIN_GOES_ON, LOGIN_READY, LOGIN_FAILED };
enum login_step server_login_message(struct server *srv, uint8_t type, const uint8_t *body, size_t len,
				     enum connect_failure *kind, bool *is_fatal, struct fail *why);
void server_login_free(struct server_login *login);
/* Call when the time for the login is over. Returns the kind of the failure, with *why set. */
enum connect_failure server_login_timed_out(const struct server *srv, struct fail *why);

/* server_role.c */
/* Checks, at the end of the login, whether the server is what target_session_attrs wants. welcome: the settings that
 * PostgreSQL has reported. Sets srv->role. Returns 0, or -1 with *why set. */
int server_check_role(struct server *srv, const struct gucs *welcome, struct fail *why);
/* Handles a setting that PostgreSQL reports after the login. If srv no longer is what target_session_attrs wants, makes
 * srv SERVER_MISPLACED. */
void server_role_reported(struct server *srv, const char *name, const char *value);
void server_end_misplaced(struct server *srv); /* ends a SERVER_MISPLACED server that no client has */

/* server_replies.c */
extern const struct stream_ops server_stream_ops[2]; /* indexed by server_env.has_other_workers */

/*
 * --- server_keys.c: lets a thread derive SCRAM keys from a password, for a login that waits for the keys.
 *
 * Owns:   copies of the password and the salt, and the keys; all are wiped. A struct server_keys is freed when the
 *         thread has finished and the result was reported.
 */
struct server_keys; /* opaque; one derivation */

/* Called once, from the loop, with the keys, which are valid during the call; or with NULL and *why set. */
typedef void (*server_keys_done)(const struct scram_keys *keys, const struct fail *why, void *arg);

/* Calls done() later, unless server_keys_abandon() comes first. Returns NULL with *why set if out of memory, or if too
 * much work waits for threads. */
struct server_keys *server_keys_derive(const struct server_env *env, const char *password, const uint8_t *salt,
				       size_t salt_len, uint32_t iterations, server_keys_done done, void *arg,
				       struct fail *why);
void server_keys_abandon(struct server_keys *k); /* done() is then not called; k may be NULL */
