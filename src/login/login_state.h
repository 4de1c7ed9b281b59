/*
 * src/login/login_state.h - what the files of login/ share; nobody else sees it.
 *
 *   login.c              begins and ends a login, and hands out its bytes
 *   login_wait.c         waits for threads and lookups
 *   login_startup.c      STARTUP: the first packets
 *   login_proxy.c        the PROXY header of a load balancer, before all else
 *   login_tls.c          TLS, before everything else
 *   login_tenant.c       the names of its user and database within pgweir; tenant.c finds the tenant in them, pure
 *   login_steps.c        AUTHENTICATION: the order of the steps
 *   login_rule.c         decides which proof is asked for
 *   login_asked.c        finds out for it the name of the client's address, and roles
 *   login_secret.c       finds the user's secret: users_file, or auth_query
 *   login_certificate.c  checks the client's certificate
 *   login_scram.c, login_password.c, login_peer.c, login_external.c  the authentication exchanges
 *   login_proof.c        what follows a proof: the console or a pool, or a late refusal
 *   login_recount.c      looks again who has gone, before a limit on clients refuses one
 *   login_transfer.c     the way from the main worker to the worker of its pool
 *   login_welcome.c      WELCOME: the client's startup settings, and its first ReadyForQuery
 *   login_replication.c  the same for replication clients
 *   login_refuse.c       a login that fails
 *
 * Owns:    struct client_login its buffers and texts, and a reference to each GUC set, to hba, ident and users;
 *          login_free wipes it, as there are secrets in it.
 * Borrows: the strings of rule and secret, which hba, users or secret_text keep alive.
 * Always:  while the login waits, abandon is set, and the client is not read, or what it sends is kept.
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

/* The user, as far as users_file or auth_query know it. */
enum login_user { USER_UNKNOWN, USER_WITHOUT_SECRET, USER_KNOWN };
/* The message of the SCRAM exchange that comes next. */
enum sasl_due {
	SASL_MECHANISM_DUE,
	SASL_FIRST_DUE, /* the mechanism came without it */
	SASL_FINAL_DUE
};

/* Whether it was looked who else has gone, before a limit on clients refuses it. */
enum login_recounting { RECOUNT_NOT_DUE, RECOUNT_UNDER_WAY, RECOUNTED };

struct client_login {
	struct buf out; /* messages to the client, sent together by login_flush() */
	struct buf settings; /* the startup packet's names and values; not interpreted before authentication */
	struct gucs *raw; /* the same settings as a GUC set, once the client is authenticated */
	struct gucs *valid; /* those of them that PostgreSQL knows; NULL: all, as far as we know */
	char *user, *database; /* of a tenant: "user.tenant", "tenant/database" */
	char *sent_user; /* as the client wrote it */
	enum startup_replication replication;
	struct server *opening; /* a dedicated server that is logging in (login_replication.c) */
	uint64_t place_since_us; /* since when it waits for a place for one; 0: it does not */
	struct scram_server *scram; /* NULL: not begun */
	struct verifier_waiter verifier; /* waits while the user's verifier is derived */
	struct scram_keys keys;
	enum login_method method; /* for the metrics */
	enum auth_method demand; /* what the rule asks for; never AUTH_HBA */
	struct hba *hba; /* keeps rule's strings alive; NULL unless method is hba or a module's */
	struct ident *ident; /* the maps that belong to hba */
	struct hba_answer rule; /* the HBA file's answer; zeroed: no map, no certificate */
	struct login_asked *asked; /* login_asked.c; NULL: nothing was */
	char *system_user; /* peer: its name; NULL: not found yet, or none */
	uid_t system_uid;
	struct delegated *delegated; /* by its tokens, a reference; NULL: it has shown none, or nothing is taken */
	struct user_secret secret;
	/* Set by login_wait: called if the client leaves before login_conclude. */
	void (*abandon)(void *arg);
	void *abandon_arg;
	struct users *users; /* keeps secret's string alive, or: */
	char *secret_text; /* secret's string, if it is from auth_query; wiped */
	struct auth_ask ask; /* the lookup under way, of a secret or a role */
	uint64_t external_until_us; /* while somebody else is asked: the deadline; else 0 */
	uint8_t md5_salt[4];
	uint16_t setting_count;
	uint8_t minor; /* the minor version of protocol 3 */
	uint64_t tls_begun_us;
	uint64_t worker_until_us; /* how long it waits for the worker of its pool to answer; 0: it was not sent there */
	struct admission_hold *hold; /* CL_DELAYED: the answer to a wrong proof */
	uint8_t found; /* enum login_user; USER_KNOWN: secret is the user's */
	uint8_t sasl_due; /* enum sasl_due */
	bool has_ssl_asked; /* an SSLRequest came; set by ssl_request(), never cleared */
	bool has_gss_asked; /* a GSSENCRequest came; set by take_packet(), never cleared */
	uint8_t recount; /* enum login_recounting */
	bool is_proxy_due; /* a PROXY header comes first; set by login.c, cleared by login_proxy.c */
	/* The server that was asked about its settings was lost. Set by login_server_lost(), never cleared. */
	bool is_asked_again;
	bool has_error; /* PostgreSQL has refused a setting, for error; set and cleared by login_welcome.c */
	struct fail error; /* PostgreSQL's error about the settings */
};

