/*
 * tests/unit/test_metrics.c - the exposition, read as Prometheus reads it: families in one piece, TYPE before samples,
 * no sample twice, buckets that only rise. docs/metrics.md and the alert rules are held against it too.
 *
 * UPDATE_DOCS=1 rewrites the list in docs/metrics.md.
 */
#include "telemetry/metrics_state.h"
#include "unit.h"

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOSTILE "a\"b\\c\n"

static void
fill(uint64_t *words, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		words[i] = seed + i % 7;
}

static void
fill_pool(struct snapshot_pool *p, const char *database, const char *user, uint64_t seed)
{
	snprintf(p->database, sizeof(p->database), "%s", database);
	snprintf(p->user, sizeof(p->user), "%s", user);
	fill(p->clients, sizeof(p->clients), seed);
	fill(p->servers, sizeof(p->servers), seed);
	fill((uint64_t *)&p->counters, sizeof(p->counters), seed);
	p->pool_size = 20;
	p->max_overflow = 10;
	p->oldest_waiter_us = seed * 1500;
}

static void
fill_database(struct snapshot_database *d, const char *name, uint64_t us)
{
	snprintf(d->name, sizeof(d->name), "%s", name);
	histogram_observe_us(&d->counters.query_duration, &histogram_bounds_query, us);
	histogram_observe_us(&d->counters.query_duration, &histogram_bounds_query, 31000000);
	histogram_observe_us(&d->counters.pool_wait[WAIT_SERVED], &histogram_bounds_wait, 0);
	d->counters.errors[EO_SERVER][counters_error_class("23505")] = 3;
	d->counters.errors[EO_PROXY][counters_error_class(NULL)] = 1;
	d->counters.phase_us[PHASE_SERVER] = 1234567;
	d->counters.bytes_in[NS_SERVER] = 11;
	d->counters.bytes_out[NS_CLIENT] = 22;
}

static struct snapshot *
new_snapshot(size_t pools, size_t databases, size_t backends)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	cr_assert_not_null(s);
	s->pools = calloc(pools + 1, sizeof(*s->pools));
	s->databases = calloc(databases + 1, sizeof(*s->databases));
	s->backends = calloc(backends + 1, sizeof(*s->backends));
	s->workers = calloc(1, sizeof(*s->workers));
	s->worker_count = 1;
	s->pool_count = pools;
	s->database_count = databases;
	s->backend_count = backends;
	s->state = STATE_DRAINING;
	s->start_wall_us = 1795156763123456ull;
	s->last_reload_ok = true;
	return s;
}

/* Names that only differ in what cannot be shown, and one that tries to break out of its quotes. */
static struct snapshot *
hostile_snapshot(void)
{
	struct snapshot *s = new_snapshot(5, 3, 2);

	fill_pool(&s->pools[0], "app", "u\xff", 1);
	fill_pool(&s->pools[1], HOSTILE, "web", 10);
	fill_pool(&s->pools[2], "app", "u\xfe", 100);
	fill_pool(&s->pools[3], "_other", "_other", 5);
	fill_pool(&s->pools[4], "app", "u\xfd", 1000);
	fill_database(&s->databases[0], HOSTILE, 100000);
	fill_database(&s->databases[1], "\xc0\xaf", 7);
	fill_database(&s->databases[2], "\xc1\xbf", 7);
	strcpy(s->backends[0].name, "10.0.0.1:5432");
	strcpy(s->backends[0].role, "primary");
	s->backends[0].counters.up_state = 1;
	strcpy(s->backends[1].name, "10.0.0.2:5432");
	s->backends[1].counters.up_state = -1;
	s->budgets = calloc(2, sizeof(*s->budgets));
	cr_assert_not_null(s->budgets);
	s->budget_count = 2;
	s->budgets[0] = (struct snapshot_budget){ "db1:5432,db2:5432primary",
						  .limit = 90,
						  .own_limit = 100,
						  .listed = 71,
						  .share = 18,
						  .is_joined = 1,
						  .checks_none = 7,
						  .check_us = 1500000 };
	s->budgets[1] = (struct snapshot_budget){ "db3:5432", .limit = SNAPSHOT_UNKNOWN, .listed = SNAPSHOT_UNKNOWN,
						  .others = SNAPSHOT_UNKNOWN, .share = SNAPSHOT_UNKNOWN };
	return s;
}

