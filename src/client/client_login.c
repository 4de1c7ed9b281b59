/*
 * src/client/client_login.c - from a client's first byte to its first ReadyForQuery (protocol chapter, "Start-up").
 *
 *   STARTUP         SSLRequest and GSSENCRequest are answered N (each once); then a CancelRequest or a StartupMessage
 *   AUTHENTICATION  trust, md5 or SCRAM; users that are not known get the same exchange as those that are
 *   WELCOME         what the client's startup settings amount to: mostly known from clients before it, else a server
 *                   is borrowed, has them applied, and tells
 *
 * Bounded: one packet of at most STARTUP_MAX bytes, one message of at most PASSWORD_MAX at a time, and login_timeout.
 */
#include "client/client.h"

#include "auth/md5.h"
#include "auth/scram.h"
#include "auth/users.h"
#include "base/clock.h"
#include "client/verifier_cache.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "wire/startup.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PASSWORD_MAX 65536u /* bytes of a password message's body */

struct client_login {
	struct buf out; /* collected, so that what goes at once leaves at once */
	struct image *raw; /* startup settings as sent */
	struct image *valid; /* those of them that PostgreSQL knows; NULL: all, as far as is known */
	char *user, *database;
	struct scram_server *scram;
	struct scram_keys keys;
	enum login_method method;
	struct user_secret secret;
	struct users *users; /* holds secret's text */
	uint8_t md5_salt[4];
	bool is_known, is_sasl_begun, is_first_due, has_ssl_asked, has_gss_asked;
	bool has_error;
	struct fail error; /* what PostgreSQL said of the settings */
};

void
login_free(struct client_login *l)
{
	if (l == NULL)
		return;
	buf_fini(&l->out);
	image_unref(l->raw);
	image_unref(l->valid);
	free(l->user);
	free(l->database);
	scram_server_free(l->scram);
	users_unref(l->users);
	OPENSSL_cleanse(l, sizeof(*l));
	free(l);
}

void
login_begin(struct client *c)
{
	c->state = CL_STARTUP;
	c->login = calloc(1, sizeof(*c->login));
	if (c->login != NULL && (c->login->raw = image_empty(c->env->images)) == NULL) {
		free(c->login);
		c->login = NULL;
	}
	if (c->login == NULL)
		client_close(c, NULL);
}

static void
flush(struct client *c)
{
	client_send(c, &c->login->out);
	if (!c->is_closing)
		c->login->out.len = 0;
}

static void
refuse(struct client *c, const struct fail *why, enum login_result result)
{
	struct client_login *l = c->login;
	char peer[80];

	c->env->counters->logins[result][l->method]++;
	client_peer_text(c, peer, sizeof(peer));
	log_info(c->env->log, "client %llu (%s): login as \"%s\" to \"%s\" refused: %s", (unsigned long long)c->id,
		 peer, l->user != NULL ? l->user : "", l->database != NULL ? l->database : "", why->text);
	if (l->out.len > 0)
		flush(c);
	client_close(c, why);
}

/* --- WELCOME --- */

static void
put_reports(struct buf *b, const struct image *img)
{
	for (size_t i = 0; i < image_count(img); i++)
		if (image_at(img, i)->is_reported)
			message_parameter(b, image_at(img, i)->name, image_at(img, i)->value);
}

static void
log_login(struct client *c)
{
	char peer[80];

	if (!c->env->config->log_connections)
		return;
	client_peer_text(c, peer, sizeof(peer));
	log_info(c->env->log, "client %llu (%s): user \"%s\" logged in to \"%s\"", (unsigned long long)c->id, peer,
		 client_user(c), c->state == CL_CONSOLE ? "the console" : c->entry->database->name);
}

