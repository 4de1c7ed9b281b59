#include "server/passwords.h"
#include "base/alloc.h"
#include "base/text.h"
#include "net/loop.h"

#include <assert.h>

#define RUNNING_MAX 16
#define FORGET_US (3600 * US_PER_S) /* an entry is dropped when no server has asked for it for this long */
#define BACKOFF_MIN_US US_PER_S
#define BACKOFF_MAX_US (30 * US_PER_S)
#define POLL_US (20 * US_PER_MS)

struct password_entry {
	struct passwords *of;
	TAILQ_ENTRY(password_entry) link;
	TAILQ_HEAD(password_asks, password_ask) waiting;
	struct password_request request; /* the texts belong to the entry */
	char *command, *host, *user, *database;
	char *password; /* NULL if there is none; wiped */
	uint64_t got_us, asked_us; /* got_us: when the password was got; asked_us: when a server last asked for it */
	struct fail why; /* why the last run failed */
	uint64_t backoff_us, not_before_us; /* 0 if the last run did not fail */
	struct password_process *process; /* NULL if none runs */
	struct timer timer;
};

struct passwords {
	struct event_base *base;
	struct log *log;
	uint64_t *now_us;
	TAILQ_HEAD(password_entries, password_entry) entries;
	unsigned running;
};

struct passwords *
passwords_new(struct event_base *base, struct log *log, uint64_t *now_us)
{
	struct passwords *p = xcalloc(1, sizeof(*p));

	p->base = base;
	p->log = log;
	p->now_us = now_us;
	TAILQ_INIT(&p->entries);
	return p;
}

static void
wipe(char **secret)
{
	secret_free(*secret);
	*secret = NULL;
}

static void
password_entry_free(struct password_entry *e)
{
	TAILQ_REMOVE(&e->of->entries, e, link);
	if (e->process != NULL) {
		assert(e->of->running > 0);
		password_process_kill(e->process);
		e->of->running--;
	}
	timer_stop(&e->timer);
	wipe(&e->password);
	secret_free(e->command);
	free(e->host);
	free(e->user);
	free(e->database);
	free(e);
}

void
passwords_free(struct passwords *p)
{
	if (p == NULL)
		return;
	while (!TAILQ_EMPTY(&p->entries))
		password_entry_free(TAILQ_FIRST(&p->entries));
	free(p);
}

/* --- answers --- */

/* Answers each password_ask that waits now, but none that is added meanwhile: an answer may make a server ask again. */
static void
answer_asks(struct password_entry *e, const struct fail *why)
{
	struct password_ask *ask;
	size_t count = 0;

	TAILQ_FOREACH(ask, &e->waiting, link)
		count++;
	for (; count > 0 && (ask = TAILQ_FIRST(&e->waiting)) != NULL; count--) {
		password_ask_cancel(ask);
		ask->done(why == NULL ? e->password : NULL, why, ask->arg);
	}
}

static void
on_failed(struct password_entry *e, const struct fail *why)
{
	const struct log_about about = { .event = "password_command_failed",
					 .user = e->user,
					 .database = e->database,
					 .server = e->host,
					 .why = why };

	e->backoff_us = e->backoff_us == 0 ? BACKOFF_MIN_US : e->backoff_us * 2;
	if (e->backoff_us > BACKOFF_MAX_US)
		e->backoff_us = BACKOFF_MAX_US;
	e->not_before_us = *e->of->now_us + e->backoff_us;
	fail_set(&e->why, strcmp(why->sqlstate, "53200") == 0 ? "53200" : "08001",
		 "password_command for user \"%.63s\" at %.64s failed: %.100s", e->user, e->host, why->text);
	fail_hint(&e->why, "%s", why->hint);
	log_event(e->of->log, LOG_LEVEL_WARNING, &about, "%s; next try in %s at the earliest", e->why.text,
		  duration_format(e->backoff_us).text);
	answer_asks(e, &e->why);
}

static void
on_password(struct password_entry *e, char *password)
{
	wipe(&e->password);
	e->password = password;
	e->got_us = *e->of->now_us;
	e->backoff_us = e->not_before_us = 0;
	answer_asks(e, NULL);
}

/* --- running --- */