static char *
render(struct snapshot *s)
{
	struct buf to = { 0 };
	char *text;

	metrics_render(s, EXPOSITION_TEXT, &to);
	cr_assert(buf_ok(&to));
	buf_put(&to, "", 1);
	text = strdup((const char *)to.bytes);
	buf_fini(&to);
	snapshot_free(s);
	return text;
}

/* --- a reader of the format --- */

struct reader {
	char *lines[20000];
	size_t count;
	char family[128], type[16];
	char *families[200]; /* that were closed or are open */
	size_t family_count;
};

static void
begin_family(struct reader *r, const char *line)
{
	char name[128], type[16];

	cr_assert_eq(sscanf(line, "# TYPE %127s %15s", name, type), 2, "%s", line);
	for (size_t i = 0; i < r->family_count; i++)
		cr_assert_str_neq(r->families[i], name, "family in two pieces");
	strcpy(r->family, name);
	strcpy(r->type, type);
	cr_assert_lt(r->family_count, 200);
	r->families[r->family_count++] = strdup(name);
}

/* name{labels}: label values end at a quote without a backslash. Returns where the value begins. */
static const char *
skip_series(const char *line)
{
	const char *at = line + strcspn(line, "{ ");
	bool is_quoted = false;

	if (*at == '{') {
		for (; is_quoted || *at != '}'; at++) {
			cr_assert(*at != '\0', "labels do not end: %s", line);
			if (is_quoted && *at == '\\') {
				at++;
				cr_assert(strchr("\\\"n", *at) != NULL, "unknown escape: %s", line);
			} else if (*at == '"') {
				is_quoted = !is_quoted;
			}
		}
		at++;
	}
	cr_assert_eq(*at, ' ', "%s", line);
	return at + 1;
}

static void
check_sample(const struct reader *r, const char *line)
{
	size_t name_len = strcspn(line, "{ "), family_len = strlen(r->family);
	const char *suffix = line + family_len, *value = skip_series(line);
	char *end;

	cr_assert(name_len >= family_len && strncmp(line, r->family, family_len) == 0, "no TYPE before: %s", line);
	if (strcmp(r->type, "histogram") == 0)
		cr_assert(strncmp(suffix, "_bucket{", 8) == 0 || strncmp(suffix, "_sum", 4) == 0 ||
			      strncmp(suffix, "_count", 6) == 0,
			  "%s", line);
	else
		cr_assert_eq(name_len, family_len, "%s", line);
	if (strcmp(r->type, "counter") == 0)
		cr_assert_eq(strncmp(line + name_len - 6, "_total", 6), 0, "%s", line);
	cr_assert(strtod(value, &end) >= 0);
	cr_assert_eq(*end, '\0', "%s", line);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
check_no_series_twice(struct reader *r)
{
	for (size_t i = 0; i < r->count; i++)
		((char *)skip_series(r->lines[i]))[-1] = '\0';
	qsort(r->lines, r->count, sizeof(r->lines[0]), by_text);
	for (size_t i = 1; i < r->count; i++)
		cr_assert_str_neq(r->lines[i - 1], r->lines[i]);
}

static unsigned long long
value_of(const char *line)
{
	return strtoull(skip_series(line), NULL, 10);
}

/* Buckets rise, the last is +Inf, and _count is the same. */
static void
check_histograms(const struct reader *r)
{
	unsigned long long last = 0, inf = 0;
	size_t checked = 0;

	for (size_t i = 0; i < r->count; i++) {
		const char *line = r->lines[i];

		if (strstr(line, "_bucket{") != NULL) {
			cr_assert(value_of(line) >= last, "%s", line);
			last = value_of(line);
			if (strstr(line, "le=\"+Inf\"") != NULL) {
				inf = last;
				last = 0;
			}
		} else if (strstr(line, "_seconds_count") != NULL) {
			cr_assert_eq(value_of(line), inf, "%s", line);
			checked++;
		}
	}
	cr_expect_gt(checked, 3);
}

static void
check_exposition(const char *exposition)
{
	static struct reader r;
	char *text = strdup(exposition), *save = NULL;

	cr_assert_eq(text[strlen(text) - 1], '\n');
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "# TYPE ", 7) == 0) {
			begin_family(&r, line);
		} else if (line[0] != '#') {
			check_sample(&r, line);
			cr_assert_lt(r.count, sizeof(r.lines) / sizeof(r.lines[0]));
			r.lines[r.count++] = line;
		}
	}
	check_histograms(&r);
	check_no_series_twice(&r);
	for (size_t i = 0; i < r.family_count; i++)
		free(r.families[i]);
	free(text);
}