/* Everything is known: ParameterStatus, BackendKeyData, ReadyForQuery, in one write. image: taken. */
static void
finish(struct client *c, struct image *image, const struct image *welcome)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	uint8_t key[4];

	c->image = image;
	if (cancel_register(c) < 0) {
		struct fail why;

		fail_set(&why, "53200", "out of memory");
		refuse(c, &why, LR_ERROR);
		return;
	}
	put_reports(&l->out, welcome);
	put_reports(&l->out, image);
	wire_set_u32(key, c->cancel_secret);
	message_key(&l->out, c->cancel_pid, key, sizeof(key));
	message_ready(&l->out, 'I');
	env->counters->logins[LR_OK][l->method]++;
	histogram_observe_us(&env->counters->login_duration, &histogram_bounds_wait, *env->now_us - c->connected_us);
	c->entry->counters.client_logins++;
	c->entry->database->counters.client_logins++;
	if (strcmp(l->user, c->entry->user) != 0)
		c->user = strdup(l->user);
	flush(c);
	if (c->is_closing)
		return;
	c->login = NULL;
	c->state = CL_READY;
	c->idle_since_us = *env->now_us;
	env->login_count--;
	log_login(c);
	login_free(l);
	if (c->pending_len > 0) { /* it did not wait for us to be ready */
		uint8_t *whole = c->pending;
		size_t len = c->pending_len;

		c->pending = NULL;
		c->pending_len = c->pending_cap = 0;
		relay_bytes(c, whole, len);
		free(whole);
	}
}

static bool
finish_if_known(struct client *c)
{
	struct image *image = pool_entry_find_startup(c->entry, c->login->raw);

	if (image == NULL)
		return false;
	finish(c, image_ref(image), c->entry->welcome);
	return true;
}

/* "utf-8" is UTF8 to PostgreSQL, as are all spellings that agree in letters and digits. */
static bool
is_same_encoding(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (*a != '\0' && !isalnum((unsigned char)*a))
			a++;
		while (*b != '\0' && !isalnum((unsigned char)*b))
			b++;
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (*a == '\0')
			return true;
	}
}

static bool
is_printable(const char *s)
{
	while (*s >= ' ' && *s <= '~')
		s++;
	return *s == '\0';
}

/*
 * PostgreSQL's own spelling of a reported setting, where no server needs to be asked for it: what fresh servers have
 * anyway, and application_name. NULL: only a server knows.
 */
static const char *
known_spelling(const struct client *c, const struct image_setting *s)
{
	const char *fresh = image_get(c->entry->baseline, s->name);

	if (strcmp(fresh, s->value) == 0)
		return fresh;
	if (strcasecmp(s->name, "client_encoding") == 0 && is_same_encoding(fresh, s->value))
		return fresh;
	if (strcasecmp(s->name, "application_name") == 0 && strlen(s->value) < 64 && is_printable(s->value))
		return s->value;
	return NULL;
}

/* The client's image without asking a server. *is_certain: no server could refuse any of it. NULL: can't be told. */
static struct image *
guess_image(const struct client *c, bool *is_certain)
{
	struct image *img = c->entry->baseline == NULL ? NULL : image_ref(c->entry->baseline);
	const struct image *raw = c->login->raw;

	*is_certain = true;
	for (size_t i = 0; img != NULL && i < image_count(raw); i++) {
		const struct image_setting *s = image_at(raw, i);
		bool is_reported = image_get(c->entry->baseline, s->name) != NULL;
		const char *value = is_reported ? known_spelling(c, s) : s->value;

		*is_certain = *is_certain && is_reported;
		if (value == NULL || image_update(&img, s->name, value, is_reported) < 0) {
			image_unref(img);
			return NULL;
		}
	}
	return img;
}

static void
finish_guessed(struct client *c, struct image *img, bool is_certain)
{
	if (is_certain)
		pool_entry_learn_startup(c->entry, c->login->raw, img);
	finish(c, img, c->entry->welcome);
}

/*
 * Settings nobody has had before are tried on a server. If none is free at once, and they look right, the client need
 * not wait for one: they are applied before its first query, and if PostgreSQL refuses them then, it hears of it then.
 */
static void
ask_server(struct client *c)
{
	bool is_certain;
	struct image *guess = guess_image(c, &is_certain);
	struct server *srv;

	if (guess != NULL && is_certain) {
		finish_guessed(c, guess, is_certain);
		return;
	}
	c->state = CL_WELCOME;
	relay_ticket(c);
	srv = pool_entry_borrow(c->entry, &c->ticket, c, *c->env->now_us);
	if (srv != NULL) {
		image_unref(guess);
		login_granted(c, srv);
	} else if (guess != NULL) {
		pool_cancel(c->entry->policy, &c->ticket, *c->env->now_us);
		finish_guessed(c, guess, is_certain);
	}
}

