/*
 * src/login/login_state.h - what the files of login/ share; nobody else sees it.
 *
 *   login.c              begins and ends a login, and hands out its bytes
 *   login_wait.c         waits for threads and lookups
 *   login_startup.c      STARTUP: the first packets
 *   login_proxy.c        the PROXY header of a load balancer, before all else
 *   login_tls.c          TLS, before everything else
 *   login_tenant.c       the names of its user and database within pgweir; tenant.h finds the tenant in them, pure
 *   login_steps.c        AUTHENTICATION: the order of the steps
 *   login_rule.c         decides which proof is asked for
 *   login_secret.c       finds the user's secret: users_file, or auth_query
 *   login_certificate.c  checks the client's certificate
 *   login_md5.c, login_scram.c, login_password.c, login_peer.c  the authentication exchanges
 *   login_proof.c        what follows a proof: the console or a pool, or a late refusal
 *   login_welcome.c      WELCOME: the client's startup settings, and its first ReadyForQuery
 *   login_replication.c  the same for replication clients
 *   login_refuse.c       a login that fails
 *
 * Owns:    struct client_login its buffers and texts, and a reference to each image, to hba, ident and users;
 *          login_free wipes it, as there are secrets in it.
 * Borrows: the strings of rule and secret, which hba, users or secret_text keep alive.
 * Always:  while the login waits, abandon is set, and the client is not read.
 */
#ifndef PGWEIR_LOGIN_LOGIN_STATE_H
#define PGWEIR_LOGIN_LOGIN_STATE_H

#include "auth/hba.h"
#include "auth/ident.h"
#include "auth/scram.h"
#include "auth/users.h"
#include "lookup/auth_query.h"
#include "client/cancel.h"
#include "login/login.h"
#include "lookup/verifier_cache.h"
#include "wire/startup.h"

struct client_login {
	struct buf out; /* messages to the client, sent together by login_flush() */
	struct buf settings; /* the startup packet's names and values; not interpreted before authentication */
	struct image *raw; /* the same settings as an image, once the client is authenticated */
	struct image *valid; /* those of them that PostgreSQL knows; NULL: all, as far as we know */
	char *user, *database; /* of a tenant: "user.tenant", "tenant/database" */
	char *sent_user; /* as the client wrote it */
	enum startup_replication replication;
	struct server *opening; /* a dedicated server that is logging in (login_replication.c) */
	struct scram_server *scram; /* NULL: not begun */
	struct verifier_ticket verifier; /* waits while the user's verifier is derived */
	struct scram_keys keys;
	enum login_method method; /* for the metrics */
	enum auth_method demand; /* what the rule asks for; never AUTH_HBA */
	struct hba *hba; /* keeps rule's strings alive; NULL unless method = hba */
	struct ident *ident; /* the maps that belong to hba */
	struct hba_answer rule; /* the HBA file's answer; zeroed: no map, no certificate */
	struct user_secret secret;
	/* Set by login_wait: called if the client leaves before login_go_on. */
	void (*abandon)(void *arg);
	void *abandon_arg;
	struct users *users; /* keeps secret's string alive, or: */
	char *secret_text; /* secret's string, if it is from auth_query; wiped */
	struct auth_ask ask; /* the lookup under way */
	uint8_t md5_salt[4];
	uint16_t setting_count;
	uint8_t minor; /* the minor version of protocol 3 */
	uint64_t tls_begun_us;
	struct admission_hold *hold; /* CL_DELAYED: the answer to a wrong proof */
	bool is_known, is_sasl_begun, is_first_due, has_ssl_asked, has_gss_asked, is_direct_tls;
	bool is_user; /* auth_query has found the user, with a secret (is_known) or without */
	bool is_proxy_due; /* a PROXY header comes first */
	bool is_asked_again; /* the server that was asked about its settings was lost */
	bool has_error;
	struct fail error; /* PostgreSQL's error about the settings */
};

/* login_wait.c */
void login_free(struct client_login *l); /* NULL is fine */
/*
 * The login waits for a thread or a query: the client is not read until login_go_on, which then handles the bytes that
 * were read already. Exactly one of login_go_on and abandon is called.
 */
void login_wait(struct client *c, void (*abandon)(void *arg), void *arg);
bool login_is_waiting(const struct client *c);
void login_go_on(struct client *c); /* call it last: c may be closed afterwards */
/* The same, if the wait's result ends the login: calls verdict first, then handles the bytes that were read already. */
void login_conclude(struct client *c, void (*verdict)(struct client *c, void *arg), void *arg);