/* login_wait.c */
void login_free(struct client_login *l); /* NULL is fine */
/* The login waits for a thread or a query: the client is not read until login_conclude. Exactly one of that and
 * abandon is called. */
void login_wait(struct client *c, void (*abandon)(void *arg), void *arg);
void login_left(void *client); /* an abandon that sets a struct client * to NULL */
bool login_is_waiting(const struct client *c);
/* The wait is over: calls verdict, if there is one, then handles the bytes that were read already. Call it last: c may
 * be closed afterwards. */
void login_conclude(struct client *c, void (*verdict)(struct client *c, void *arg), void *arg);

/* login_transfer.c: the client goes to the worker of its pool, and login_arrived() is called there. */
void login_transfer(struct client *c, struct client_env *to);
/* login_proof.c */
void login_go_to_worker(struct client *c,
			void *unused); /* it is admitted: it enters its pool, or is transferred to its worker */
void login_arrived(struct client *c, void *unused);
/* login_recount.c: a client is to be refused at a limit on clients, for this reason. Returns true if others have gone
 * by then whose ends the main worker has yet to hear of: the login waits for that, and then the limit is asked again.
 */
bool login_recount(struct client *c, enum reject_reason reason);

/* login_refuse.c */
void login_flush(struct client *c); /* sends l->out */
/* Writes a line to the log, unless there are too many of them. reason is for the log alone; NULL: none. */
void login_note_refusal(struct client *c, const struct fail *why, const char *reason);
/* Counts and logs a failed login, sends the client the error and closes it. */
void login_refuse(struct client *c, const struct fail *why, enum login_result result);
void login_out_of_memory(struct client *c); /* the same with 53200 */
/* The same where the client is told something else than the log; told NULL: nothing. */
void login_refuse_as(struct client *c, const struct fail *told, const struct fail *logged, enum login_result result);
/* The same for refusals at a limit, after login_recount(): a storm of them is logged in a line a second. */
void login_reject(struct client *c, const struct fail *why, enum reject_reason reason);
/* The same for a wrong proof (a password, a certificate): the error is sent late, see login_failure_delay. */
void login_refuse_late(struct client *c, const struct fail *why, enum login_result result);

/* login_welcome.c */
void login_welcome(struct client *c); /* call it once authenticated, with x.pool set */
void login_log(struct client *c);
/* Sends ParameterStatus, BackendKeyData and ReadyForQuery in one write. Takes gucs. */
void login_finish(struct client *c, struct gucs *gucs, const struct gucs *welcome);

/* login_replication.c */
const char *replication_database(const struct client *c);
void replication_welcome(struct client *c);
void replication_tick(struct client *c, uint64_t now_us); /* about every 100 ms, while it has no server */
