/*
 * src/login/login_state.h - declarations that the files of login/ share. No other folder includes this header. The
 * words in capitals are the client's states (exchange/client_state.h).
 *
 *   login.c              begins and ends a login, and passes the client's bytes to the step that expects them
 *   login_wait.c         waits for threads and lookups
 *   login_startup.c      STARTUP: the first packets
 *   login_proxy.c        the PROXY header of a load balancer, which comes first
 *   login_tls.c          TLS, before the startup packet
 *   login_tenant.c       the names of user and database in pgweir's configuration; tenant.c finds the tenant
 *   login_steps.c        AUTHENTICATION: the order of the steps
 *   login_rule.c         decides which proof the client must give
 *   login_asked.c        looks up the name of the client's address, and roles of its user, for login_rule.c
 *   login_secret.c       finds the user's secret: users_file, or auth_query
 *   login_certificate.c  checks the client's certificate
 *   login_scram.c, login_password.c, login_peer.c, login_external.c  the authentication exchanges
 *   login_proof.c        the step after a proof: the client enters the console or a pool, or is refused after a delay
 *   login_recount.c      counts clients again before a client is refused at a limit, because others may have left
 *   login_transfer.c     sends the client from the main worker to the worker of its pool
 *   login_welcome.c      WELCOME: the client's startup settings, and its first ReadyForQuery
 *   login_replication.c  WELCOME for replication clients
 *   login_refuse.c       a login that fails
 *
 * Owns:    struct client_login owns its buffers and texts, and a reference to each GUC set, to hba, ident and users;
 *          login_free() wipes the struct, because it has secrets.
 * Borrows: the strings of rule and secret, which hba, users or secret_text keep alive.
 * Always:  while the login waits for a thread or a lookup, abandon is set, and pgweir does not read from the client, or
 *          keeps the bytes that it reads.
 */
#pragma once

#include "auth/hba.h"
#include "auth/scram.h"
#include "auth/users.h"
#include "lookup/auth_query.h"
#include "client/cancel.h"
#include "login/login.h"
#include "lookup/verifier_cache.h"
#include "wire/startup.h"

/* The result of looking the user up in users_file or by auth_query. */
enum login_user { USER_UNKNOWN, USER_WITHOUT_SECRET, USER_KNOWN };
/* The message of the SCRAM exchange that the client must send next. */
enum sasl_due {
	SASL_MECHANISM_DUE, /* the mechanism's name, usually with client-first */
	SASL_FIRST_DUE, /* client-first, because the name came without it */
	SASL_FINAL_DUE
};

/* The progress of login_wait_for_recount(). A login waits for a recount at most once. */
enum login_recounting { RECOUNT_NOT_DUE, RECOUNT_UNDER_WAY, RECOUNTED };

struct client_login {
	struct buf out; /* messages to the client, which login_flush() sends together */
	struct buf settings; /* the startup packet's names and values; not interpreted before authentication */
	struct gucs *raw; /* the startup packet's settings as a GUC set; NULL until the client is authenticated */
	/* raw without settings that PostgreSQL ignores at startup or does not know; NULL if there are none */
	struct gucs *valid;
	char *user, *database; /* for a tenant: "user.tenant" and "tenant/database" */
	char *sent_user; /* the user's name as the client wrote it */
	enum startup_replication replication;
	struct server *opening; /* a dedicated server that is being opened (login_replication.c); else NULL */
	/* when the login began to wait for permission to open a dedicated server; 0 if it does not wait */
	uint64_t opening_wait_since_us;
	struct scram_server *scram; /* the SCRAM exchange; NULL before it begins */
	struct verifier_waiter verifier; /* the wait for the user's verifier, which a thread derives */
	struct scram_keys keys; /* the keys that a SCRAM proof has revealed */
	enum login_method method; /* the method that metrics and log lines show */
	enum auth_method rule_method; /* the method that the rule asks for; never AUTH_HBA */
	struct hba *hba; /* keeps the strings of rule alive; NULL unless the configured method is hba or a module's */
	struct ident *ident; /* the maps that belong to hba */
	struct hba_answer rule; /* the HBA rule that fits; zeroed if hba is NULL */
	struct login_asked *asked; /* answers of login_asked.c; NULL if nothing was looked up */
	/* with peer, the operating system's user; with tokens, the name that they prove; NULL if not known */
	char *system_user;
	uid_t system_uid;
	/* a counted reference, set once the client's tokens are right; NULL without gss_accept_delegation */
	struct delegated *delegated;
	struct user_secret secret; /* the user's secret; not valid for an unknown user */
	/* called if the client leaves during a wait; set by login_wait() */
	void (*abandon)(void *arg);
	void *abandon_arg;
	struct users *users; /* keeps the string of secret alive, unless the string is secret_text */
	/* the string of secret if it is from auth_query, or a password that a module has judged right; wiped */
	char *secret_text;
	struct auth_ask ask; /* the lookup of a secret or a role that is under way */
	uint64_t external_until_us; /* the deadline for a module's verdict; 0 if no module is judging */
	uint8_t md5_salt[4];
	uint16_t setting_count; /* pairs of name and value in settings */
	uint8_t minor; /* the minor version of protocol 3 */
	uint64_t tls_begun_us; /* when the TLS handshake began */
	/* when the client is refused if the pool's worker does not answer; 0 if the client was not sent there */
	uint64_t worker_until_us;
	struct admission_hold *hold; /* the delayed answer to a wrong proof; NULL except in CL_DELAYED */
	uint8_t found; /* enum login_user */
	uint8_t sasl_due; /* enum sasl_due */
	bool has_ssl_asked; /* the client has sent an SSLRequest; set by handle_ssl_request(), never cleared */
	bool has_gss_asked; /* the client has sent a GSSENCRequest; set by take_packet(), never cleared */
	uint8_t recount; /* enum login_recounting */
	bool is_proxy_due; /* a PROXY header must come first; set by login.c, cleared by login_proxy.c */
	/* The server that was checking the client's settings was lost, so another server was asked. This is done once.
	 * Set by login_server_lost(), never cleared. */
	bool is_asked_again;
	bool has_error; /* PostgreSQL has refused a setting, with `error`. Set and cleared by login_welcome.c */
	struct fail error; /* PostgreSQL's error about a setting */
};

