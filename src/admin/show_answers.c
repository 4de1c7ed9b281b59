/*
 * src/admin/show_answers.c - answers to SELECTs that drivers and health checks send on their own.
 */
#include "admin/show.h"
#include "base/text.h"

#include <stdio.h>

/* An answer that is always the same. */
#define ANSWER(of, type, title, value)                                                                                 \
	static const struct column of##_columns[] = { { title, COLUMN_##type } };                                      \
	SHOW(answer_##of, of##_columns, OF_MAIN_WORKER)                                                                \
	{                                                                                                              \
		rows_add(rows, &(ROW_##type const){ (value) });                                                        \
	}

ANSWER(one, INT4, "?column?", 1)
ANSWER(schema, TEXT, "current_schema", "public")
ANSWER(database, TEXT, "current_database", "pgweir")
ANSWER(recovery, BOOL, "pg_is_in_recovery", 0)
ANSWER(unlock, TEXT, "pg_advisory_unlock_all", "")

static const struct column version_columns[] = { { "version", COLUMN_TEXT } };

/* Drivers read the first number after "PostgreSQL". It must be the same as in server_version at login. */
SHOW(answer_version, version_columns, OF_MAIN_WORKER)
{
	char text[128];

	snprintf(text, sizeof(text), "PostgreSQL 15.0 (the console of pgweir %s)", env->host->version);
	rows_add(rows, &(struct show_text){ text });
}

/* SQLAlchemy with psycopg2 looks up the type hstore in pg_type. The console has no such type. */
static const struct column types_columns[] = { { "oid", COLUMN_INT4 }, { "typarray", COLUMN_INT4 } };

const struct show answer_types = { SHOW_COLUMNS(types_columns), NULL, OF_MAIN_WORKER };

/* psql's TAB after SHOW asks for the names of settings. The console answers with the words that may follow SHOW. */
static const struct column completion_columns[] = { { "lower", COLUMN_TEXT } };

SHOW(answer_completion, completion_columns, OF_MAIN_WORKER)
{
	const struct command_row *row;
	char name[64];

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
