/*
 * src/login/login_state.h - what the files of login/ share. No other folder includes this header.
 *
 *   login.c              begins and ends a login, and passes the client's bytes to the step that expects them
 *   login_wait.c         waits for threads and lookups
 *   login_startup.c      STARTUP: the first packets
 *   login_proxy.c        the PROXY header of a load balancer, which comes first
 *   login_tls.c          TLS, before the startup packet
 *   login_tenant.c       the client's names for user and database within pgweir; tenant.c, which is pure, finds the
 *                        tenant in the names
 *   login_steps.c        AUTHENTICATION: the order of the steps
 *   login_rule.c         decides which proof is asked for
 *   login_asked.c        looks up the name of the client's address, and roles of its user, for login_rule.c
 *   login_secret.c       finds the user's secret: users_file, or auth_query
 *   login_certificate.c  checks the client's certificate
 *   login_scram.c, login_password.c, login_peer.c, login_external.c  the authentication exchanges
 *   login_proof.c        the step after a proof: the client enters the console or a pool, or is refused late
 *   login_recount.c      counts clients again before a limit on clients refuses one, because some may have left
 *   login_transfer.c     sends the client from the main worker to the worker of its pool
 *   login_welcome.c      WELCOME: the client's startup settings, and its first ReadyForQuery
 *   login_replication.c  WELCOME for replication clients
 *   login_refuse.c       a login that fails
 *
 * Owns:    struct client_login owns its buffers and texts, and a reference to each GUC set, to hba, ident and users;
 *          login_free wipes it, because there are secrets in it.
 * Borrows: the strings of rule and secret, which hba, users or secret_text keep alive.
 * Always:  while the login waits, abandon is set. Either pgweir does not read from the client, or it keeps the bytes
 *          that the client sends.
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
/* The message of the SCRAM exchange that comes next. */
enum sasl_due {
	SASL_MECHANISM_DUE,
	SASL_FIRST_DUE, /* the client has sent the mechanism's name without the first message */
	SASL_FINAL_DUE
};

/* The progress of login_wait_for_recount(). */
enum login_recounting { RECOUNT_NOT_DUE, RECOUNT_UNDER_WAY, RECOUNTED };

struct client_login {
	struct buf out; /* messages to the client, sent together by login_flush() */
	struct buf settings; /* the startup packet's names and values; not interpreted before authentication */
	struct gucs *raw; /* the same settings as a GUC set, once the client is authenticated */
	/* raw without the settings that PostgreSQL was found not to know; NULL if no such setting was found */
	struct gucs *valid;
	char *user, *database; /* for a tenant: "user.tenant" and "tenant/database" */
	char *sent_user; /* the user's name as the client wrote it */
	enum startup_replication replication;
	struct server *opening; /* a dedicated server that is logging in (login_replication.c) */
	/* when the login began to wait for permission to open a dedicated server; 0 if it does not wait */
	uint64_t place_since_us;
	struct scram_server *scram; /* NULL until the exchange begins */
	struct verifier_waiter verifier; /* waits while the user's verifier is derived */
	struct scram_keys keys;
	enum login_method method; /* for the metrics */
	enum auth_method demand; /* the method of the rule; never AUTH_HBA */
	struct hba *hba; /* keeps the strings of rule alive; NULL unless the configured method is hba or a module's */
	struct ident *ident; /* the maps that belong to hba */
	struct hba_answer rule; /* the answer of the HBA rules; zeroed if no rules were asked */
	struct login_asked *asked; /* see login_asked.c; NULL if nothing was asked */
	/* for peer, the name of the operating system's user; for tokens, the name that the tokens prove; NULL if not
	 * known (yet) */
	char *system_user;
	uid_t system_uid;
	/* a counted reference to the credentials that the client's tokens delegate; NULL if the client has sent no
	 * token, or if none are delegated */
	struct delegated *delegated;
	struct user_secret secret;
	/* Set by login_wait(); called if the client leaves before login_conclude(). */
	void (*abandon)(void *arg);
	void *abandon_arg;
	struct users *users; /* keeps the string of secret alive, unless secret uses secret_text */
	/* the string of secret, if it is from auth_query or is a password that a module judged right; wiped */
	char *secret_text;
	struct auth_ask ask; /* the lookup of a secret or a role that is under way */
	uint64_t external_until_us; /* the deadline while a module judges the client; else 0 */
	uint8_t md5_salt[4];
	uint16_t setting_count;
	uint8_t minor; /* the minor version of protocol 3 */
	uint64_t tls_begun_us;
	/* the deadline for an answer of the pool's worker; 0 if the client was not sent there */
	uint64_t worker_until_us;
	struct admission_hold *hold; /* the delayed answer to a wrong proof; only in CL_DELAYED */
	uint8_t found; /* enum login_user; secret is the user's only if this is USER_KNOWN */
	uint8_t sasl_due; /* enum sasl_due */
	bool has_ssl_asked; /* an SSLRequest came; set by ssl_request(), never cleared */
	bool has_gss_asked; /* a GSSENCRequest came; set by take_packet(), never cleared */
	uint8_t recount; /* enum login_recounting */
	bool is_proxy_due; /* a PROXY header must come first; set by login.c, cleared by login_proxy.c */
	/* A server was lost while it was asked about the settings, and another one is asked. Set by
	 * login_server_lost(), never cleared. */
	bool is_asked_again;
	bool has_error; /* PostgreSQL has refused a setting, with `error`. Set and cleared by login_welcome.c */
	struct fail error; /* PostgreSQL's error about the settings */
};

