/* src/admin/show_answers.c - what drivers and health checks SELECT on their own: one row of one column each. */
#include "admin/show.h"

#include <stdio.h>

struct answer {
	const char *text;
	uint64_t number;
};

static const struct column one_columns[] = { COLUMN_NAMED(INT4, struct answer, "?column?", number) };
static const struct column version_columns[] = { COLUMN_NAMED(TEXT, struct answer, "version", text) };
static const struct column schema_columns[] = { COLUMN_NAMED(TEXT, struct answer, "current_schema", text) };
static const struct column database_columns[] = { COLUMN_NAMED(TEXT, struct answer, "current_database", text) };
static const struct column recovery_columns[] = { COLUMN_NAMED(BOOL, struct answer, "pg_is_in_recovery", number) };
static const struct column unlock_columns[] = { COLUMN_NAMED(TEXT, struct answer, "pg_advisory_unlock_all", text) };

/* psycopg2, for SQLAlchemy, asks pg_type whether there is an hstore: there is not. */
static const struct column types_columns[] = {
	COLUMN_NAMED(INT4, struct answer, "oid", number),
	COLUMN_NAMED(INT4, struct answer, "typarray", number),
};

static void
fill_one(const struct show_env *env, struct rows *rows)
{
	(void)env;
	rows_add(rows, &(struct answer){ .number = 1 });
}

/* Drivers look for the first number behind "PostgreSQL"; it is that of server_version at login. */
static void
fill_version(const struct show_env *env, struct rows *rows)
{
	char text[128];

	snprintf(text, sizeof(text), "PostgreSQL 15.0 (the console of pgweir %s)", env->host->version);
	rows_add(rows, &(struct answer){ .text = text });
}

static void
fill_schema(const struct show_env *env, struct rows *rows)
{
	(void)env;
	rows_add(rows, &(struct answer){ .text = "public" });
}

static void
fill_database(const struct show_env *env, struct rows *rows)
{
	(void)env;
	rows_add(rows, &(struct answer){ .text = "pgweir" });
}

static void
fill_recovery(const struct show_env *env, struct rows *rows)
{
	(void)env;
	rows_add(rows, &(struct answer){ .number = 0 });
}

static void
fill_unlock(const struct show_env *env, struct rows *rows)
{
	(void)env;
	rows_add(rows, &(struct answer){ .text = "" });
}

const struct show answer_one = { SHOW_COLUMNS(one_columns), 0, fill_one };
const struct show answer_version = { SHOW_COLUMNS(version_columns), 0, fill_version };
const struct show answer_schema = { SHOW_COLUMNS(schema_columns), 0, fill_schema };
const struct show answer_database = { SHOW_COLUMNS(database_columns), 0, fill_database };
const struct show answer_recovery = { SHOW_COLUMNS(recovery_columns), 0, fill_recovery };
const struct show answer_unlock = { SHOW_COLUMNS(unlock_columns), 0, fill_unlock };
const struct show answer_types = { SHOW_COLUMNS(types_columns), 0, NULL };
