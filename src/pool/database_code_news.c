/*
 * src/pool/database_code_news.c - what one loop sees of the code of a database counts on all: see database_code.h.
 *
 * Each loop has its own struct database_code of each name of a database, and asks its own servers. DDL that is seen on
 * one makes the others' answers invalid at once, before its client is told that it is done; so does a suspicion. A
 * server in doubt makes the database unsure on all loops, by whatever name, until it has told. As that costs for as
 * long as it lasts, it does not concern databases of the same name on other servers: those whose server was started at
 * another time, which comes with the answer. All of that is rare, and done under one lock; whoever reads what it writes
 * does so without.
 *
 * Loops have clocks of their own, which are not the same to a microsecond: what another loop has seen counts for all
 * that is under way.
 */
#include "pool/database_code.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON_US 250u
#define SHARE 8u /* of the mean that a new value is */
#define STARTED_SEVERAL UINT64_MAX

struct code_news {
	pthread_mutex_t lock;
	LIST_HEAD(, database_code) all;
};

struct code_news *
code_news_new(void)
{
	struct code_news *news = xcalloc(1, sizeof(*news));

	pthread_mutex_init(&news->lock, NULL);
	LIST_INIT(&news->all);
	return news;
}

void
code_news_free(struct code_news *news)
{
	if (news == NULL)
		return;
	pthread_mutex_destroy(&news->lock);
	free(news);
}

void
database_code_hold(const struct database_code *code)
{
	if (code->news != NULL)
		pthread_mutex_lock(&code->news->lock);
}

void
database_code_let_go(const struct database_code *code)
{
	if (code->news != NULL)
		pthread_mutex_unlock(&code->news->lock);
}

/* --- held --- */

static struct database_code *
next_twin(const struct database_code *code)
{
	return code->twin != NULL ? code->twin : (struct database_code *)(uintptr_t)code;
}

static bool
is_known_where(const struct database_code *code)
{
	return code->started_us != 0 && code->started_us != STARTED_SEVERAL;
}

/* Hosts can be spelled in many ways. */
static bool
may_be_one(const struct database_code *a, const struct database_code *b)
{
	return a->place == b->place || a->started_us == b->started_us || !is_known_where(a) || !is_known_where(b);
}

static bool
is_doubted_elsewhere(const struct database_code *code)
{
	for (const struct database_code *t = next_twin(code); t != code; t = next_twin(t))
		if (!LIST_EMPTY(&t->doubts) && may_be_one(code, t))
			return true;
	return false;
}

void
database_code_note_unsure(struct database_code *code)
{
	struct database_code *t = code;

	do {
		bool is_unsure = t->suspected != CODE_SAME || !LIST_EMPTY(&t->doubts) || is_doubted_elsewhere(t);

		t->look_again_us = is_unsure ? UINT64_MAX : t->replaced_us;
	} while ((t = next_twin(t)) != code);
}

static void
change(struct database_code *code, bool is_made)
{
	code->changed++;
	code->believed_until_us = code->harmless_until_us = 0;
	if (is_made)
		code->made = code->changed;
}

/* The numbers of one server may have risen by what another one has written, which is in doubt still. */
static void
suspect(struct database_code *code, enum code_change changed, uint64_t began_us)
{
	const struct code_doubt *d;

	LIST_FOREACH(d, &code->doubts, link)
		began_us = clock_lesser_us(began_us, d->began_us);
	if (is_doubted_elsewhere(code))
		began_us = 1;
	if (began_us <= code->marked_us)
		changed = CODE_DIFFERS;
	if (changed > code->suspected)
		code->suspected = changed;
	if (changed > code->suspected_since_asked)
		code->suspected_since_asked = changed;
	database_code_note_unsure(code);
}

/* --- databases come and go --- */

void
database_code_join(struct database_code *code, struct code_news *news)
{
	code->news = news;
	code->twin = code;
	database_code_hold(code);
	LIST_INSERT_HEAD(&news->all, code, in_news);
	database_code_let_go(code);
}

/* Held. */
static void
leave_twins(struct database_code *code)
{
	struct database_code *before = code;

	while (before->twin != code)
		before = before->twin;
	before->twin = code->twin;
	code->twin = code;
	database_code_note_unsure(before);
}

void
database_code_leave(struct database_code *code)
{
	if (code->news == NULL)
		return;
	database_code_hold(code);
	LIST_REMOVE(code, in_news);
	leave_twins(code);
	database_code_let_go(code);
	code->news = NULL;
}

/* Held. */
static void
join_twins(struct database_code *code)
{
	struct database_code *other;

	LIST_FOREACH(other, &code->news->all, in_news)
		if (other != code && strcmp(other->database, code->database) == 0) {
			code->twin = other->twin;
			other->twin = code;
			break;
		}
	database_code_note_unsure(code);
}

void
database_code_be_called(struct database_code *code, const char *database, unsigned host)
{
	char cut[CODE_DATABASE_MAX];

	snprintf(cut, sizeof(cut), "%s", database);
	database_code_hold(code);
	if (code->place != host || strcmp(code->database, cut) != 0) {
		memcpy(code->database, cut, sizeof(cut));
		code->place = host;
		code->started_us = host == 0 ? STARTED_SEVERAL : 0;
		if (code->news != NULL) {
			leave_twins(code);
			join_twins(code);
		}
	}
	database_code_let_go(code);
}

