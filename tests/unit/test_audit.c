/* tests/unit/test_audit.c - who does what to sessions, counted and bounded. */
#include "session/audit.h"
#include "threads.h"

#include "sql/scan.h"
#include "unit.h"

struct seen {
	unsigned rows, others;
	uint64_t settings, temps, first_temps; /* first_temps: of the application app-0 */
};

static void
look(const struct audit_row *row, void *arg)
{
	struct seen *s = arg;
	const char *effect;

	s->rows++;
	s->others += strcmp(row->application, "_other") == 0;
	for (unsigned i = 0; i < AUDIT_KINDS; i++) {
		const char *kind = audit_kind_name(i, &effect);

		cr_expect_neq(effect[0], '\0');
		if (strcmp(kind, "setting") == 0)
			s->settings += row->counts[i];
		if (strcmp(kind, "temp_table") == 0)
			*(strcmp(row->application, "app-0") == 0 ? &s->first_temps : &s->temps) += row->counts[i];
	}
}

Test(audit, counts_by_application_and_kind)
{
	struct audit *a = audit_new(7);
	struct seen s = { 0 };

	audit_note(a, "app", "web", "billing", SCAN_SETTING | SCAN_TEMP, 1);
	audit_note(a, "app", "web", "billing", SCAN_SETTING, 2);
	audit_note(a, "app", "web", "reports", SCAN_SETTING, 3);
	audit_each(a, look, &s);
	cr_expect_eq(s.rows, 2);
	cr_expect_eq(s.settings, 3);
	cr_expect_eq(s.temps, 1);
	audit_free(a);
}

Test(audit, many_applications_share_the_last_row)
{
	struct audit *a = audit_new(7);
	struct seen s = { 0 };
	char name[32];

	for (unsigned i = 0; i < 3 * AUDIT_ROWS_MAX; i++) {
		snprintf(name, sizeof(name), "app-%u", i);
		audit_note(a, "app", "web", name, SCAN_SETTING, i);
		audit_note(a, "app", "web", "app-0", SCAN_TEMP, i);
	}
	audit_each(a, look, &s);
	cr_expect_eq(s.rows, AUDIT_ROWS_MAX + 1);
	cr_expect_eq(s.others, 1);
	cr_expect_eq(s.settings, 3 * AUDIT_ROWS_MAX, "none is lost");
	cr_expect_eq(s.first_temps, 3 * AUDIT_ROWS_MAX, "who has a row keeps it");
	audit_free(a);
}

struct noted {
	struct audit *audit;
	unsigned rows[THREADS];
};

static void
count_row(const struct audit_row *row, void *arg)
{
	unsigned *rows = arg;

	*rows += row->database[0] != '\0';
}

static void
note_and_read(unsigned number, void *arg)
{
	struct noted *n = arg;
	char name[32];

	for (unsigned i = 0; i < 4 * AUDIT_ROWS_MAX; i++) {
		snprintf(name, sizeof(name), "app-%u", i % (number == 0 ? 2 * AUDIT_ROWS_MAX : 10));
		audit_note(n->audit, "app", "web", name, SCAN_SETTING, i);
		if (i % AUDIT_ROWS_MAX == number)
			audit_each(n->audit, count_row, &n->rows[number]);
	}
}

Test(audit, threads_share_the_rows)
{
	struct noted n = { audit_new(7), { 0 } };
	struct seen s = { 0 };

	in_threads(note_and_read, &n);
	cr_expect_gt(n.rows[0], 0);
	audit_each(n.audit, look, &s);
	cr_expect_eq(s.rows, AUDIT_ROWS_MAX + 1);
	cr_expect_eq(s.settings, THREADS * 4 * AUDIT_ROWS_MAX, "none is lost");
	audit_free(n.audit);
}
