/*
 * src/telemetry/metrics.c - see metrics.h. It walks the table (metrics_table.c), whose rows suffice for most families;
 * the few that need code of their own have it here.
 */
#include "telemetry/metrics.h"

#include "build.h"
#include "telemetry/metrics_state.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = { "counter", "gauge", "histogram" };
static const char *const scope_labels[] = { "", "worker", "database, user", "database", "backend", "" };

/* Everything that a family may need. */
struct sources {
	const struct snapshot *snapshot;
	struct metrics_process system;
	struct metrics_view view;
	enum exposition_format format;
	struct buf *to;
};

/* --- rows that are plain numbers --- */

static void
metrics_put_value(const struct metric_family *f, struct buf *to, const char *labels, uint64_t value)
{
	if (value != 0 || !f->skips_zeros)
		exposition_sample(to, f->name, labels, value, f->decimals);
}

static void
add_word(char labels[LABELS_MAX], const struct metric_words *words, size_t i)
{
	labels_add(labels, words->label, words->names[i], strlen(words->names[i]));
}

static void
put_matrix_row(const struct metric_family *f, struct buf *to, const char *labels, const uint64_t *values)
{
	for (size_t i = 0; i < f->more_words->count; i++) {
		char with_word[LABELS_MAX];

		if (f->more_words->names[i] == NULL || (values[i] == 0 && f->skips_zeros))
			continue;
		snprintf(with_word, sizeof(with_word), "%s", labels);
		add_word(with_word, f->more_words, i);
		metrics_put_value(f, to, with_word, values[i]);
	}
}

static void
put_array(const struct metric_family *f, struct buf *to, const char *labels, const uint64_t *values)
{
	size_t step = f->more_words != NULL ? f->more_words->count : 1;

	for (size_t i = 0; i < f->words->count; i++, values += step) {
		char with_word[LABELS_MAX];

		snprintf(with_word, sizeof(with_word), "%s", labels);
		add_word(with_word, f->words, i);
		if (f->more_words != NULL)
			put_matrix_row(f, to, with_word, values);
		else
			metrics_put_value(f, to, with_word, *values);
	}
}

static const struct exemplars *
exemplars_of(const struct metric_family *f, const struct sources *from, const void *data)
{
	return f->has_exemplars && from->format == EXPOSITION_OPENMETRICS
		   ? ((const struct snapshot_database *)data)->exemplars
		   : NULL;
}

/* Writes the samples of one member of the family's scope: its labels, and the struct that has its numbers. */
static void
put_one(const struct metric_family *f, const struct sources *from, const char *labels, const void *data)
{
	const void *at = (const char *)data + f->at;

	if (f->type == METRIC_HISTOGRAM)
		exposition_histogram(from->to, f->name, labels, at, f->bounds, exemplars_of(f, from, data));
	else if (f->words != NULL)
		put_array(f, from->to, labels, at);
	else
		metrics_put_value(f, from->to, labels, *(const uint64_t *)at);
}

static void
put_items(const struct metric_family *f, const struct sources *from, const struct metrics_items *all)
{
	for (size_t i = 0; i < all->count; i++)
		put_one(f, from, all->items[i].labels, all->items[i].data);
}

/* --- rows with code of their own --- */

static void
put_build_info(const struct metric_family *f, const struct sources *from)
{
	char labels[LABELS_MAX] = "";
	const char *libevent = event_get_version(), *openssl = OpenSSL_version(OPENSSL_VERSION_STRING);

	labels_add(labels, "version", PGWEIR_VERSION, strlen(PGWEIR_VERSION));
	labels_add(labels, "libevent", libevent, strlen(libevent));
	labels_add(labels, "openssl", openssl, strlen(openssl));
	exposition_sample(from->to, f->name, labels, 1, 0);
}

static void
put_state(const struct metric_family *f, const struct sources *from)
{
	for (size_t i = 0; i < f->words->count; i++) {
		char labels[LABELS_MAX] = "";

		add_word(labels, f->words, i);
		exposition_sample(from->to, f->name, labels, i == (size_t)from->snapshot->state, 0);
	}
}

