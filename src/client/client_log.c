/* src/client/client_log.c - log lines about a client: its name and address, and the reason why it was disconnected. */
#include "client/client.h"
#include "base/clock.h"
#include "exchange/holder.h"
#include "exchange/report.h"
#include "telemetry/fingerprint.h"

#include <stdio.h>
#include <string.h>

static void
put_client_name(const char *word, const char *name, char *out, size_t cap)
{
	size_t len = strlen(out);

	if (name != NULL && name[0] != '\0')
		snprintf(out + len, cap - len, ", %s \"%.128s\"", word, name);
}

void
client_write_words(const struct log_about *about, char *out, size_t cap)
{
	snprintf(out, cap, "client %llu (%s", (unsigned long long)about->client_id, about->client);
	put_client_name("user", about->user, out, cap);
	put_client_name("database", about->database, out, cap);
	put_client_name("application", about->application, out, cap);
	if (strlen(out) + 1 < cap)
		memcpy(out + strlen(out), ")", 2);
}

void
client_describe(const struct client *c, struct client_about *about)
{
	client_peer_text(&c->x, about->peer, sizeof(about->peer));
	about->log = (struct log_about){ .client_id = c->x.waiter.id,
					 .client = about->peer,
					 .user = exchange_user(&c->x),
					 .application = exchange_application(&c->x),
					 .database = c->x.pool != NULL ? c->x.pool->database->name : NULL };
	client_write_words(&about->log, about->words, sizeof(about->words));
}

void
client_describe_use(const struct exchange *x, const struct server *srv, enum server_use use,
		    char out[CLIENT_USE_TEXT_MAX])
{
	const struct loan *loan = &srv->loan;
	size_t len = (size_t)snprintf(out, CLIENT_USE_TEXT_MAX, "%s", holder_word(use, x->is_session));

	if (loan->text_len == 0 || x->env->config->slow_text == SLOW_TEXT_NONE)
		return;
	len += (size_t)snprintf(out + len, CLIENT_USE_TEXT_MAX - len, ": ");
	fingerprint_normalize((const char *)loan->text, loan->text_len, report_sql_options(x), out + len,
			      CLIENT_USE_TEXT_MAX - len);
}

void
client_log_lost(struct client_env *env)
{
	const struct log_about about = { .event = "clients_lost", .why = &env->lost_why };

	if (env->lost_count > 0)
		log_event(env->x.log, LOG_LEVEL_WARNING, &about, "%s: %s; %s disconnected with such a server: %s",
			  env->lost_why.sqlstate, env->lost_why.text,
			  base_format_count(env->lost_count, "client was", "clients were").text, env->lost_names);
	env->lost_count = 0;
	env->lost_names[0] = '\0';
}

static void
note_lost(struct client_env *env, const struct fail *why, const char *words, const char *does)
{
	size_t len = strlen(env->lost_names);

	if (env->lost_count > 0 && (len + strlen(words) + strlen(does) + 8 > sizeof(env->lost_names) ||
				    strcmp(env->lost_why.text, why->text) != 0)) {
		client_log_lost(env);
		len = 0;
	}
	env->lost_why = *why;
	snprintf(env->lost_names + len, sizeof(env->lost_names) - len, "%s%s, %s", env->lost_count++ == 0 ? "" : "; ",
		 words, does);
}

void
client_log_end(const struct client *c, const struct fail *why, const char *lost)
{
	struct client_about about;
	char does[CLIENT_USE_TEXT_MAX];
	const struct server *srv = c->env->x.ending;
	struct duration lasted;
	/* A stop, a KILL and the like are intended by an operator; every other reason may need attention. */
	enum log_level level = why != NULL && strcmp(why->sqlstate, "57P01") == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;

	client_describe(c, &about);
	about.log.event = why != NULL || lost != NULL ? "client_disconnect" : "client_closed";
	about.log.duration_us = *c->env->x.now_us - c->connected_us;
	about.log.why = why;
	lasted = duration_format(about.log.duration_us);
	if (srv != NULL) {
		client_describe_use(&c->x, srv,
				    srv->was_owing   ? USE_RUNNING
				    : srv->tx != 'I' ? USE_IDLE
						     : USE_KEPT,
				    does);
		lost = does;
	}
	if (srv != NULL && why != NULL && srv->end_log_line == END_LOG_LINE_OF_MANY) {
		note_lost(c->env, why, about.words, does);
		return;
	}
	if (why == NULL && lost == NULL)
		log_event(c->env->x.log, LOG_LEVEL_INFO, &about.log, "%s closed", about.words);
	else if (why == NULL)
		log_event(c->env->x.log, LOG_LEVEL_INFO, &about.log, "%s closed the connection after %s while %s",
			  about.words, lasted.text, lost);
	else
		log_event(c->env->x.log, level, &about.log, "%s disconnected after %s: %s: %s%s%s", about.words,
			  lasted.text, why->sqlstate, why->text, lost != NULL ? "; " : "", lost != NULL ? lost : "");
}