/* login_refuse.c */
void login_flush(struct client *c); /* sends l->out */
/* Writes a line to the log, unless there are too many of them. reason is for the log alone; NULL: none. */
void login_note_refusal(struct client *c, const struct fail *why, const char *reason);
/* Counts and logs a failed login, sends the client the error and closes it. */
void login_refuse(struct client *c, const struct fail *why, enum login_result result);
/* The same for one that gets no server for a reason that the log was told with its hint: pool_log.c. */
void login_refuse_unserved(struct client *c, const struct fail *why);
/* The same for refusals at a limit: a storm of them is logged in a line a second. */
void login_reject(struct client *c, const struct fail *why, enum reject_reason reason);
/* The same for a wrong proof (a password, a certificate): the error is sent late, see login_failure_delay. */
void login_refuse_late(struct client *c, const struct fail *why, enum login_result result);
/* The same without an answer: what the client sent is no startup packet at all. */
void login_refuse_in_silence(struct client *c, const struct fail *why);

/* login_startup.c */
size_t login_startup(struct client *c, const uint8_t *bytes,
		     size_t len); /* one packet: bytes used; 0: more are needed */

/* login_proxy.c */
#define LOGIN_NAME_MAX 63 /* bytes of application_name, as PostgreSQL's NAMEDATALEN - 1 */
bool login_expects_proxy(const struct client *c); /* returns true if a PROXY header must come first */
/* Takes the header; returns the bytes used, 0 if more are needed. The client may be closed after it. */
size_t login_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Returns true, and has refused the client, if bytes begin like a header: none is expected. */
bool login_refuses_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Writes application_name as application_name_add_host makes it; name may be NULL. */
void login_name_with_host(const struct client *c, const char *name, char out[static LOGIN_NAME_MAX + 1]);

/* login_tls.c */
bool login_has_tls(const struct client *c); /* returns true if TLS is on offer */
void login_tls_begin(struct client *c, const uint8_t *first, size_t first_len); /* first: its bytes, with direct TLS */
/* Returns true if the connection is encrypted as far as the configuration demands, or false with *why set. */
bool login_tls_suffices(const struct client *c, struct fail *why);

/* login_tenant.c */
bool login_is_console_name(const char *database); /* a name of the console, which no database can have */
bool login_is_console(const struct client_login *l); /* the client asked for the console */
/* Sets user, database and sent_user. Returns 0, or -1 with *why set. */
int login_take_names(struct client *c, const struct startup *s, struct fail *why);
bool login_is_tenant_setting(const struct client *c,
			     const char *name); /* it names the tenant and is not sent to PostgreSQL */

/* login_steps.c */
void login_authenticate(struct client *c); /* call it when the startup packet was read */
size_t login_password(struct client *c, const uint8_t *bytes, size_t len); /* bytes used; 0: more are needed */
void login_secret_found(struct client *c); /* l->secret and l->is_known are set: the exchange begins */

/* login_proof.c */
void login_authenticated(struct client *c); /* call it when the proof was right */
void login_wrong_password(struct client *c);
/*
 * As with PgBouncer (compat = pgbouncer): the console's user "pgbouncer" over a Unix socket is whoever runs this
 * process, the kernel says so, and needs no password.
 */
bool login_is_own_user(const struct client *c);

/* login_rule.c: sets l->demand. Returns 0, or -1 with *why set if the client is refused. */
int login_rule(struct client *c, struct fail *why);

/* login_certificate.c: checks the client's certificate against the rule and the configuration. Returns 0, or -1 with
 * *why set. */
int login_certificate(struct client *c, struct fail *why);

/* login_secret.c: calls login_secret_found, at once or later (login_wait). */
void login_find_secret(struct client *c);

/* login_md5.c, login_scram.c: put the first message into l->out, now or later. Return 0, or -1 with *why set. */
int login_md5_begin(struct client *c, struct fail *why);
void login_md5_check(struct client *c, const uint8_t *body, size_t len);
int login_scram_begin(struct client *c, struct fail *why);
void login_scram_check(struct client *c, const uint8_t *body, size_t len);

/* login_password.c: a password in clear text */
int login_cleartext_begin(struct client *c, struct fail *why);
void login_cleartext_check(struct client *c, const uint8_t *body, size_t len);

/* login_peer.c: login_authenticated or a refusal follows later (login_wait). Returns 0, or -1 with *why set. */
int login_peer_begin(struct client *c, struct fail *why);

/* login_welcome.c */
void login_welcome(struct client *c); /* call it once authenticated, with x.pool set */
void login_log(struct client *c);
/* Sends ParameterStatus, BackendKeyData and ReadyForQuery in one write. Takes image. */
void login_finish(struct client *c, struct image *image, const struct image *welcome);

/* login_replication.c */
const char *replication_database(const struct client *c);
void replication_welcome(struct client *c);

#endif
