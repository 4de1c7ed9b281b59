/* src/admin/show_answers.c - what drivers and health checks SELECT on their own: one row of one column each. */
#include "admin/show.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* An answer that is always the same. */
#define ANSWER(of, type, title, value)                                                                                 \
	static const struct column of##_columns[] = { { title, COLUMN_##type } };                                      \
	static void fill_##of(const struct show_env *env, struct rows *rows)                                           \
	{                                                                                                              \
		(void)env;                                                                                             \
		rows_add(rows, &(ROW_##type const){ (value) });                                                        \
	}                                                                                                              \
	const struct show answer_##of = { SHOW_COLUMNS(of##_columns), fill_##of, true }

ANSWER(one, INT4, "?column?", 1);
ANSWER(schema, TEXT, "current_schema", "public");
ANSWER(database, TEXT, "current_database", "pgweir");
ANSWER(recovery, BOOL, "pg_is_in_recovery", 0);
ANSWER(unlock, TEXT, "pg_advisory_unlock_all", "");

static const struct column version_columns[] = { { "version", COLUMN_TEXT } };

/* Drivers look for the first number behind "PostgreSQL"; it is that of server_version at login. */
static void
fill_version(const struct show_env *env, struct rows *rows)
{
	char text[128];

	snprintf(text, sizeof(text), "PostgreSQL 15.0 (the console of pgweir %s)", env->host->version);
	rows_add(rows, &(struct show_text){ text });
}

const struct show answer_version = { SHOW_COLUMNS(version_columns), fill_version, OF_DOOR };

/* psycopg2, for SQLAlchemy, asks pg_type whether there is an hstore: there is not. */
static const struct column types_columns[] = { { "oid", COLUMN_INT4 }, { "typarray", COLUMN_INT4 } };

const struct show answer_types = { SHOW_COLUMNS(types_columns), NULL, OF_DOOR };

/* psql, for TAB behind SHOW, asks for the names of settings: here these are what can be shown. */
static const struct column completion_columns[] = { { "lower", COLUMN_TEXT } };

static void
fill_completion(const struct show_env *env, struct rows *rows)
{
	const struct command_row *row;
	char name[64];

	(void)env;
	for (size_t i = 0; (row = command_row(i)) != NULL; i++) {
		if (row->id >= COMMAND_SHOW_SETTING || strncmp(row->phrase, "SHOW ", 5) != 0 ||
		    !copy_string(name, sizeof(name), row->phrase + 5))
			continue;
		for (char *p = name; *p != '\0'; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p += 'a' - 'A';
		rows_add(rows, &(struct show_text){ name });
	}
}

const struct show answer_completion = { SHOW_COLUMNS(completion_columns), fill_completion, OF_DOOR };
