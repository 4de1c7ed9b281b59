/* src/client/client_log.c - a client's lines in the log: who it is, and why it was disconnected. */
#include "client/client.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

void
client_about(const struct client *c, struct client_about *about)
{
	client_peer_text(&c->x, about->peer, sizeof(about->peer));
	about->log = (struct log_about){ .client_id = c->x.waiter.id,
					 .client = about->peer,
					 .user = exchange_user(&c->x),
					 .application = exchange_application(&c->x),
					 .database = c->x.pool != NULL ? c->x.pool->database->name : NULL };
}

static void
put_client_name(const char *word, const char *name, char *out, size_t cap)
{
	size_t len = strlen(out);

	if (name != NULL && name[0] != '\0')
		snprintf(out + len, cap - len, ", %s \"%.128s\"", word, name);
}

void
client_words(const struct client_about *about, char *out, size_t cap)
{
	const struct log_about *log = &about->log;

	snprintf(out, cap, "client %llu (%s", (unsigned long long)log->client_id, about->peer);
	put_client_name("user", log->user, out, cap);
	put_client_name("database", log->database, out, cap);
	put_client_name("application", log->application, out, cap);
	if (strlen(out) + 1 < cap)
		memcpy(out + strlen(out), ")", 2);
}

void
client_log_end(const struct client *c, const struct fail *why, const char *lost)
{
	struct client_about about;
	char words[CLIENT_WORDS_MAX];
	struct duration lasted;
	/* A stop, a kill and the like are somebody's wish; all else may want to be looked at. */
	enum log_level level = c->env->x.is_end_untold				    ? LOG_LEVEL_DEBUG
			       : why != NULL && strcmp(why->sqlstate, "57P01") == 0 ? LOG_LEVEL_INFO
										    : LOG_LEVEL_WARNING;

	client_about(c, &about);
	client_words(&about, words, sizeof(words));
	about.log.event = why != NULL || lost != NULL ? "client_disconnect" : "client_closed";
	about.log.duration_us = *c->env->x.now_us - c->connected_us;
	about.log.why = why;
	lasted = duration_of(about.log.duration_us);
	if (why == NULL && lost == NULL)
		log_event(c->env->x.log, LOG_LEVEL_INFO, &about.log, "%s closed", words);
	else if (why == NULL)
		log_event(c->env->x.log, LOG_LEVEL_INFO, &about.log, "%s closed the connection after %s while %s",
			  words, lasted.text, lost);
	else
		log_event(c->env->x.log, level, &about.log, "%s disconnected after %s: %s: %s%s%s", words, lasted.text,
			  why->sqlstate, why->text, lost != NULL ? "; " : "", lost != NULL ? lost : "");
}