Test(metrics, a_hostile_snapshot_is_still_well_formed)
{
	char *text = render(hostile_snapshot());

	check_exposition(text);
	free(text);
}

Test(metrics, an_empty_snapshot_is_well_formed)
{
	char *text = render(new_snapshot(0, 0, 0));

	check_exposition(text);
	free(text);
}

/* --- single samples --- */

static void
expect_line(const char *text, const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	cr_expect_not_null(strstr(text, whole), "no line: %s", line);
}

Test(metrics, samples)
{
	char *text = render(hostile_snapshot());

	expect_line(text, "pgweir_start_time_seconds 1795156763.123456");
	expect_line(text, "pgweir_state{state=\"draining\"} 1");
	expect_line(text, "pgweir_state{state=\"running\"} 0");
	expect_line(text, "pgweir_config_last_reload_successful 1");
	expect_line(text,
		    "pgweir_pool_limit_connections{database=\"a\\\"b\\\\c\\n\",user=\"web\",kind=\"pool_size\"} 20");
	expect_line(text,
		    "pgweir_pool_limit_connections{database=\"a\\\"b\\\\c\\n\",user=\"web\",kind=\"max_overflow\"} 10");
	expect_line(text, "pgweir_pool_oldest_waiter_seconds{database=\"a\\\"b\\\\c\\n\",user=\"web\"} 0.015");
	expect_line(text, "pgweir_query_duration_seconds_bucket{database=\"a\\\"b\\\\c\\n\",le=\"0.075\"} 0");
	expect_line(text, "pgweir_query_duration_seconds_bucket{database=\"a\\\"b\\\\c\\n\",le=\"0.1\"} 1");
	expect_line(text, "pgweir_query_duration_seconds_bucket{database=\"a\\\"b\\\\c\\n\",le=\"30\"} 1");
	expect_line(text, "pgweir_query_duration_seconds_bucket{database=\"a\\\"b\\\\c\\n\",le=\"+Inf\"} 2");
	expect_line(text, "pgweir_query_duration_seconds_sum{database=\"a\\\"b\\\\c\\n\"} 31.1");
	expect_line(text, "pgweir_query_phase_seconds_total{database=\"a\\\"b\\\\c\\n\",phase=\"server\"} 1.234567");
	expect_line(text, "pgweir_errors_total{database=\"a\\\"b\\\\c\\n\",origin=\"server\",sqlstate_class=\"23\"} 3");
	expect_line(text,
		    "pgweir_errors_total{database=\"a\\\"b\\\\c\\n\",origin=\"proxy\",sqlstate_class=\"none\"} 1");
	cr_expect_null(strstr(text, "sqlstate_class=\"22\""), "classes without errors are left out");
	expect_line(text,
		    "pgweir_network_bytes_total{database=\"a\\\"b\\\\c\\n\",direction=\"in\",side=\"server\"} 11");
	expect_line(text,
		    "pgweir_network_bytes_total{database=\"a\\\"b\\\\c\\n\",direction=\"out\",side=\"client\"} 22");
	expect_line(text, "pgweir_backend_up{backend=\"10.0.0.1:5432\",role=\"primary\"} 1");
	cr_expect_null(strstr(text, "pgweir_backend_up{backend=\"10.0.0.2:5432\""), "never tried: neither up nor down");
	expect_line(text, "pgweir_event_loop_lag_seconds_bucket{worker=\"0\",le=\"0.00001\"} 0");
	free(text);
}