/* login_wait.c */
void login_free(struct client_login *l); /* NULL is fine */
/* Makes the login wait for a thread or a query: pgweir does not read from the client until login_conclude(). Either
 * login_conclude() or `abandon` is called, and exactly once. */
void login_wait(struct client *c, void (*abandon)(void *arg), void *arg);
void login_set_null(void *client); /* serves as `abandon`: `client` points to a struct client *, which is set to NULL */
bool login_is_waiting(const struct client *c);
/* Ends the wait: calls `verdict` unless it is NULL, then handles the bytes that were read during the wait. Call this
 * last: c may be closed afterwards. */
void login_conclude(struct client *c, void (*verdict)(struct client *c, void *arg), void *arg);

/* login_transfer.c: the client goes to the worker of its pool, and login_arrived() is called there. */
void login_transfer(struct client *c, struct client_env *to);
/* login_proof.c */
/* called once the client is admitted: the client enters its pool, or is transferred to the pool's worker */
void login_go_to_worker(struct client *c, void *unused);
void login_arrived(struct client *c, void *unused);
/* login_recount.c: called before a client is refused at a limit on clients, for `reason`. The main worker may not know
 * yet that clients of other workers have left: in that case makes the login wait for a recount, after which the limit
 * is checked again, and returns true. */
bool login_wait_for_recount(struct client *c, enum reject_reason reason);

/* login_refuse.c */
void login_flush(struct client *c); /* sends l->out */
/* Logs a refusal, unless too many were logged lately. `reason` is for the log alone, and may be NULL. */
void login_note_refusal(struct client *c, const struct fail *why, const char *reason);
/* Counts and logs a failed login, sends the client the error and closes it. */
void login_refuse(struct client *c, const struct fail *why, enum login_result result);
void login_out_of_memory(struct client *c); /* calls login_refuse() with 53200 */
/* Like login_refuse(), but the log gets `logged`, and the client gets `told`, or no error if `told` is NULL. */
void login_refuse_as(struct client *c, const struct fail *told, const struct fail *logged, enum login_result result);
/* Like login_refuse(), for refusals at a limit. Calls login_wait_for_recount() first, and does nothing if that makes
 * the login wait. Many refusals are logged in one line a second. */
void login_reject(struct client *c, const struct fail *why, enum reject_reason reason);
/* Like login_refuse(), for a wrong proof (a password, a certificate): the error is sent after login_failure_delay. */
void login_refuse_late(struct client *c, const struct fail *why, enum login_result result);

/* login_welcome.c */
void login_welcome(struct client *c); /* call it once authenticated, with x.pool set */
void login_log(struct client *c);
/* Sends ParameterStatus (of welcome, with gucs' values), BackendKeyData and ReadyForQuery in one write. Takes over
 * gucs. */
void login_finish(struct client *c, struct gucs *gucs, const struct gucs *welcome);

/* login_replication.c */
const char *replication_database(const struct client *c);
void replication_welcome(struct client *c);
void replication_tick(struct client *c, uint64_t now_us); /* called about every 100 ms while c has no server */