static bool
is_good(const struct password_entry *e)
{
	return e->password != NULL && *e->of->now_us - e->got_us < e->request.ttl_us;
}

/* Runs the command. Does nothing if the command runs already or must wait after a failure, or if too many other
 * commands run; then passwords_tick() tries again. */
static void
run_command(struct password_entry *e)
{
	struct fail why;

	if (e->process != NULL || e->of->running >= RUNNING_MAX || *e->of->now_us < e->not_before_us)
		return;
	e->process = password_process_new(&e->request, *e->of->now_us, &why);
	if (e->process == NULL) {
		on_failed(e, &why);
		return;
	}
	e->of->running++;
	timer_start(&e->timer, POLL_US);
}

static void
on_timer(void *arg)
{
	struct password_entry *e = arg;
	char *password = NULL;
	struct fail why;
	int r;

	if (e->process == NULL) { /* passwords_get_or_ask() has started the timer, because a server has asked */
		if (*e->of->now_us < e->not_before_us)
			answer_asks(e, &e->why);
		else
			run_command(e);
		return;
	}
	r = password_process_poll(e->process, *e->of->now_us, &password, &why);
	if (r == 0) {
		timer_start(&e->timer, POLL_US);
		return;
	}
	assert(e->of->running > 0);
	e->process = NULL;
	e->of->running--;
	if (r < 0)
		on_failed(e, &why);
	else
		on_password(e, password);
}

/* --- asking --- */

static struct password_entry *
find(const struct passwords *p, const struct password_request *o)
{
	struct password_entry *e;

	TAILQ_FOREACH(e, &p->entries, link)
		if (e->request.port == o->port && strcmp(e->user, o->user) == 0 && strcmp(e->host, o->host) == 0 &&
		    strcmp(e->database, o->database) == 0 && strcmp(e->command, o->command) == 0)
			return e;
	return NULL;
}

/* Returns NULL if out of memory. */
static struct password_entry *
add(struct passwords *p, const struct password_request *o)
{
	struct password_entry *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->of = p;
	TAILQ_INIT(&e->waiting);
	TAILQ_INSERT_TAIL(&p->entries, e, link);
	e->request = *o;
	e->request.command = e->command = strdup(o->command);
	e->request.host = e->host = strdup(o->host);
	e->request.user = e->user = strdup(o->user);
	e->request.database = e->database = strdup(o->database);
	timer_init(&e->timer, p->base, p->now_us, on_timer, e);
	if (e->command != NULL && e->host != NULL && e->user != NULL && e->database != NULL)
		return e;
	password_entry_free(e);
	return NULL;
}

const char *
passwords_get_or_ask(struct passwords *p, const struct password_request *request, struct password_ask *ask)
{
	struct password_entry *e = find(p, request);

	if (e == NULL)
		e = add(p, request);
	if (e == NULL)
		return NULL;
	e->asked_us = *p->now_us;
	e->request.ttl_us = request->ttl_us;
	if (is_good(e))
		return e->password;
	ask->entry = e;
	TAILQ_INSERT_TAIL(&e->waiting, ask, link);
	if (e->process == NULL)
		timer_start(&e->timer, 0);
	return NULL;
}

void
password_ask_cancel(struct password_ask *ask)
{
	if (ask->entry != NULL)
		TAILQ_REMOVE(&ask->entry->waiting, ask, link);
	ask->entry = NULL;
}

void
passwords_note_refused(struct passwords *p, const struct password_request *request)
{
	struct password_entry *e = find(p, request);

	if (e != NULL)
		wipe(&e->password);
}

void
passwords_tick(struct passwords *p)
{
	struct password_entry *e, *next;
	uint64_t now_us = *p->now_us;

	for (e = TAILQ_FIRST(&p->entries); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (!TAILQ_EMPTY(&e->waiting) ||
		    (e->password != NULL && now_us - e->got_us >= e->request.ttl_us / 5 * 4 &&
		     e->asked_us >= e->got_us))
			run_command(e);
		else if (e->process == NULL && now_us - e->asked_us > FORGET_US)
			password_entry_free(e);
		else if (e->password != NULL && !is_good(e))
			wipe(&e->password);
	}
}