Test(metrics, a_budget_is_shown_where_there_is_one)
{
	char *text = render(new_snapshot(0, 0, 0));

	cr_expect_null(strstr(text, "pgweir_budget_"), "no families without one");
	free(text);
	text = render(hostile_snapshot());
	expect_line(text, "pgweir_budget_connections{backend=\"db1:5432,db2:5432primary\"} 90");
	expect_line(text, "pgweir_budget_own_connections{backend=\"db1:5432,db2:5432primary\"} 100");
	expect_line(text, "pgweir_budget_listed{backend=\"db1:5432,db2:5432primary\"} 71");
	expect_line(text, "pgweir_budget_others{backend=\"db1:5432,db2:5432primary\"} 0");
	expect_line(text, "pgweir_budget_share{backend=\"db1:5432,db2:5432primary\"} 18");
	expect_line(text, "pgweir_budget_joined{backend=\"db1:5432,db2:5432primary\"} 1");
	expect_line(text, "pgweir_budget_joined{backend=\"db3:5432\"} 0");
	expect_line(text, "pgweir_budget_checks_total{backend=\"db1:5432,db2:5432primary\",result=\"none\"} 7");
	expect_line(text, "pgweir_budget_check_seconds_total{backend=\"db1:5432,db2:5432primary\"} 1.5");
	cr_expect_null(strstr(text, "pgweir_budget_connections{backend=\"db3"), "a limit that is not known yet");
	cr_expect_null(strstr(text, "pgweir_budget_listed{backend=\"db3"), "never looked");
	cr_expect_null(strstr(text, "pgweir_budget_share{backend=\"db3"), "nobody waits");
	free(text);
}

Test(metrics, names_that_look_the_same_are_added_up)
{
	char *text = render(hostile_snapshot());

	/* seeds 1, 100 and 1000 */
	expect_line(text, "pgweir_pool_waits_total{database=\"app\",user=\"u\xef\xbf\xbd\"} 1101");
	expect_line(text,
		    "pgweir_pool_limit_connections{database=\"app\",user=\"u\xef\xbf\xbd\",kind=\"pool_size\"} 60");
	expect_line(text, "pgweir_pool_oldest_waiter_seconds{database=\"app\",user=\"u\xef\xbf\xbd\"} 1.5");
	expect_line(text, "pgweir_query_duration_seconds_count{database=\"\xef\xbf\xbd\xef\xbf\xbd\"} 4");
	free(text);
}

Test(metrics, the_process_is_there)
{
	char *text = render(new_snapshot(0, 0, 0));
	const char *rss = strstr(text, "\nprocess_resident_memory_bytes "), *fds = strstr(text, "\nprocess_open_fds ");

	cr_assert(rss != NULL && fds != NULL);
	cr_expect_gt(strtoull(rss + 31, NULL, 10), 100000);
	cr_expect_gt(strtoull(fds + 18, NULL, 10), 1);
	cr_expect_not_null(strstr(text, "\nprocess_cpu_seconds_total "));
	cr_expect_not_null(strstr(text, "\nprocess_max_fds "));
	cr_expect_not_null(strstr(text, "\npgweir_build_info{version=\""));
	free(text);
}

static int
run_promtool(const char *text)
{
	FILE *promtool;

	if (system("command -v promtool >/dev/null 2>&1") != 0)
		return -1;
	promtool = popen("promtool check metrics >&2", "w");
	cr_assert_not_null(promtool);
	fputs(text, promtool);
	return WEXITSTATUS(pclose(promtool));
}

Test(metrics, promtool_has_nothing_to_say)
{
	char *text = render(hostile_snapshot());
	int verdict = run_promtool(text);

	free(text);
	if (verdict < 0)
		cr_skip_test("promtool is not installed");
	cr_expect_eq(verdict, 0);
	cr_expect_neq(run_promtool("a_total{b=\"\"c\"} 1\n"), 0, "it does object where it should");
}

/* --- the table --- */