static void
give_back(struct client *c)
{
	struct server *srv = c->srv;

	c->srv = NULL;
	if (srv->is_closing) {
		srv->link = NULL;
		server_close(srv);
	} else
		pool_entry_return(srv, *c->env->now_us);
}

static const struct image *
settings_of(const struct client *c)
{
	return c->login->valid != NULL ? c->login->valid : c->login->raw;
}

/* The server's own settings with the client's over them; names it reports stay reported, under its spelling. */
static struct image *
wanted_image(const struct client *c)
{
	struct image *img = image_ref(c->entry->baseline);
	const struct image *raw = settings_of(c);

	for (size_t i = 0; i < image_count(raw); i++) {
		const struct image_setting *s = image_at(raw, i);
		bool is_reported = image_get(c->entry->baseline, s->name) != NULL;

		if (image_update(&img, s->name, s->value, is_reported) < 0) {
			image_unref(img);
			return NULL;
		}
	}
	return img;
}

static int
apply_settings(struct client *c, struct server *srv, const struct image *wanted)
{
	struct buf b = { 0 };
	size_t triples = image_put_changes(&b, srv->image, wanted, settings_of(c));
	int r = buf_ok(&b) ? 0 : -1;

	for (size_t i = 0; i < triples && r == 0; i++)
		if (ledger_push(&srv->ledger, OWED_PARSE, OWED_TO_IMAGE, NULL) < 0 ||
		    ledger_push(&srv->ledger, OWED_BIND, OWED_TO_IMAGE, NULL) < 0 ||
		    ledger_push(&srv->ledger, OWED_EXECUTE, OWED_TO_IMAGE, NULL) < 0)
			r = -1;
	if (r == 0 && triples > 0)
		r = ledger_push_request(&srv->ledger, OWED_SYNC, OWED_TO_IMAGE,
					&(struct owed_request){ .started_us = *c->env->now_us });
	if (r == 0 && triples > 0) {
		srv->unnamed_of = 0;
		server_write(srv, b.bytes, b.len);
	}
	buf_fini(&b);
	return r;
}

static void
try_settings(struct client *c, struct server *srv)
{
	struct image *wanted = wanted_image(c);
	int r = wanted == NULL ? -1 : apply_settings(c, srv, wanted);
	struct fail why;

	image_unref(wanted);
	if (r < 0) {
		srv->is_closing = true;
		fail_set(&why, "53200", "out of memory");
		refuse(c, &why, LR_ERROR);
	} else if (srv->ledger.count == 0)
		login_server_done(c);
}

void
login_granted(struct client *c, struct server *srv)
{
	c->srv = srv;
	if (pool_entry_find_startup(c->entry, c->login->raw) != NULL) {
		give_back(c); /* another client has found it out meanwhile */
		finish_if_known(c);
	} else
		try_settings(c, srv);
}

/*
 * A setting that PostgreSQL does not know is no reason to refuse: the client is told by a notice, and the rest is tried
 * without it. Which one it was stands in the message between quotes.
 */
static bool
leave_out_unknown(struct client *c)
{
	struct client_login *l = c->login;
	const struct image *settings = settings_of(c);
	const char *name = NULL;
	struct image *rest;

	if (strcmp(l->error.sqlstate, "42704") != 0)
		return false;
	for (size_t i = 0; i < image_count(settings) && name == NULL; i++) {
		char quoted[160];

		snprintf(quoted, sizeof(quoted), "\"%s\"", image_at(settings, i)->name);
		if (strstr(l->error.text, quoted) != NULL)
			name = image_at(settings, i)->name;
	}
	if (name == NULL || (rest = image_with(settings, name, NULL, false)) == NULL)
		return false;
	fail_detail(&l->error, "It was in the startup packet or its \"options\", and was left out.");
	message_notice(&l->out, "WARNING", &l->error);
	image_unref(l->valid);
	l->valid = rest;
	l->has_error = false;
	return true;
}

