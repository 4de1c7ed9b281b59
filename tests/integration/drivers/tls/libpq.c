/* What test_tls_drivers.py asks of each driver: see there. */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
must(int is_so, const char *step, const char *why)
{
	if (!is_so) {
		printf("not ok %s: %s\n", step, why);
		exit(1);
	}
}

static void *
cancel_soon(void *arg)
{
	PGcancel *cancel = PQgetCancel(arg);
	char why[256] = "";

	usleep(300000);
	must(PQcancel(cancel, why, sizeof(why)), "cancel", why);
	PQfreeCancel(cancel);
	return NULL;
}

int
main(void)
{
	PGconn *db = PQconnectdb("");
	PGresult *res;
	pthread_t canceller;

	if (PQstatus(db) != CONNECTION_OK) {
		printf("refused: %s", PQerrorMessage(db));
		return 3;
	}
	must(PQsslInUse(db), "query", "in the clear");
	res = PQexec(db, "SELECT 42");
	must(PQntuples(res) == 1 && strcmp(PQgetvalue(res, 0, 0), "42") == 0, "query", PQerrorMessage(db));
	PQclear(res);
	puts("ok query");
	res = PQprepare(db, "doubled", "SELECT $1::int * 2", 0, NULL);
	must(PQresultStatus(res) == PGRES_COMMAND_OK, "prepared", PQerrorMessage(db));
	PQclear(res);
	for (int i = 0; i < 20; i++) {
		char number[16];
		const char *values[] = { number };

		snprintf(number, sizeof(number), "%d", i);
		res = PQexecPrepared(db, "doubled", 1, values, NULL, NULL, 0);
		must(PQntuples(res) == 1 && atoi(PQgetvalue(res, 0, 0)) == 2 * i, "prepared", PQerrorMessage(db));
		PQclear(res);
	}
	puts("ok prepared");
	res = PQexec(db, "SELECT repeat('x', 8000000)");
	must(PQntuples(res) == 1 && PQgetlength(res, 0, 0) == 8000000, "large", PQerrorMessage(db));
	PQclear(res);
	res = PQexec(db, "SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i");
	must(PQntuples(res) == 20000, "large", PQerrorMessage(db));
	PQclear(res);
	puts("ok large");
	pthread_create(&canceller, NULL, cancel_soon, db);
	res = PQexec(db, "SELECT pg_sleep(30)");
	must(strcmp(PQresultErrorField(res, PG_DIAG_SQLSTATE), "57014") == 0, "cancel", PQerrorMessage(db));
	PQclear(res);
	pthread_join(canceller, NULL);
	puts("ok cancel");
	PQfinish(db);
	return 0;
}