/* Held. A server that was restarted is another one for those who have not asked it since. */
static void
forget_elsewhere(struct database_code *code)
{
	for (struct database_code *t = next_twin(code); t != code; t = next_twin(t))
		if (t->started_us != STARTED_SEVERAL)
			t->started_us = 0;
}

/* A restart makes it later; what is earlier is another server's. */
void
database_code_be_on(struct database_code *code, uint64_t started_us)
{
	database_code_hold(code);
	if (is_known_where(code) && code->started_us != started_us)
		forget_elsewhere(code);
	code->started_us = started_us < code->started_us ? STARTED_SEVERAL : started_us;
	database_code_note_unsure(code);
	database_code_let_go(code);
}

/* --- what is seen --- */

void
database_code_changed(struct database_code *code, bool is_made)
{
	database_code_hold(code);
	change(code, is_made);
	database_code_let_go(code);
}

void
database_code_suspect(struct database_code *code, enum code_change changed, uint64_t began_us)
{
	database_code_hold(code);
	suspect(code, changed, began_us);
	database_code_let_go(code);
}

void
code_news_changed(struct code_news *news, const char *database, bool is_made)
{
	struct database_code *code;

	pthread_mutex_lock(&news->lock);
	LIST_FOREACH(code, &news->all, in_news)
		if (database == NULL || strcmp(code->database, database) == 0)
			change(code, is_made);
	pthread_mutex_unlock(&news->lock);
}

void
code_news_suspect(struct code_news *news, const char *database, const struct database_code *but)
{
	struct database_code *code;

	pthread_mutex_lock(&news->lock);
	LIST_FOREACH(code, &news->all, in_news)
		if (code != but && strcmp(code->database, database) == 0)
			suspect(code, CODE_DIFFERS, 0);
	pthread_mutex_unlock(&news->lock);
}

/* --- doubts --- */

static void
add_to_mean(uint64_t *mean_us, uint64_t us)
{
	*mean_us += us / SHARE;
	*mean_us -= *mean_us / SHARE;
}

void
database_code_washed(struct database_code *code, uint64_t took_us)
{
	add_to_mean(&code->wash_us, took_us);
}

/* A wash keeps PostgreSQL busy, too, so it is worth waiting for longer than one takes. */
static uint64_t
soon_us(const struct database_code *code)
{
	return 2 * (code->wash_us < SOON_US ? SOON_US : code->wash_us);
}

void
database_code_doubt(struct database_code *code, struct code_doubt *d, enum code_doubt_state state, uint64_t began_us,
		    uint64_t now_us)
{
	bool is_open = d->state != DOUBT_NONE;

	if (d->state < state)
		d->state = state;
	if (is_open)
		return;
	d->began_us = began_us;
	d->opened_us = state == DOUBT_SENT ? now_us : began_us;
	database_code_hold(code);
	LIST_INSERT_HEAD(&code->doubts, d, link);
	database_code_note_unsure(code);
	database_code_let_go(code);
}

void
database_code_dispel(struct database_code *code, struct code_doubt *d, uint64_t now_us)
{
	uint64_t took_us = clock_lesser_us(now_us - d->opened_us, 2 * soon_us(code));

	if (d->state == DOUBT_NONE)
		return;
	add_to_mean(&code->doubt_us, took_us);
	d->state = DOUBT_NONE;
	database_code_hold(code);
	LIST_REMOVE(d, link);
	database_code_note_unsure(code);
	database_code_let_go(code);
}

/* Returns true for a doubt about another server that began before that SQL had ended. */
static bool
concerns(const struct code_doubt *d, const struct code_doubt *own, uint64_t ended_us)
{
	return d != own && d->opened_us <= ended_us;
}

enum code_change
database_code_unsure(const struct database_code *code, const struct code_doubt *own, uint64_t ended_us)
{
	enum code_change unsure;
	const struct code_doubt *d;

	if (code->look_again_us != UINT64_MAX)
		return CODE_SAME;
	database_code_hold(code);
	unsure = code->suspected;
	if (is_doubted_elsewhere(code))
		unsure = CODE_DIFFERS;
	LIST_FOREACH(d, &code->doubts, link)
		if (concerns(d, own, ended_us))
			unsure = CODE_DIFFERS;
	database_code_let_go(code);
	return unsure;
}

uint64_t
database_code_sure_us(const struct database_code *code, const struct code_doubt *own, uint64_t ended_us)
{
	uint64_t last_us = 0;
	const struct code_doubt *d;

	if (code->doubt_us > soon_us(code))
		return 0;
	database_code_hold(code);
	LIST_FOREACH(d, &code->doubts, link)
		if (concerns(d, own, ended_us) && d->opened_us > last_us)
			last_us = d->opened_us;
	if (code->suspected != CODE_SAME || is_doubted_elsewhere(code))
		last_us = 0;
	database_code_let_go(code);
	return last_us == 0 ? 0 : last_us + 2 * code->doubt_us;
}