/* --- docs/metrics.md --- */

static const char *const type_names[] = { "counter", "gauge", "histogram" };
static const char *const scope_labels[] = { "database, user", "database", "backend", "backend", "worker", "", "", "" };

/* The core's, then the modules'; NULL after the last one. */
static const struct metric_family *
family(size_t i)
{
	if (i < metric_family_count)
		return &metric_families[i];
	i -= metric_family_count;
	for (size_t m = 0; modules[m] != NULL; m++)
		for (const struct metric_family *f = modules[m]->metrics; f->name != NULL; f++)
			if (i-- == 0)
				return f;
	return NULL;
}

static void
metrics_each(void (*row)(const char *name, const char *type, const char *labels, const char *help, void *arg),
	     void *arg)
{
	const struct metric_family *f;

	for (size_t i = 0; (f = family(i)) != NULL; i++) {
		char labels[128];
		const char *base = f->special != NOT_SPECIAL ? f->other_labels : scope_labels[f->scope];
		const char *label = f->label != NULL ? f->label->name : "";
		const char *second = f->second_label != NULL ? f->second_label->name : "";

		if (base == NULL)
			base = "";
		snprintf(labels, sizeof(labels), "%s%s%s%s%s", base, base[0] != '\0' && label[0] != '\0' ? ", " : "",
			 label, second[0] != '\0' ? ", " : "", second);
		row(f->name, type_names[f->type], labels, f->help, arg);
	}
}

enum { MANY_VALUES = 40, WIDTH = 120 };

static void
print_label(FILE *to, const char *separator, const struct metric_label *label)
{
	if (label == NULL)
		return;
	fprintf(to, "%s%s:", separator, label->name);
	if (label->count > MANY_VALUES) /* classes of SQLSTATE */
		fprintf(to, " its first two characters, none or other");
	for (size_t i = 0; label->count <= MANY_VALUES && i < label->count && label->values[i] != NULL; i++)
		fprintf(to, "%s %s", i > 0 ? "," : "", label->values[i]);
}

/* Returns what stands in parentheses behind a family's name: its type, if the name does not show it, and its labels. */
static char *
notes_of(const struct metric_family *f)
{
	const char *labels = f->special != NOT_SPECIAL ? f->other_labels : scope_labels[f->scope];
	char *notes = NULL;
	size_t len;
	FILE *to = open_memstream(&notes, &len);

	if (f->type != METRIC_COUNTER)
		fprintf(to, "%s", type_names[f->type]);
	if (labels != NULL && labels[0] != '\0')
		fprintf(to, "%s%s", f->type != METRIC_COUNTER ? "; " : "", labels);
	fflush(to);
	print_label(to, len > 0 ? "; " : "", f->label);
	print_label(to, "; ", f->second_label);
	fclose(to);
	return notes;
}

/* Prints an item of a list, in lines of at most WIDTH characters. Takes its blanks to pieces. */
static void
print_item(FILE *to, char *text)
{
	size_t column = (size_t)fprintf(to, "-");
	char *rest = NULL;

	for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
		if (column + 1 + strlen(word) > WIDTH)
			column = (size_t)fprintf(to, "\n ") - 1;
		column += (size_t)fprintf(to, " %s", word);
	}
	fputs("\n", to);
}

/* Writes the document: what stands ahead of the list is kept as it is in old. */
static void
print_docs(FILE *to, const char *old)
{
	const struct metric_family *f;
	const char *list = strstr(old, "\n- `pgweir_");

	cr_assert_not_null(list);
	fwrite(old, 1, (size_t)(list - old) + 1, to);
	for (size_t i = 0; (f = family(i)) != NULL; i++) {
		char *notes = notes_of(f), *text = NULL;

		cr_assert_geq(
		    asprintf(&text, notes[0] != '\0' ? "`%s` (%s): %s" : "`%s`%s: %s", f->name, notes, f->help), 0);
		print_item(to, text);
		free(text);
		free(notes);
	}
}