/* login_wait.c */
void login_free(struct client_login *l); /* l may be NULL */
/* Makes the login wait for a thread or a lookup, and stops reading from the client until login_conclude(). If the
 * client leaves first, abandon(arg) is called instead of login_conclude(). */
void login_wait(struct client *c, void (*abandon)(void *arg), void *arg);
void login_set_null(void *client); /* for `abandon`; `client` points to a struct client *, which is set to NULL */
bool login_is_waiting(const struct client *c);
/* Ends the wait; does nothing if the client is CL_DELAYED by now, or waits for a verifier. Calls verdict(c, arg) unless
 * `verdict` is NULL, then handles the bytes that were read during the wait. May close c, so the caller must not use
 * it. */
void login_conclude(struct client *c, void (*verdict)(struct client *c, void *arg), void *arg);

/* login_transfer.c */
/* Sends the client to the worker of its pool, where login_enter_pool() is called. */
void login_transfer(struct client *c, struct client_env *to);
/* login_proof.c */
/* Called on the main worker after the client was admitted. The client enters its pool here or on the pool's worker. */
void login_enter_pool_or_send(struct client *c, void *unused);
void login_enter_pool(struct client *c, void *unused); /* called on the pool's worker: the client enters its pool */
/* login_recount.c */
/* Called before a client is refused at a limit on clients, for `reason`. If clients of other workers may have left
 * without the main worker knowing, returns true, and makes the login wait until clients are counted and the limit is
 * checked again. Returns false if the client is to be refused now. */
bool login_wait_for_recount(struct client *c, enum reject_reason reason);

/* login_refuse.c */
void login_flush(struct client *c); /* sends l->out */
/* Logs a refusal, unless too many were logged lately. `reason`, which may be NULL, is added to the log line. */
void login_log_refusal(struct client *c, const struct fail *why, const char *reason);
/* Counts and logs a failed login, sends the client the error and closes the client. */
void login_refuse(struct client *c, const struct fail *why, enum login_result result);
void login_refuse_out_of_memory(struct client *c); /* calls login_refuse() with 53200 */
/* Does what login_refuse() does, but logs *logged, and sends the client the error *told, unless told is NULL. */
void login_refuse_as(struct client *c, const struct fail *told, const struct fail *logged, enum login_result result);
/* Does what login_refuse() does, for a client that exceeds a limit. Does nothing if login_wait_for_recount() makes the
 * login wait. If there are many such refusals, they share one log line a second. */
void login_refuse_over_limit(struct client *c, const struct fail *why, enum reject_reason reason);
/* Does what login_refuse() does, for a wrong password or certificate, but sends the error after login_failure_delay. */
void login_refuse_late(struct client *c, const struct fail *why, enum login_result result);

/* login_welcome.c */
/* Called once the client has its pool. Checks its startup settings, and sends it the first ReadyForQuery. */
void login_welcome(struct client *c);
void login_log(struct client *c); /* logs a login that has succeeded, if log_connections is on */
/* Ends the login. Sends ParameterStatus for the settings that PostgreSQL reports, BackendKeyData and ReadyForQuery. The
 * values are from the session's settings `gucs`, else from `login_parameters`. Takes over the reference to `gucs`. */
void login_finish(struct client *c, struct gucs *gucs, const struct gucs *login_parameters);

/* login_replication.c */
/* Returns the name of the client's database. But if a client of physical replication has sent a name that is not
 * configured, and all configured databases are in one cluster, returns the name of the first database. */
const char *login_database_name(const struct client *c);
void replication_welcome(struct client *c); /* does what login_welcome() does, for a replication client */
void replication_tick(struct client *c, uint64_t now_us); /* called about every 100 ms while c has no server */