void
login_server_error(struct client *c, const struct error_fields *e)
{
	struct client_login *l = c->login;

	if (l->has_error)
		return;
	l->has_error = true;
	fail_set(&l->error, e->sqlstate != NULL ? e->sqlstate : "22023", "%s",
		 e->message != NULL ? e->message : "a startup parameter was refused");
	fail_detail(&l->error, "PostgreSQL refused a parameter of the startup packet or of its \"options\".");
}

/* Which settings the server has now: reported ones it told; the others are as we asked. */
static struct image *
resolved_image(const struct client *c, const struct server *srv)
{
	struct image *img = image_ref(srv->image);
	const struct image *raw = settings_of(c);

	for (size_t i = 0; i < image_count(raw); i++) {
		const struct image_setting *s = image_at(raw, i);

		if (image_get(c->entry->baseline, s->name) == NULL &&
		    image_update(&img, s->name, s->value, false) < 0) {
			image_unref(img);
			return NULL;
		}
	}
	/* What an earlier borrower had set and this one did not was RESET. */
	for (size_t i = image_count(img); i-- > 0;) {
		const struct image_setting *s = image_at(img, i);
		char name[256];

		if (s->is_reported || image_get(raw, s->name) != NULL || strlen(s->name) >= sizeof(name))
			continue;
		strcpy(name, s->name);
		if (image_update(&img, name, NULL, false) < 0)
			break;
	}
	return img;
}

void
login_server_done(struct client *c)
{
	struct client_login *l = c->login;
	struct server *srv = c->srv;
	struct image *img;

	if (l->has_error && leave_out_unknown(c)) {
		try_settings(c, srv);
		return;
	}
	if (l->has_error) {
		give_back(c);
		refuse(c, &l->error, LR_ERROR);
		return;
	}
	img = resolved_image(c, srv);
	if (img == NULL || pool_entry_learn_startup(c->entry, l->raw, img) < 0) {
		struct fail why;

		image_unref(img);
		srv->is_closing = true;
		fail_set(&why, "53200", "out of memory");
		refuse(c, &why, LR_ERROR);
		return;
	}
	image_unref(srv->image);
	srv->image = image_ref(img);
	give_back(c);
	finish(c, img, c->entry->welcome);
}

void
login_server_lost(struct client *c, const struct fail *why)
{
	if (c->login->has_error) {
		refuse(c, &c->login->error, LR_ERROR);
		return;
	}
	refuse(c, why, LR_ERROR);
}

void
login_refused(struct client *c, const struct fail *why)
{
	refuse(c, why, LR_ERROR);
}

/* --- after the right password --- */

static bool
is_console(const struct client_login *l)
{
	return strcmp(l->database, "pgweir") == 0 || strcmp(l->database, "pgbouncer") == 0;
}

static void
enter_console(struct client *c)
{
	struct client_login *l = c->login;
	static const char *const reports[][2] = { { "server_version", "15.0 (pgweir)" },
						  { "server_encoding", "UTF8" },
						  { "client_encoding", "UTF8" },
						  { "DateStyle", "ISO, MDY" },
						  { "TimeZone", "UTC" },
						  { "standard_conforming_strings", "on" },
						  { "integer_datetimes", "on" },
						  { "is_superuser", "on" } };
	bool is_admin = config_is_admin(c->env->config, l->user);
	struct fail why;

	if (!is_admin && !config_is_stats(c->env->config, l->user)) {
		fail_set(&why, "42501", "user \"%.63s\" may not use the pgweir console", l->user);
		fail_hint(&why, "Add it to admin_users or stats_users in section [auth] of pgweir.ini.");
		refuse(c, &why, LR_ERROR);
		return;
	}
	message_authentication(&l->out, 0, NULL, 0);
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++)
		message_parameter(&l->out, reports[i][0], reports[i][1]);
	message_parameter(&l->out, "session_authorization", l->user);
	message_key(&l->out, 0, (const uint8_t *)"\0\0\0\0", 4);
	message_ready(&l->out, 'I');
	c->env->counters->logins[LR_OK][l->method]++;
	c->user = strdup(l->user);
	flush(c);
	if (c->is_closing)
		return;
	c->console = NULL;
	c->is_stats_only = !is_admin;
	c->state = CL_CONSOLE;
	c->env->login_count--;
	log_login(c);
	login_free(l);
}

