/*
 * src/client/client_compat_log.c - log lines about a client in PgBouncer's words, because programs that read logs look
 * for these lines.
 *
 *   C-0x5581…: app/web@10.0.0.7:51514 login attempt: db=app user=web tls=no replication=no
 *   C-0x5581…: app/web@10.0.0.7:51514 closing because: client close request (age=12s)
 *   C-0x5581…: app/web@10.0.0.7:51514 pooler error: query_wait_timeout
 */
#include "client/client.h"
#include "base/clock.h"
#include "net/tls.h"

#include <stdarg.h>
#include <stdio.h>

static uint16_t
port_of(const struct config *config)
{
	for (size_t i = 0; i < config->listen_count; i++)
		if (!config_listen_is_unix(&config->listens[i]))
			return config->listens[i].port;
	return 0;
}

static void
get_names(const struct client *c, const char **database, const char **user)
{
	*database = *user = NULL;
	if (c->x.state == CL_CONSOLE || c->x.pool != NULL) {
		*database = c->x.state == CL_CONSOLE ? "pgbouncer" : c->x.pool->database->name;
		*user = exchange_user(&c->x);
	} else if (client_state_is_login((enum client_state)c->x.state))
		c->env->login_ops->names(c, database, user);
	if (*database == NULL)
		*database = "(nodb)";
	if (*user == NULL)
		*user = "(nouser)";
}

__attribute__((format(printf, 3, 4))) static void
log_line(const struct client *c, enum log_level level, const char *fmt, ...)
{
	const char *database, *user;
	char peer[80], text[FAIL_TEXT_MAX + 256];
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);
	va_list ap;

	get_names(c, &database, &user);
	if (c->is_unix) {
		getsockopt(c->x.stream.fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
		snprintf(peer, sizeof(peer), "unix(%ld):%u", (long)who.pid, port_of(c->x.env->config));
	} else
		client_peer_text(&c->x, peer, sizeof(peer));
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event(c->env->x.log, level, NULL, "C-%p: %s/%s@%s %s", (const void *)c, database, user, peer, text);
}

void
compat_log_attempt(const struct client *c, const char *database, const char *user, const char *replication)
{
	const struct tls_session *tls = stream_tls(&c->x.stream);

	if (!log_has_pgbouncer_format(c->env->x.log) || !c->env->x.config->log_connections)
		return;
	if (tls == NULL)
		log_line(c, LOG_LEVEL_INFO, "login attempt: db=%s user=%s tls=no replication=%s", database, user,
			 replication);
	else
		log_line(c, LOG_LEVEL_INFO, "login attempt: db=%s user=%s tls=%s/%s replication=%s", database, user,
			 tls_version_name(tls), tls_cipher_name(tls), replication);
}

void
compat_log_close(const struct client *c, const struct fail *why)
{
	uint64_t age_us = *c->env->x.now_us - c->connected_us;
	struct fail shown;

	if (why != NULL)
		fail_in_pgbouncer_words(why, &shown);
	log_line(c, LOG_LEVEL_INFO, "closing because: %s (age=%llus)",
		 why != NULL ? shown.text : "client close request", age_us / US_PER_S);
	if (why != NULL)
		log_line(c, LOG_LEVEL_WARNING, "pooler error: %s", shown.text);
}
