/*
 * src/admin/show_config.c - SHOW CONFIG and CONFIG_ERRORS.
 *
 * PgBouncer's settings come first, with its names and its way of writing values (times in seconds, switches as 0 and
 * 1), because tools look for them. pgweir's own settings follow as section.name, with pgweir's units.
 */
#include "admin/show.h"
#include "base/resources.h"
#include "config/config.h"
#include "load/file_format.h"

#include <stdio.h>

/* this much memory must be free before settings are formatted, because formatting without memory ends the process */
#define TEXT_ROOM ((size_t)1 << 20)

struct config_line {
	ROW_FIELDS((TEXT, key)(TEXT, value)(TEXT, default_value)(TEXT, changeable))
};

static const struct column config_columns[] = {
	{ "key", COLUMN_TEXT }, { "value", COLUMN_TEXT }, { "default", COLUMN_TEXT }, { "changeable", COLUMN_TEXT }
};

static void
add_foreign_setting(void *arg, const char *name, const char *value, const char *fallback, bool is_changeable)
{
	rows_add(arg, &(struct config_line){ name, value, fallback, is_changeable ? "yes" : "no" });
}

static void
add_own_setting(const struct config_row *row, void *arg)
{
	struct rows *rows = arg;
	char key[CONFIG_NAME_MAX + 128], changeable[256];

	snprintf(key, sizeof(key), "%s.%s", row->section, row->key);
	snprintf(changeable, sizeof(changeable), "%s%s%.200s", row->is_reloadable ? "yes" : "no",
		 row->pending != NULL ? "; pending restart: " : "", row->pending != NULL ? row->pending : "");
	rows_add(rows, &(struct config_line){ key, row->value, row->default_value, changeable });
}

SHOW(show_config, config_columns, OF_MAIN_WORKER)
{
	const struct config *config = env->clients->x.config;

	rows->out->is_broken |= !memory_has_room(TEXT_ROOM);
	if (!buf_ok(rows->out))
		return;
	for (size_t i = 0; file_formats[i] != NULL; i++)
		file_formats[i]->each(config, add_foreign_setting, rows);
	config_each(config, add_own_setting, rows);
}

static const struct column problems_columns[] = { { "problem", COLUMN_TEXT } };

SHOW(show_config_errors, problems_columns, OF_MAIN_WORKER)
{
	const char *problem;

	for (size_t i = 0; (problem = env->host->config_error(env->host->w, i)) != NULL; i++)
		rows_add(rows, &(struct show_text){ problem });
}
