/* libpq itself: what drivers made of it can do, without their help. */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 2

struct client {
	PGconn *db;
	int number;
	char trouble[512];
};

static int
says(struct client *c, PGresult *res, const char *wanted)
{
	const char *found = PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) > 0 ? PQgetvalue(res, 0, 0)
											 : PQresultErrorMessage(res);
	int is_same = wanted == NULL ? PQresultStatus(res) == PGRES_COMMAND_OK : strcmp(found, wanted) == 0;

	if (!is_same && c->trouble[0] == '\0')
		snprintf(c->trouble, sizeof(c->trouble), "wanted %s, found %s", wanted ? wanted : "no error", found);
	PQclear(res);
	return is_same;
}

static const char *
in_words(int value, char *text)
{
	snprintf(text, 16, "%d", value);
	return text;
}

static void
one_unnamed_statement_over_many_syncs(struct client *c)
{
	char wanted[16], value[16];
	const char *values[] = { value };

	if (!says(c, PQprepare(c->db, "", "SELECT $1::int + 1", 0, NULL), NULL))
		return;
	for (int i = 0; i < 30; i++) {
		in_words(i, value);
		if (!says(c, PQexecPrepared(c->db, "", 1, values, NULL, NULL, 0), in_words(i + 1, wanted)))
			return;
	}
}

static void
two_names_one_text(struct client *c)
{
	const char *names[] = { "one", "two" };

	for (int i = 0; i < 2; i++)
		says(c, PQprepare(c->db, names[i], "SELECT 'both'::text", 0, NULL), NULL);
	for (int i = 0; i < 20; i++)
		says(c, PQexecPrepared(c->db, names[i % 2], 0, NULL, NULL, NULL, 0), "both");
	says(c, PQexec(c->db, "DEALLOCATE one"), NULL);
	for (int i = 0; i < 20; i++)
		says(c, PQexecPrepared(c->db, "two", 0, NULL, NULL, NULL, 0), "both");
}

static void
pipelines_with_an_error_each(struct client *c)
{
	static const char *const queries[] = { "SELECT 1", "SELECT 1 / 0", "SELECT 3" };
	static const ExecStatusType wanted[] = { PGRES_TUPLES_OK, PGRES_FATAL_ERROR, PGRES_PIPELINE_ABORTED,
						 PGRES_PIPELINE_SYNC };

	PQenterPipelineMode(c->db);
	for (int turn = 0; turn < 15; turn++) {
		for (int i = 0; i < 3; i++)
			PQsendQueryParams(c->db, queries[i], 0, NULL, NULL, NULL, NULL, 0);
		PQpipelineSync(c->db);
		for (int i = 0; i < 4; i++) {
			PGresult *res = PQgetResult(c->db);

			if (PQresultStatus(res) != wanted[i])
				snprintf(c->trouble, sizeof(c->trouble), "result %d of a pipeline: %s", i,
					 PQresStatus(PQresultStatus(res)));
			PQclear(res);
			if (i < 3)
				PQclear(PQgetResult(c->db));
		}
	}
	PQexitPipelineMode(c->db);
}

static void
describes_what_was_prepared(struct client *c)
{
	says(c, PQprepare(c->db, "mine", "SELECT $1::int AS n, $2::text AS t", 0, NULL), NULL);
	for (int i = 0; i < 20; i++) {
		PGresult *res = PQdescribePrepared(c->db, "mine");

		if (PQnparams(res) != 2 || PQnfields(res) != 2 || strcmp(PQfname(res, 1), "t") != 0)
			snprintf(c->trouble, sizeof(c->trouble), "described as %d, %d", PQnparams(res), PQnfields(res));
		PQclear(res);
	}
}

static void
settings_told_by_parameter_status(struct client *c)
{
	says(c, PQexec(c->db, "SET TIME ZONE 'Asia/Tokyo'"), NULL);
	says(c, PQexec(c->db, c->number == 1 ? "SET DateStyle = 'SQL, DMY'" : "SET DateStyle = 'German'"), NULL);
	for (int i = 0; i < 20; i++) {
		says(c, PQexec(c->db, "SELECT '2026-12-31'::date"), c->number == 1 ? "31/12/2026" : "31.12.2026");
		if (strcmp(PQparameterStatus(c->db, "TimeZone"), "Asia/Tokyo") != 0)
			snprintf(c->trouble, sizeof(c->trouble), "TimeZone is %s",
				 PQparameterStatus(c->db, "TimeZone"));
	}
	PQreset(c->db);
	says(c, PQexec(c->db, "SHOW timezone"), "UTC");
}

static void
cursor_held_and_portal_dropped(struct client *c)
{
	char wanted[16];

	says(c, PQexec(c->db, "DECLARE held SCROLL CURSOR WITH HOLD FOR SELECT i FROM generate_series(1, 50) i"), NULL);
	for (int i = 1; i <= 50; i++)
		says(c, PQexec(c->db, "FETCH held"), in_words(i, wanted));
	says(c, PQexec(c->db, "FETCH ABSOLUTE 7 FROM held"), "7");
	says(c, PQexec(c->db, "CLOSE held"), NULL);
}

#define ROW(name)                                                                                                      \
	{                                                                                                              \
#name, name                                                                                            \
	}
static const struct {
	const char *name;
	void (*work)(struct client *c);
} rows[] = {
	ROW(one_unnamed_statement_over_many_syncs), ROW(two_names_one_text),
	ROW(pipelines_with_an_error_each),	    ROW(describes_what_was_prepared),
	ROW(settings_told_by_parameter_status),	    ROW(cursor_held_and_portal_dropped),
};

static struct {
	struct client client;
	void (*work)(struct client *c);
} jobs[CLIENTS];

static void *
live(void *job)
{
	size_t i = (size_t)(*(int *)job);
	struct client *c = &jobs[i].client;

	c->db = PQconnectdb("");
	if (PQstatus(c->db) == CONNECTION_OK)
		jobs[i].work(c);
	else
		snprintf(c->trouble, sizeof(c->trouble), "%s", PQerrorMessage(c->db));
	PQfinish(c->db);
	return NULL;
}

static int
run(const char *name, void (*work)(struct client *c))
{
	pthread_t threads[CLIENTS];
	int numbers[CLIENTS], failed = 0;

	memset(jobs, 0, sizeof(jobs));
	for (int i = 0; i < CLIENTS; i++) {
		numbers[i] = i;
		jobs[i].client.number = i + 1;
		jobs[i].work = work;
		pthread_create(&threads[i], NULL, live, &numbers[i]);
	}
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < CLIENTS && !failed; i++)
		if (jobs[i].client.trouble[0] != '\0')
			failed = printf("not ok %s: %s\n", name, jobs[i].client.trouble);
	if (!failed)
		printf("ok %s\n", name);
	return failed != 0;
}

static bool
is_wanted(const char *name, char **wanted)
{
	bool is_any = *wanted == NULL;

	for (; *wanted != NULL && !is_any; wanted++)
		is_any = strcmp(*wanted, name) == 0;
	return is_any;
}

int
main(int argc, char **argv)
{
	int failed = 0;

	for (size_t i = 0; argc > 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (is_wanted(rows[i].name, argv + 1))
			failed |= run(rows[i].name, rows[i].work);
	return failed;
}
