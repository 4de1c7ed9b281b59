/*
 * src/admin/show_config.c - SHOW CONFIG and CONFIG_ERRORS.
 *
 * Tools look for PgBouncer's settings by its names, in its units (seconds, 0 and 1): those come first. Our own follow
 * as section.name, with our units.
 */
#include "admin/show.h"

#include "base/clock.h"
#include "base/resources.h"
#include "bouncer/bouncer_state.h"
#include "config/config_keys.h"
#include "config/config_value.h"

#include <stdio.h>
#include <string.h>

#define TEXT_ROOM ((size_t)1 << 20) /* the configuration as text ends the process without memory (base/alloc.h) */

struct config_line {
	ROW_FIELDS((TEXT, key)(TEXT, value)(TEXT, default_value)(TEXT, changeable))
};

static const struct column config_columns[] = {
	{ "key", COLUMN_TEXT }, { "value", COLUMN_TEXT }, { "default", COLUMN_TEXT }, { "changeable", COLUMN_TEXT }
};

/* Writes the value of a setting as PgBouncer would. */
static void
put_theirs(struct buf *to, const struct bouncer_key *theirs, const struct config *config)
{
	const struct config_key *key = bouncer_key_ours(theirs);
	const void *field = (const char *)config + key->offset;
	struct buf text = { 0 };

	if (key->type == KEY_TIME)
		buf_printf(to, "%.15g",
			   (double)*(const uint64_t *)field /
			       (double)(theirs->type == BOUNCER_MS ? US_PER_MS : US_PER_S));
	else if (theirs->type == BOUNCER_SWITCH)
		buf_printf(to, "%d", *(const bool *)field ? 1 : 0);
	else if (theirs->type == BOUNCER_WORD) {
		const char *ours, *word;

		key_put(key, key_base_of(key, config), &text);
		/* Writes what stands for ours where a word of PgBouncer's is asked for. */
		ours = word = value_put_end(&text);
		for (size_t i = 0; theirs->words[i][0] != NULL; i++)
			if (strcmp(theirs->words[i][1], ours) == 0)
				word = theirs->words[i][0];
		buf_printf(to, "%s", word);
	} else
		key_put(key, key_base_of(key, config), to);
	buf_fini(&text);
}

static void
add_line(struct rows *rows, const struct bouncer_key *theirs, const char *value, const char *default_value)
{
	const struct config_key *ours = bouncer_key_ours(theirs);
	bool is_secret = ours != NULL && ours->type == KEY_SECRET && *value != '\0';

	rows_add(rows, &(struct config_line){ theirs->name, is_secret ? "***" : value, default_value,
					      bouncer_key_is_changeable(theirs) ? "yes" : "no" });
}

/* PgBouncer has one port and a list of addresses. */
static void
add_listen(struct rows *rows, const struct config *config)
{
	struct buf hosts = { 0 };
	char port[8] = "0";

	for (size_t i = 0; i < config->listen_count; i++) {
		const struct config_listen *at = &config->listens[i];

		if (at->is_unix)
			continue;
		buf_printf(&hosts, "%s%s", hosts.len > 0 ? "," : "", at->host);
		if (strcmp(port, "0") == 0)
			snprintf(port, sizeof(port), "%u", at->port);
	}
	add_line(rows, bouncer_key_find("listen_addr"), value_put_end(&hosts), "");
	add_line(rows, bouncer_key_find("listen_port"), port, "6432");
	buf_fini(&hosts);
}

static void
add_own(const struct config_row *row, void *arg)
{
	struct rows *rows = arg;
	char key[CONFIG_NAME_MAX + 128], changeable[256];

	snprintf(key, sizeof(key), "%s.%s", row->section, row->key);
	snprintf(changeable, sizeof(changeable), "%s%s%.200s", row->is_reloadable ? "yes" : "no",
		 row->pending != NULL ? "; pending restart: " : "", row->pending != NULL ? row->pending : "");
	rows_add(rows, &(struct config_line){ key, row->value, row->default_value, changeable });
}

SHOW(show_config, config_columns, OF_DOOR)
{
	const struct config *config = env->clients->x.config;
	const struct bouncer_key *theirs;

	rows->out->is_broken |= !memory_has_room(TEXT_ROOM);
	if (!buf_ok(rows->out))
		return;
	for (size_t i = 0; (theirs = bouncer_key(i)) != NULL; i++) {
		const char *written = config_bouncer_value(config, bouncer_key_row(theirs));
		const struct config_key *ours = bouncer_key_ours(theirs);
		bool is_read_back = theirs->fate <= BOUNCER_OWN && (written == NULL || !ours->is_reloadable);
		struct buf value = { 0 }, fallback = { 0 };

		/* A file of PgBouncer's has them all, as written; but one that waits for a restart is what it was. */
		if (is_read_back)
			put_theirs(&value, theirs, config);
		if (is_read_back && written == NULL) {
			struct config scratch;
			struct fail why;

			/* The default of ours, in a file of pgweir's. */
			memset(&scratch, 0, sizeof(scratch));
			if (key_store(ours, key_base(ours, &scratch), ours->default_value, "", &why) == 0)
				put_theirs(&fallback, theirs, &scratch);
			key_free(ours, key_base(ours, &scratch));
		}
		if (written != NULL)
			add_line(rows, theirs, is_read_back ? value_put_end(&value) : written,
				 theirs->default_value != NULL ? theirs->default_value : "");
		else if (is_read_back)
			add_line(rows, theirs, value_put_end(&value), value_put_end(&fallback));
		buf_fini(&value);
		buf_fini(&fallback);
	}
	if (config_bouncer_value(config, 0) == NULL) {
		add_listen(rows, config);
		add_line(rows, bouncer_key_find("stats_period"), "60", "60"); /* the averages of SHOW STATS */
	}
	config_each(config, add_own, rows);
}

static const struct column problems_columns[] = { { "problem", COLUMN_TEXT } };

SHOW(show_config_errors, problems_columns, OF_DOOR)
{
	const char *problem;

	for (size_t i = 0; (problem = env->host->config_error(env->host->w, i)) != NULL; i++)
		rows_add(rows, &(struct show_text){ problem });
}