static void
put_clients(const struct metric_family *f, const struct sources *from)
{
	exposition_sample(from->to, f->name, "state=\"login\"", from->snapshot->login_clients, 0);
	exposition_sample(from->to, f->name, "state=\"cancel\"", from->snapshot->cancel_clients, 0);
	for (size_t i = 0; i < from->view.pools.count; i++) {
		const struct snapshot_pool *p = from->view.pools.items[i].data;

		put_array(f, from->to, from->view.pools.items[i].labels, p->clients);
	}
}

/* A backend that was never tried is neither up nor down, and left out. */
static void
put_backend_up(const struct metric_family *f, const struct sources *from)
{
	for (size_t i = 0; i < from->view.backends.count; i++) {
		const struct metrics_item *item = &from->view.backends.items[i];
		const struct snapshot_backend *b = item->data;
		char labels[LABELS_MAX];

		if (b->counters.is_up < 0)
			continue;
		snprintf(labels, sizeof(labels), "%s", item->labels);
		labels_add(labels, "role", b->role, strnlen(b->role, sizeof(b->role)));
		exposition_sample(from->to, f->name, labels, b->counters.is_up > 0, 0);
	}
}

static void
put_special(const struct metric_family *f, const struct sources *from)
{
	switch (f->special) {
	case SPECIAL_BUILD_INFO:
		put_build_info(f, from);
		break;
	case SPECIAL_STATE:
		put_state(f, from);
		break;
	case SPECIAL_RELOAD_OK:
		exposition_sample(from->to, f->name, "", from->snapshot->last_reload_ok, 0);
		break;
	case SPECIAL_CLIENTS:
		put_clients(f, from);
		break;
	case SPECIAL_BACKEND_UP:
		put_backend_up(f, from);
		break;
	case NOT_SPECIAL:
		break;
	}
}

static void
put_family(const struct metric_family *family, const struct sources *from)
{
	struct metric_family named = *family;
	const struct metric_family *f = &named;

	if (from->format == EXPOSITION_OPENMETRICS && family->openmetrics_name != NULL)
		named.name = family->openmetrics_name;
	exposition_head(from->to, from->format, f->name, type_names[f->type], f->help);
	if (f->special != NOT_SPECIAL) {
		put_special(f, from);
		return;
	}
	switch (f->scope) {
	case OF_ALL:
		put_one(f, from, "", from->snapshot);
		break;
	case OF_LOOP:
		put_one(f, from, "worker=\"0\"", from->snapshot);
		break;
	case OF_POOL:
		put_items(f, from, &from->view.pools);
		break;
	case OF_DATABASE:
		put_items(f, from, &from->view.databases);
		break;
	case OF_BACKEND:
		put_items(f, from, &from->view.backends);
		break;
	case OF_SYSTEM:
		put_one(f, from, "", &from->system);
		break;
	}
}

void
metrics_render(const struct snapshot *s, enum exposition_format format, struct buf *to)
{
	struct sources from = { .snapshot = s, .format = format, .to = to };

	metrics_process_read(&from.system);
	metrics_view_init(&from.view, s);
	for (size_t i = 0; i < metric_family_count; i++)
		put_family(&metric_families[i], &from);
	exposition_end(to, format);
	metrics_view_fini(&from.view);
}

/* --- one sample after the other: what was rendered, taken apart again --- */

/* The rest of line if it begins so, else NULL. */
static char *
behind(char *line, const char *beginning)
{
	size_t len = strlen(beginning);

	return strncmp(line, beginning, len) == 0 ? line + len : NULL;
}

/* Cuts at the first of these signs; returns what is behind it, or "". */
static char *
cut(char *text, char sign)
{
	char *at = strchr(text, sign);

	if (at == NULL)
		return text + strlen(text);
	*at = '\0';
	return at + 1;
}

static bool
is_bucket(const char *name)
{
	size_t len = strlen(name);

	return len > 7 && strcmp(name + len - 7, "_bucket") == 0;
}

/* name{labels} value, or name value */
static void
split_sample(char *line, struct metric_sample *sample)
{
	char *last = strrchr(line, ' '), *brace = strchr(line, '{');

	sample->value = last + 1;
	*last = '\0';
	sample->name = line;
	sample->labels = "";
	if (brace == NULL)
		return;
	sample->labels = cut(line, '{');
	last[-1] = '\0';
}

