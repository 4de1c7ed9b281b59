/*
 * src/admin/show_code.c - SHOW DATABASE_CODE: the names by which SQL can run the database's own code that may touch
 * session state, and the reason for which pgweir lists each name. SHOW DATABASE_CODE FOR 'SELECT ...': the names among
 * these that this SQL contains (seal/risk_names.h).
 */
#include "admin/show.h"
#include "seal/risk_names.h"

#include <stdlib.h>
#include <string.h>

SHOW_ROW(code, (TEXT, database) (TEXT, name) (TEXT, kind) (TEXT, state) (TEXT, in_writes) (TEXT, because)
	(INT8, age_ms));

struct code_fill {
	struct rows *rows;
	struct code_row row; /* the fields that are the same in all rows of a database */
	const char *sql; /* NULL if all names are shown */
};

static void
add_name(const char *name, enum risk_name_kind kind, struct risk risk, const char *reason, void *arg)
{
	static const char *const kinds[RISK_KINDS] = { "function", "relation or type", "operator", "keyword",
						       "declared" };
	struct code_fill *fill = arg;
	struct code_row row = fill->row;
	char state[SEAL_STATE_TEXT_MAX], in_writes[SEAL_STATE_TEXT_MAX];
	unsigned parts = risk.always;

	if (fill->sql != NULL) {
		struct risk_names *one = risk_names_new();

		/* Without memory, shows all parts of the state that the name may touch. */
		parts = risk.always | risk.in_writes;
		if (one != NULL && risk_names_add(one, kind, name, risk, "") == 0)
			parts = risk_of_sql(one, fill->sql, strlen(fill->sql)) & ~(unsigned)RISK_EFFECTS;
		risk_names_free(one);
	}
	if (fill->sql != NULL && parts == 0)
		return;
	row.name = strcmp(name, RISK_BEYOND_ASCII) == 0 ? "(any that is not ASCII)" : name;
	row.kind = kinds[kind];
	row.state = seal_state_text(parts, state);
	row.in_writes = seal_state_text(risk.in_writes, in_writes);
	row.because = reason;
	rows_add(fill->rows, &row);
}

SHOW(show_database_code, code_columns, OF_ALL)
{
	struct database_sum *sums = show_database_sums(env, rows);

	for (const struct database_sum *sum = sums; sum != NULL && sum->name != NULL; sum++) {
		const struct pool_database *d = sum->code_source;
		const struct code_answer *answer = d->code == NULL ? NULL : d->code->answer;
		struct code_fill fill = { rows,
					  { d->name, "", "", "unknown", "none", "", 0 },
					  env->command->has_for ? env->command->text : NULL };
		bool is_opaque;
		char parts[SEAL_STATE_TEXT_MAX];
		struct code_row row;
		const char *sql, *why;
		unsigned found;

		if (answer == NULL) {
			rows_add(rows, &fill.row);
			continue;
		}
		fill.row.age_ms = show_age_us(env->now_us, d->code->answer_asked_us) / 1000;
		/* The last row is about SQL as a whole: any SQL of the database, or the SQL in FOR. Before it, each
		 * name has a row, unless the SQL in FOR is opaque. */
		row = fill.row;
		found = fill.sql == NULL ? risk_of_opaque_sql(answer->risks) | RISK_OPAQUE
					 : risk_of_sql(answer->risks, fill.sql, strlen(fill.sql));
		is_opaque = (found & RISK_OPAQUE) != 0; /* the SQL's words do not show all code that it may run */
		if (fill.sql == NULL || !is_opaque)
			risk_names_each(answer->risks, add_name, &fill);
		row.kind = is_opaque ? "opaque SQL" : "this SQL";
		found &= is_opaque ? ~(unsigned)RISK_EFFECTS : ~0u;
		row.state = seal_state_text(found, parts);
		sql = fill.sql == NULL ? "" : fill.sql;
		why = (found & STATE_BACKEND) == 0 ? NULL
						   : risk_names_blame(answer->risks, STATE_BACKEND, sql, strlen(sql));
		row.because = why == NULL ? "" : why;
		rows_add(fill.rows, &row);
	}
	free(sums);
}
