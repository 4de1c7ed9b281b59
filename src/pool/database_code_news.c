/*
 * src/pool/database_code_news.c - DDL that one loop sees counts on all: see database_code.h.
 *
 * Each loop has its own struct database_code of each name of a database, and asks its own servers. DDL that is seen on
 * one makes the others' answers invalid at once, before its client is told that it is done. That is rare, and done
 * under one lock; whoever reads what it writes does so without.
 */
#include "pool/database_code.h"

#include "base/alloc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Held. */
static void
change(struct database_code *code, bool is_made)
{
	code->changed++;
	code->believed_until_us = code->harmless_until_us = 0;
	if (is_made)
		code->made = code->changed;
}

void
database_code_join(struct database_code *code, struct code_news *news)
{
	code->news = news;
	database_code_hold(code);
	LIST_INSERT_HEAD(&news->all, code, in_news);
	database_code_let_go(code);
}

void
database_code_leave(struct database_code *code)
{
	if (code->news == NULL)
		return;
	database_code_hold(code);
	LIST_REMOVE(code, in_news);
	database_code_let_go(code);
	code->news = NULL;
}

void
database_code_be_called(struct database_code *code, const char *database)
{
	database_code_hold(code);
	snprintf(code->database, sizeof(code->database), "%s", database);
	database_code_let_go(code);
}

void
database_code_changed(struct database_code *code, bool is_made)
{
	database_code_hold(code);
	change(code, is_made);
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
