/*
 * src/login/login_state.h - what the parts of a login share; nobody else sees it.
 *
 *   login.c              begins and ends; its bytes, and what goes on elsewhere for it
 *   login_startup.c      STARTUP: the first packets
 *   login_tls.c          TLS, before all else
 *   login_tenant.c       what its user and database are called here; tenant.h: which tenant it means, pure
 *   login_steps.c        AUTHENTICATION: the order of its steps; at the end the console, or which pool
 *   login_rule.c         which proof is asked for
 *   login_secret.c       what is known of the user: users_file, or auth_query
 *   login_certificate.c  what its certificate must say
 *   login_md5.c, login_scram.c, login_password.c, login_peer.c  the exchanges
 *   login_welcome.c      WELCOME: what the client's startup settings amount to, and its first ReadyForQuery
 *   login_replication.c  the same for replication clients
 *   login_refuse.c       a login that fails
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
	struct buf out; /* collected, so that what goes at once leaves at once */
	struct buf settings; /* of the startup packet: a name, a value ...; nothing is made of them before the proof */
	struct image *raw; /* the same, once it has proved who it is */
	struct image *valid; /* those of them that PostgreSQL knows; NULL: all, as far as is known */
	char *user, *database; /* a tenant's: "user.tenant", "tenant/database" */
	char *sent_user; /* as the client itself wrote it */
	enum startup_replication replication;
	struct server *opening; /* for it alone, its login under way (login_replication.c) */
	struct scram_server *scram; /* NULL: not begun */
	struct verifier_ticket verifier; /* while its own is derived */
	struct scram_keys keys;
	enum login_method method; /* for the measures */
	enum auth_method demand; /* what the rule asks for; never AUTH_HBA */
	struct hba *hba; /* holds rule's texts; NULL unless method = hba */
	struct ident *ident; /* the maps that belong to it */
	struct hba_answer rule; /* of the HBA file; zero: no map, no certificate */
	struct user_secret secret;
	/* What goes on elsewhere for it (login_wait): called if the client leaves before login_go_on. */
	void (*abandon)(void *arg);
	void *abandon_arg;
	struct users *users; /* holds secret's text, or: */
	char *secret_text; /* its own, from auth_query; wiped */
	struct auth_ask ask; /* while it is looked up */
	uint8_t md5_salt[4];
	uint16_t setting_count;
	uint8_t minor; /* of protocol 3 */
	uint64_t tls_begun_us;
	struct admission_hold *hold; /* CL_DELAYED: the answer to a wrong proof */
	bool is_known, is_sasl_begun, is_first_due, has_ssl_asked, has_gss_asked, is_direct_tls;
	bool has_error;
	struct fail error; /* what PostgreSQL said of the settings */
};

/* login/login.c */
void login_free(struct client_login *l); /* NULL is fine */
/*
 * Something goes on elsewhere (a thread, a query): the client is not read until login_go_on, which handles what it had
 * sent already. Exactly one of login_go_on and abandon follows.
 */
void login_wait(struct client *c, void (*abandon)(void *arg), void *arg);
bool login_is_waiting(const struct client *c);
void login_go_on(struct client *c); /* last: c may be closed after it */
/* The same for what ends the login: verdict is called first, then what the client had sent already is handled. */
void login_conclude(struct client *c, void (*verdict)(struct client *c, void *arg), void *arg);

/* login_refuse.c */
void login_flush(struct client *c); /* sends what was collected */
void login_refuse(struct client *c, const struct fail *why, enum login_result result); /* counts, logs, tells, closes */
/* The same for want of room: a storm of them is logged in a line a second. */
void login_reject(struct client *c, const struct fail *why, enum reject_reason reason);
/* The same for a proof that was wrong (a password, a certificate): it is told late, see login_failure_delay. */
void login_refuse_late(struct client *c, const struct fail *why, enum login_result result);
/* It gets no answer: what it sent is no startup packet of anything. */
void login_refuse_in_silence(struct client *c, const struct fail *why);

/* login_startup.c */
size_t login_startup(struct client *c, const uint8_t *bytes,
		     size_t len); /* one packet: bytes used; 0: more are needed */
int login_read_settings(struct client *c); /* it has proved who it is: l->raw. -1: no memory */

/* login_tls.c */
bool login_has_tls(const struct client *c); /* it may have TLS if it wants */
void login_tls_begin(struct client *c, const uint8_t *first, size_t first_len); /* first: of direct TLS */
bool login_tls_suffices(const struct client *c, struct fail *why); /* as the configuration demands */

/* login_tenant.c: user, database and sent_user. -1 and why: they can't be. */
int login_take_names(struct client *c, const struct startup *s, struct fail *why);
bool login_is_tenant_setting(const struct client *c,
			     const char *name); /* it names the tenant, PostgreSQL never sees it */

/* login_steps.c */
bool login_is_console_name(const char *database); /* it is the console's: no pool can have it */
bool login_is_console(const struct client_login *l); /* it asks for the console, not for a database */
void login_authenticate(struct client *c); /* the startup packet is known */
size_t login_password(struct client *c, const uint8_t *bytes, size_t len); /* bytes used; 0: more are needed */
void login_secret_found(struct client *c); /* l->secret and l->is_known are set: the exchange begins */
void login_authenticated(struct client *c); /* it is who it says it is */
void login_wrong_password(struct client *c);

/* login_rule.c: sets l->demand. -1 and why: it is not admitted. */
int login_rule(struct client *c, struct fail *why);

/* login_certificate.c: demands what the rule and the configuration demand of its certificate. -1 and why: refused. */
int login_certificate(struct client *c, struct fail *why);

/* login_secret.c: login_secret_found is called from within, or later (login_wait). */
void login_find_secret(struct client *c);
void login_secret_proved(struct client *c); /* c->entry is set: its servers may use what was proved */
void login_secret_doubted(struct client *c); /* a proof failed */

/* login_md5.c, login_scram.c: the first message is put into l->out, or later. -1 and why: it can't be begun. */
int login_md5_begin(struct client *c, struct fail *why);
void login_md5_check(struct client *c, const uint8_t *body, size_t len);
int login_scram_begin(struct client *c, struct fail *why);
void login_scram_check(struct client *c, const uint8_t *body, size_t len);

/* login_password.c: in clear text */
int login_cleartext_begin(struct client *c, struct fail *why);
void login_cleartext_check(struct client *c, const uint8_t *body, size_t len);

/* login_peer.c: ends in login_authenticated or a refusal, later (login_wait). -1 and why: it can't be begun. */
int login_peer_begin(struct client *c, struct fail *why);

/* login_welcome.c */
void login_welcome(struct client *c); /* authenticated, c->entry is set */
void login_log(struct client *c);
/* Everything is known: ParameterStatus, BackendKeyData, ReadyForQuery, in one write. image: taken. */
void login_finish(struct client *c, struct image *image, const struct image *welcome);

/* login_replication.c */
const char *replication_database(const struct client *c); /* which of ours it means */
void replication_welcome(struct client *c);

#endif