/* Console users are let in above the limit: that is when they are needed. */
static bool
is_over_limit(struct client *c)
{
	struct client_env *env = c->env;
	uint32_t limit = env->config->max_client_connections;
	struct fail why;

	if (limit == 0 || env->client_count < limit)
		return false;
	env->counters->rejected[RJ_MAX_CLIENT_CONNECTIONS]++;
	fail_set(&why, "53300", "too many clients: %u of %u (max_client_connections)", env->client_count, limit);
	fail_hint(&why, "Raise max_client_connections, or look for clients that never leave with SHOW CLIENTS.");
	refuse(c, &why, LR_ERROR);
	return true;
}

static void
authenticated(struct client *c)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	struct fail why;

	if (is_console(l)) {
		enter_console(c);
		return;
	}
	if (is_over_limit(c))
		return;
	c->entry = pool_set_find(env->pools, l->database, l->user, *env->now_us, &why);
	if (c->entry == NULL) {
		refuse(c, &why, strcmp(why.sqlstate, "3D000") == 0 ? LR_NO_SUCH_DATABASE : LR_ERROR);
		return;
	}
	c->entry->clients++;
	c->entry->database->clients++;
	env->client_count++;
	c->is_counted = true;
	if (l->keys.is_set)
		pool_entry_learn_keys(c->entry, l->user, &l->keys);
	message_authentication(&l->out, 0, NULL, 0);
	c->state = CL_WELCOME;
	if (!finish_if_known(c))
		ask_server(c);
}

/* --- AUTHENTICATION --- */

static void
wrong_password(struct client *c)
{
	struct fail why;

	fail_set(&why, "28P01", "password authentication failed for user \"%.63s\"", c->login->user);
	refuse(c, &why, c->login->is_known ? LR_BAD_PASSWORD : LR_NO_SUCH_USER);
}

static int
begin_scram(struct client *c, struct fail *why)
{
	struct client_login *l = c->login;
	struct scram_verifier v;
	int r;

	l->method = LM_SCRAM;
	if (l->secret.kind == SECRET_SCRAM)
		r = scram_verifier_parse(l->secret.text, &v, why);
	else if (l->secret.kind == SECRET_PLAIN)
		r = verifier_cache_get(c->env->verifiers, l->user, l->secret.text, &v, why);
	else {
		l->is_known = false; /* nobody, or an MD5 secret that SCRAM can't use */
		r = scram_verifier_mock(l->user, c->env->mock_secret, &v, why);
	}
	if (r == 0 && (l->scram = scram_server_new(&v, !l->is_known)) == NULL)
		r = fail_set(why, "53200", "out of memory");
	OPENSSL_cleanse(&v, sizeof(v));
	if (r == 0)
		message_authentication(&l->out, 10, "SCRAM-SHA-256\0", 15);
	return r;
}

static int
begin_md5(struct client *c, struct fail *why)
{
	struct client_login *l = c->login;

	l->method = LM_MD5;
	if (RAND_bytes(l->md5_salt, sizeof(l->md5_salt)) != 1)
		return fail_set(why, "53200", "no randomness for a login");
	message_authentication(&l->out, 5, l->md5_salt, sizeof(l->md5_salt));
	return 0;
}

static bool
is_loopback(const struct client *c)
{
	if (c->is_unix)
		return true;
	if (c->peer.any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&c->peer.in6.sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&c->peer.in6.sin6_addr) && c->peer.in6.sin6_addr.s6_addr[12] == 127);
	return (ntohl(c->peer.in.sin_addr.s_addr) >> 24) == 127;
}

static void
begin_authentication(struct client *c)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	struct fail why;
	int r;

	l->method = LM_NONE;
	if (env->is_draining) {
		env->counters->rejected[RJ_SHUTDOWN]++;
		fail_set(&why, "57P01", "pgweir is shutting down");
		refuse(c, &why, LR_ERROR);
		return;
	}
	l->users = env->users == NULL ? NULL : users_ref(env->users);
	l->is_known = users_find(l->users, l->user, &l->secret) && l->secret.kind != SECRET_NONE;
	if (!l->is_known)
		memset(&l->secret, 0, sizeof(l->secret));
	if (env->config->auth_method == AUTH_TRUST) {
		l->method = LM_TRUST;
		if (is_loopback(c)) {
			authenticated(c);
			return;
		}
		fail_set(&why, "28000", "trust is for loopback and Unix sockets only");
		refuse(c, &why, LR_ERROR);
		return;
	}
	if (env->config->auth_method == AUTH_MD5 && l->secret.kind != SECRET_SCRAM)
		r = begin_md5(c, &why);
	else
		r = begin_scram(c, &why);
	if (r < 0) {
		refuse(c, &why, LR_ERROR);
		return;
	}
	c->state = CL_AUTHENTICATION;
	flush(c);
}