static void
check_row(const char *name, const char *type, const char *labels, const char *help, void *arg)
{
	size_t len = strlen(name), *count = arg;

	(*count)++;
	cr_expect(strncmp(name, "pgweir_", 7) == 0 || strncmp(name, "process_", 8) == 0, "%s", name);
	cr_expect_eq(strcmp(name + len - 6, "_total") == 0, strcmp(type, "counter") == 0, "%s is a %s", name, type);
	cr_expect_eq(help[strlen(help) - 1], '.', "%s has a sentence", name);
	cr_expect(labels[0] != ',' && labels[0] != ' ', "%s: %s", name, labels);
	if (strcmp(name, "pgweir_client_logins_total") == 0)
		cr_expect_str_eq(labels, "result, method");
	if (strcmp(name, "pgweir_client_connections") == 0)
		cr_expect_str_eq(labels, "database, user, state");
	if (strcmp(name, "pgweir_errors_total") == 0)
		cr_expect_str_eq(labels, "database, origin, sqlstate_class");
}

Test(metrics, each_family_has_a_name_a_type_and_a_sentence)
{
	size_t count = 0;

	metrics_each(check_row, &count);
	cr_expect_gt(count, 50);
}

/* The checkout's own files, found from this file's name. */
static char *
read_of_checkout(const char *name, char path[1024])
{
	static const char here[] = "tests/unit/test_metrics.c";
	size_t prefix_len = strlen(__FILE__) - strlen(here);
	char *text = calloc(1, 1 << 20);
	FILE *f;

	snprintf(path, 1024, "%.*s%s", (int)prefix_len, __FILE__, name);
	f = fopen(path, "r");
	if (f == NULL) {
		free(text);
		return NULL;
	}
	cr_assert_gt(fread(text, 1, (1 << 20) - 1, f), 0);
	fclose(f);
	return text;
}

Test(metrics, the_documentation_is_this_table)
{
	char path[1024], *want = NULL, *found = read_of_checkout("docs/metrics.md", path);
	size_t want_len;
	FILE *f;

	cr_assert_not_null(found, "%s", path);
	f = open_memstream(&want, &want_len);
	print_docs(f, found);
	fclose(f);
	if (getenv("UPDATE_DOCS") != NULL) {
		f = fopen(path, "w");
		cr_assert_not_null(f, "%s", path);
		fwrite(want, 1, want_len, f);
		fclose(f);
		free(found);
		found = read_of_checkout("docs/metrics.md", path);
	}
	cr_expect(strcmp(want, found) == 0, "docs/metrics.md is not up to date: UPDATE_DOCS=1 writes it");
	free(want);
	free(found);
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Is name, with or without a histogram's suffix, among the samples? */
static bool
is_exposed(const char *text, const char *name)
{
	char line[192];

	snprintf(line, sizeof(line), "\n# TYPE %s ", name);
	if (strstr(text, line) != NULL)
		return true;
	snprintf(line, sizeof(line), "\n%s{", name);
	return strstr(text, line) != NULL;
}

Test(metrics, the_alert_rules_ask_for_nothing_that_is_not_there)
{
	char path[1024], name[128], *rules = read_of_checkout("contrib/prometheus/pgweir-alerts.yml", path);
	char *text = render(hostile_snapshot());
	size_t found = 0;

	cr_assert_not_null(rules, "%s", path);
	for (const char *at = rules; (at = strstr(at, "pgweir_")) != NULL; at += strlen(name)) {
		size_t len = 0;

		while (is_name_char(at[len]) && len < sizeof(name) - 1) {
			name[len] = at[len];
			len++;
		}
		name[len] = '\0';
		if (at > rules && (at[-1] == ':' || at[len] == ':'))
			continue; /* a recording rule of the file's own */
		cr_expect(is_exposed(text, name), "%s", name);
		found++;
	}
	cr_expect_gt(found, 8);
	free(rules);
	free(text);
}

Test(metrics, a_limit_too_small_is_noticed)
{
	struct buf to = { .limit = 1000 };
	struct snapshot *s = hostile_snapshot();

	metrics_render(s, EXPOSITION_TEXT, &to);
	cr_expect(!buf_ok(&to));
	buf_fini(&to);
	snapshot_free(s);
}