static void
each_line(char *text, void (*row)(const struct metric_sample *sample, void *arg), void *arg)
{
	struct metric_sample sample = { 0 };

	for (char *line = text, *next; *line != '\0'; line = next) {
		char *rest;

		next = cut(line, '\n');
		if ((rest = behind(line, "# HELP ")) != NULL)
			sample.help = cut(rest, ' ');
		else if ((rest = behind(line, "# TYPE ")) != NULL)
			sample.type = cut(rest, ' ');
		else {
			split_sample(line, &sample);
			if (!is_bucket(sample.name))
				row(&sample, arg);
		}
	}
}

void
metrics_each_sample(const struct snapshot *s, void (*row)(const struct metric_sample *sample, void *arg), void *arg)
{
	struct buf text = { 0 };

	if (s == NULL)
		return;
	metrics_render(s, EXPOSITION_TEXT, &text);
	buf_put_u8(&text, 0);
	if (buf_ok(&text))
		each_line((char *)text.bytes, row, arg);
	buf_fini(&text);
}

/* --- the table for people --- */

static void
label_list(const struct metric_family *f, char *out, size_t cap)
{
	const char *base = f->special != NOT_SPECIAL ? f->other_labels : scope_labels[f->scope];
	const char *word = f->words != NULL ? f->words->label : "";
	const char *more = f->more_words != NULL ? f->more_words->label : "";

	if (base == NULL)
		base = "";
	snprintf(out, cap, "%s%s%s%s%s", base, base[0] != '\0' && word[0] != '\0' ? ", " : "", word,
		 more[0] != '\0' ? ", " : "", more);
}

void
metrics_each(void (*row)(const char *name, const char *type, const char *labels, const char *help, void *arg),
	     void *arg)
{
	for (size_t i = 0; i < metric_family_count; i++) {
		const struct metric_family *f = &metric_families[i];
		char labels[128];

		label_list(f, labels, sizeof(labels));
		row(f->name, type_names[f->type], labels, f->help, arg);
	}
}

static void
print_row(const char *name, const char *type, const char *labels, const char *help, void *arg)
{
	FILE *to = arg;

	fprintf(to, "| `%s` | %s | %s | %s |\n", name, type, labels, help);
}

static void
print_words(FILE *to, const char *family, const struct metric_words *words)
{
	if (words == NULL)
		return;
	fprintf(to, "- `%s` of `%s`:", words->label, family);
	for (size_t i = 0; i < words->count && words->names[i] != NULL; i++)
		fprintf(to, "%s `%s`", i > 0 ? "," : "", words->names[i]);
	fputs("\n", to);
}

void
metrics_print_docs(FILE *to)
{
	fputs(
	    "# Metrics\n"
	    "\n"
	    "`http://127.0.0.1:9930/metrics` (`[http] listen`) serves these in Prometheus' text format, or in\n"
	    "OpenMetrics where the Accept header prefers it. Times are in seconds; counters end in `_total` and begin "
	    "at 0 with the process. A histogram `x` has samples\n"
	    "`x_bucket{le=\"...\"}`, `x_sum` and `x_count`; 100 ms is a bucket's edge, so that an objective of\n"
	    "\"95 % below 100 ms\" can be read off exactly.\n"
	    "\n"
	    "`database` and `user` are what clients log in with. Pools beyond `metrics_max_pools` are added up in one\n"
	    "with database and user `_other`. No label holds an address of a client, an application name or SQL.\n"
	    "`backend` is a host of the configuration with its port; 4096 of them are counted, if names of tenants "
	    "make more.\n"
	    "\n"
	    "| name | type | labels | what it is |\n"
	    "| --- | --- | --- | --- |\n",
	    to);
	metrics_each(print_row, to);
	fputs("\n## Values of labels\n\n", to);
	for (size_t i = 0; i < metric_family_count; i++) {
		print_words(to, metric_families[i].name, metric_families[i].words);
		print_words(to, metric_families[i].name, metric_families[i].more_words);
	}
}