static void
check_md5(struct client *c, const uint8_t *body, size_t len)
{
	struct client_login *l = c->login;
	char secret[MD5_SECRET_LEN + 1], want[MD5_SECRET_LEN + 1];
	const char *known = l->secret.text;
	struct fail why;
	bool is_right;

	if (l->secret.kind == SECRET_PLAIN || !l->is_known) {
		if (md5_secret(l->is_known ? l->secret.text : "", l->user, secret, &why) < 0) {
			refuse(c, &why, LR_ERROR);
			return;
		}
		known = secret;
	}
	if (md5_answer(known, l->md5_salt, want, &why) < 0) {
		refuse(c, &why, LR_ERROR);
		return;
	}
	is_right = l->is_known && len == sizeof(want) && CRYPTO_memcmp(body, want, sizeof(want)) == 0;
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(want, sizeof(want));
	if (is_right)
		authenticated(c);
	else
		wrong_password(c);
}

static int
sasl_initial(struct client *c, const uint8_t *body, size_t len, char *out, struct fail *why)
{
	const uint8_t *end = memchr(body, 0, len);
	size_t left;
	uint32_t said;

	if (end == NULL || strcmp((const char *)body, "SCRAM-SHA-256") != 0)
		return fail_set(why, "08P01", "client selected an invalid SASL authentication mechanism");
	left = len - (size_t)(end + 1 - body);
	if (left < 4)
		return fail_set(why, "08P01", "malformed SASLInitialResponse");
	said = wire_u32(end + 1);
	if (said == 0xffffffff && left == 4) { /* no initial data: it follows upon an empty challenge */
		out[0] = '\0';
		c->login->is_first_due = true;
		return 0;
	}
	if (said != left - 4)
		return fail_set(why, "08P01", "malformed SASLInitialResponse");
	return scram_server_first(c->login->scram, (const char *)end + 5, said, out, why);
}

static void
check_scram(struct client *c, const uint8_t *body, size_t len)
{
	struct client_login *l = c->login;
	char out[SCRAM_TEXT_MAX];
	struct fail why;

	if (!l->is_sasl_begun || l->is_first_due) {
		bool is_first = l->is_first_due;

		l->is_first_due = false;
		if ((is_first ? scram_server_first(l->scram, (const char *)body, len, out, &why)
			      : sasl_initial(c, body, len, out, &why)) < 0) {
			refuse(c, &why, LR_ERROR);
			return;
		}
		l->is_sasl_begun = true;
		message_authentication(&l->out, 11, out, strlen(out));
		flush(c);
		return;
	}
	if (scram_server_final(l->scram, (const char *)body, len, out, &l->keys, &why) < 0) {
		if (strcmp(why.sqlstate, "28P01") == 0)
			wrong_password(c);
		else
			refuse(c, &why, LR_ERROR);
		return;
	}
	message_authentication(&l->out, 12, out, strlen(out));
	authenticated(c);
}

/* One password message. Bytes used; 0: more are needed. */
static size_t
password_message(struct client *c, const uint8_t *bytes, size_t len)
{
	struct frame f;
	enum frame_result r = frame_parse(bytes, len, &f);
	struct fail why;

	if (r == FRAME_PARTIAL && (len == 0 || bytes[0] == 'p'))
		return 0;
	if (r != FRAME_OK || f.type != 'p' || f.body_len > PASSWORD_MAX) {
		fail_set(&why, "08P01", "expected a password response, got message type 0x%02x", bytes[0]);
		refuse(c, &why, LR_ERROR);
		return len;
	}
	if (len < FRAME_HEAD_LEN + (size_t)f.body_len)
		return 0;
	if (c->login->method == LM_MD5)
		check_md5(c, bytes + FRAME_HEAD_LEN, f.body_len);
	else
		check_scram(c, bytes + FRAME_HEAD_LEN, f.body_len);
	return FRAME_HEAD_LEN + (size_t)f.body_len;
}

/* --- STARTUP --- */

/* Settings that only exist at the start of a PostgreSQL process: they cannot follow a client, and change no result. */
static bool
is_start_only(const char *name)
{
	static const char *const names[] = { "ignore_system_indexes", "jit_debugging_support", "jit_profiling_support",
					     "log_connections",	      "log_disconnections",    "post_auth_delay" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static int
take_settings(struct client *c, const struct startup *s, struct fail *why)
{
	struct client_login *l = c->login;

	for (size_t i = 0; i < s->setting_count; i++) {
		if (is_start_only(s->settings[i].name))
			continue;
		if (strlen(s->settings[i].name) >= 128)
			return fail_set(why, "42704", "unrecognized configuration parameter \"%.63s...\"",
					s->settings[i].name);
		if (image_update(&l->raw, s->settings[i].name, s->settings[i].value, false) < 0)
			return fail_set(why, "53200", "out of memory");
	}
	l->user = strdup(s->user);
	l->database = strdup(s->database);
	if (l->user == NULL || l->database == NULL)
		return fail_set(why, "53200", "out of memory");
	if (s->replication != REPLICATION_NONE) {
		fail_set(why, "0A000", "replication connections are not available in this version of pgweir");
		return fail_hint(why, "Connect to PostgreSQL directly for replication.");
	}
	return 0;
}

static void
startup_message(struct client *c, const struct startup *s)
{
	struct fail why;

	if (take_settings(c, s, &why) < 0) {
		refuse(c, &why, LR_ERROR);
		return;
	}
	if (startup_needs_negotiate(s))
		startup_put_negotiate(&c->login->out, s);
	begin_authentication(c);
}

/* Refused: no TLS, no GSSAPI encryption in this version. Each may be asked once. */
static void
answer_no(struct client *c, bool *has_asked)
{
	struct fail why;

	if (*has_asked) {
		fail_set(&why, "08P01", "a second encryption request");
		refuse(c, &why, LR_ERROR);
		return;
	}
	*has_asked = true;
	buf_put_u8(&c->login->out, 'N');
	flush(c);
}

/* One startup packet. Bytes used; 0: more are needed. */
static size_t
startup_packet(struct client *c, const uint8_t *bytes, size_t len)
{
	struct startup s;
	struct fail why;
	size_t used;

	if (startup_parse(bytes, len, &s, &why) < 0) {
		c->login->method = LM_NONE;
		refuse(c, &why, LR_ERROR);
		return len;
	}
	used = s.total_len;
	switch (s.kind) {
	case STARTUP_PARTIAL:
		used = 0;
		break;
	case STARTUP_SSL:
		answer_no(c, &c->login->has_ssl_asked);
		break;
	case STARTUP_GSSENC:
		answer_no(c, &c->login->has_gss_asked);
		break;
	case STARTUP_CANCEL:
		login_free(c->login);
		c->login = NULL;
		cancel_begin(c, s.cancel_pid, s.cancel_key, s.cancel_key_len);
		break;
	case STARTUP_LOGIN:
		startup_message(c, &s);
		break;
	}
	startup_fini(&s);
	return used;
}

void
login_bytes(struct client *c, const uint8_t *bytes, size_t len)
{
	size_t at = 0, used = 1;

	while (at < len && used > 0 && !c->is_closing && c->state < CL_WELCOME) {
		used = c->state == CL_STARTUP ? startup_packet(c, bytes + at, len - at)
					      : password_message(c, bytes + at, len - at);
		at += used;
	}
	if (c->is_closing || at >= len)
		return;
	/* While we wait for a server, what it sends ahead is kept, within the bounds of anybody who waits. */
	if (c->state == CL_READY || c->state == CL_CONSOLE)
		relay_bytes(c, bytes + at, len - at);
	else if (c->state != CL_CANCEL && client_keep(c, bytes + at, len - at) < 0)
		client_close(c, NULL);
}
