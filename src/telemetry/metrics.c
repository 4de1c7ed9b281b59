/*
 * src/telemetry/metrics.c - see snapshot.h. Walks the table (metrics_table.c), whose rows suffice for most families;
 * the few that need code of their own have it here.
 */
#include "base/clock.h"
#include "build.h"
#include "telemetry/metrics_state.h"

#include <dirent.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- the kernel's numbers for this process --- */

/* proc(5): the second field, the program's name in brackets, may itself have brackets; the last one ends the field. */
static void
read_stat(struct metrics_process *p)
{
	FILE *f = fopen("/proc/self/stat", "re");
	unsigned long long virtual, resident;
	char text[1024];
	size_t len;
	const char *after;

	if (f == NULL)
		return;
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	after = strrchr(text, ')');
	if (after == NULL ||
	    sscanf(after + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %llu %llu",
		   &virtual, &resident) != 2)
		return;
	p->virtual_bytes = virtual;
	p->resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
read_process(struct metrics_process *p)
{
	struct timespec t;
	DIR *dir;
	const struct dirent *entry;
	struct rlimit limit;

	memset(p, 0, sizeof(*p));
	read_stat(p);
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0)
		p->cpu_us = (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
	dir = opendir("/proc/self/fd");
	if (dir != NULL) {
		while ((entry = readdir(dir)) != NULL)
			p->open_fds += entry->d_name[0] != '.';
		p->open_fds--; /* the descriptor of the directory itself */
		closedir(dir);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		p->max_fds = limit.rlim_cur;
}

/* --- labels --- */

/*
 * The pools, databases and backends of a snapshot, with their labels; no two items have the same labels.
 *
 * Different names can become the same label (bytes that are not UTF-8 are replaced, and long names truncated). Such
 * rows become one row, because two samples with the same name and labels would spoil the whole scrape.
 */
struct metrics_item {
	char *labels;
	size_t labels_len;
	const void *data; /* the snapshot's row, or sum */
	void *sum; /* NULL if no other item was added */
};

struct metrics_items {
	struct metrics_item *items; /* in order of their labels */
	size_t count;
};

#define OFFSET_AND_SIZE(type, field) offsetof(type, field), sizeof(((type *)0)->field)

/* How rows of one kind (enum snapshot_kind) get their labels. */
struct labeled_rows {
	/* adds up rows whose labels are equal; NULL if only the first row is kept */
	void (*add)(void *to, const void *from);
	struct {
		const char *label; /* NULL after the last one */
		size_t at, max; /* offset of the name in the row, and the size of its array */
	} names[2];
};

static const struct labeled_rows labeled_rows[SNAPSHOT_WORKERS] = {
	[SNAPSHOT_POOLS] = { snapshot_pool_add,
			     { { "database", OFFSET_AND_SIZE(struct snapshot_pool, database) },
			       { "user", OFFSET_AND_SIZE(struct snapshot_pool, user) } } },
	[SNAPSHOT_DATABASES] = { snapshot_database_add,
				 { { "database", OFFSET_AND_SIZE(struct snapshot_database, name) } } },
	[SNAPSHOT_BACKENDS] = { snapshot_backend_add,
				{ { "backend", OFFSET_AND_SIZE(struct snapshot_backend, name) } } },
	[SNAPSHOT_BUDGETS] = { NULL, { { "backend", OFFSET_AND_SIZE(struct snapshot_budget, name) } } },
};

static int
by_labels(const void *a, const void *b)
{
	return strcmp(((const struct metrics_item *)a)->labels, ((const struct metrics_item *)b)->labels);
}

/* Returns 0, or -1 if there is no memory. */
static int
add_to_item(struct metrics_item *to, const struct metrics_item *from, enum snapshot_kind kind)
{
	if (labeled_rows[kind].add == NULL)
		return 0;
	if (to->sum == NULL) {
		to->sum = malloc(snapshot_row_sizes[kind]);
		if (to->sum == NULL)
			return -1;
		memcpy(to->sum, to->data, snapshot_row_sizes[kind]);
		to->data = to->sum;
	}
	labeled_rows[kind].add(to->sum, from->data);
	return 0;
}

/* Returns 0, or -1 if there is no memory. In both cases the caller frees `all`. */
static int
collect(struct metrics_items *all, const struct snapshot *s, enum snapshot_kind kind)
{
	const struct labeled_rows *of = &labeled_rows[kind];
	size_t kept = 0, count = s->of[kind].count;
	int result = 0;

	all->items = calloc(count > 0 ? count : 1, sizeof(*all->items));
	if (all->items == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct metrics_item *item = &all->items[i];
		char labels[LABELS_MAX] = "";

		item->data = (const char *)s->of[kind].rows + i * snapshot_row_sizes[kind];
		for (size_t k = 0; k < 2 && of->names[k].label != NULL; k++) {
			const char *name = (const char *)item->data + of->names[k].at;

			exposition_labels_add(labels, of->names[k].label, name, strnlen(name, of->names[k].max));
		}
		item->labels = strdup(labels);
		if (item->labels == NULL)
			return -1;
		item->labels_len = strlen(labels);
		all->count++;
	}
	qsort(all->items, all->count, sizeof(*all->items), by_labels);
	/* Items are in order, so equal ones are neighbors. */
	for (size_t i = 1; i < all->count; i++) {
		struct metrics_item *last = &all->items[kept], *item = &all->items[i];

		if (strcmp(last->labels, item->labels) != 0) {
			struct metrics_item moved = *item;

			*item = all->items[++kept]; /* swapped, so that merged items are still freed */
			all->items[kept] = moved;
		} else if (add_to_item(last, item, kind) < 0)
			result = -1;
	}
	for (size_t i = kept + 1; i < all->count; i++)
		free(all->items[i].labels);
	if (all->count > 0)
		all->count = kept + 1;
	return result;
}

static const char *const type_names[] = { "counter", "gauge", "histogram" };

struct render_context {
	const struct snapshot *snapshot;
	struct metrics_process system;
	const uint64_t *numbers; /* numbers of the current module */
	struct metrics_items items[SNAPSHOT_WORKERS];
	enum exposition_format format;
	struct buf *to;
};

/* A family that is being rendered, with the parts that all its lines share. */
struct rendering {
	const struct metric_family *f;
	const struct render_context *from;
	struct exposition_series series; /* the family's name, with the labels of one member of its scope */
	struct exposition_label values[LABEL_VALUES_MAX], second_values[LABEL_VALUES_MAX];
	struct exposition_bounds bounds;
};

static void
set_label_values(struct exposition_label *to, const struct metric_label *label)
{
	for (size_t i = 0; label != NULL && i < label->count; i++)
		if (label->values[i] != NULL)
			exposition_label_set(&to[i], label->name, label->values[i]);
}

/* --- rows that are plain numbers --- */

static void
put_value(const struct rendering *r, const struct exposition_label *one, const struct exposition_label *two,
	  uint64_t value)
{
	if ((value != 0 || !r->f->skips_zeros) && value != SNAPSHOT_UNKNOWN)
		exposition_sample(r->from->to, &r->series, one, two, value, r->f->decimals);
}

static void
put_array(const struct rendering *r, const uint64_t *values)
{
	const struct metric_label *label = r->f->label, *second = r->f->second_label;

	for (size_t i = 0; i < label->count; i++) {
		if (second == NULL)
			put_value(r, &r->values[i], NULL, *values++);
		for (size_t k = 0; second != NULL && k < second->count; k++, values++)
			if (second->values[k] != NULL)
				put_value(r, &r->values[i], &r->second_values[k], *values);
	}
}

/* Even if the family skips zeros, the first histogram of its array is always written, so that its rate is known from
 * the beginning. */
static void
put_histograms(const struct rendering *r, const struct histogram *h, const struct exemplars *exemplars)
{
	size_t count = r->f->label != NULL ? r->f->label->count : 1;

	for (size_t i = 0; i < count; i++)
		if (i == 0 || !r->f->skips_zeros || histogram_count(&h[i]) > 0)
			exposition_histogram(r->from->to, &r->series, r->f->label != NULL ? &r->values[i] : NULL, &h[i],
					     &r->bounds, exemplars);
}

/* Writes the samples of one member of the family's scope. data is the struct that has its numbers. */
static void
put_one(const struct rendering *r, const void *data)
{
	const void *at = (const char *)data + r->f->at;

	if (r->f->type == METRIC_HISTOGRAM)
		put_histograms(r, at,
			       r->f->has_exemplars && r->from->format == EXPOSITION_OPENMETRICS
				   ? ((const struct snapshot_database *)data)->exemplars
				   : NULL);
	else if (r->f->label != NULL)
		put_array(r, at);
	else
		put_value(r, NULL, NULL, *(const uint64_t *)at);
}

static void
set_labels(struct rendering *r, const struct metrics_item *item)
{
	r->series.labels = item->labels;
	r->series.labels_len = item->labels_len;
}

static void
put_items(struct rendering *r, const struct metrics_items *all)
{
	for (size_t i = 0; i < all->count; i++) {
		set_labels(r, &all->items[i]);
		put_one(r, all->items[i].data);
	}
}

static void
put_workers(const struct rendering *r)
{
	const struct snapshot *s = r->from->snapshot;

	for (size_t i = 0; i < s->worker_count; i++) {
		struct rendering one = *r;
		char labels[32];

		snprintf(labels, sizeof(labels), "worker=\"%u\"", s->workers[i].number);
		one.series = exposition_make_series(r->series.name, labels);
		put_one(&one, &s->workers[i]);
	}
}

/* --- rows with code of their own --- */

static void
put_build_info(struct rendering *r)
{
	struct exposition_label libevent, openssl;
	char labels[LABELS_MAX] = "";

	exposition_labels_add(labels, "version", PGWEIR_VERSION, strlen(PGWEIR_VERSION));
	r->series = exposition_make_series(r->f->name, labels);
	exposition_label_set(&libevent, "libevent", event_get_version());
	exposition_label_set(&openssl, "openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
	exposition_sample(r->from->to, &r->series, &libevent, &openssl, 1, 0);
}

static void
put_special(struct rendering *r)
{
	const struct metrics_items *pools = &r->from->items[SNAPSHOT_POOLS],
				   *backends = &r->from->items[SNAPSHOT_BACKENDS];

	switch (r->f->special) {
	case SPECIAL_BUILD_INFO:
		put_build_info(r);
		break;
	case SPECIAL_STATE:
		for (size_t i = 0; i < r->f->label->count; i++)
			put_value(r, &r->values[i], NULL, i == (size_t)r->from->snapshot->state);
		break;
	case SPECIAL_CLIENTS:
		/* Adds the clients that log in or cancel, which have no pool. */
		put_value(r, &r->values[CLIENTS_LOGIN], NULL, r->from->snapshot->login_clients);
		put_value(r, &r->values[CLIENTS_CANCEL], NULL, r->from->snapshot->cancel_clients);
		for (size_t i = 0; i < pools->count; i++) {
			set_labels(r, &pools->items[i]);
			put_array(r, ((const struct snapshot_pool *)pools->items[i].data)->clients);
		}
		break;
	case SPECIAL_BACKEND_UP:
		/* A backend that was never tried is neither up nor down, and is left out. */
		for (size_t i = 0; i < backends->count; i++) {
			const struct snapshot_backend *b = backends->items[i].data;
			struct exposition_label role;

			if (b->counters.up_state < 0)
				continue;
			exposition_label_set(&role, "role", b->role);
			set_labels(r, &backends->items[i]);
			put_value(r, &role, NULL, b->counters.up_state > 0);
		}
		break;
	case NOT_SPECIAL:
		break;
	}
}

static void
put_family(const struct metric_family *f, const struct render_context *from)
{
	struct rendering r;
	bool is_renamed = from->format == EXPOSITION_OPENMETRICS && f->openmetrics_name != NULL;

	if (f->scope == OF_BUDGET && from->snapshot->budget_count == 0)
		return;
	r.f = f;
	r.from = from;
	r.series = exposition_make_series(is_renamed ? f->openmetrics_name : f->name, "");
	set_label_values(r.values, f->label);
	set_label_values(r.second_values, f->second_label);
	if (f->type == METRIC_HISTOGRAM)
		exposition_bounds_set(&r.bounds, f->bounds);
	exposition_head(from->to, from->format, r.series.name, type_names[f->type], f->help);
	if (f->special != NOT_SPECIAL)
		put_special(&r);
	else if (f->scope == OF_WORKER)
		put_workers(&r);
	else if (f->scope <= OF_BUDGET)
		put_items(&r, &from->items[f->scope]);
	else
		put_one(&r, f->scope == OF_MODULE    ? (const void *)from->numbers
			    : f->scope == OF_PROCESS ? (const void *)&from->system
						     : from->snapshot);
}

void
metrics_render(const struct snapshot *s, enum exposition_format format, struct buf *to)
{
	struct render_context from = { .snapshot = s, .format = format, .to = to };

	read_process(&from.system);
	for (enum snapshot_kind k = 0; k < SNAPSHOT_WORKERS; k++)
		to->is_broken |= collect(&from.items[k], s, k) < 0;
	for (size_t i = 0; i < metric_family_count; i++)
		put_family(&metric_families[i], &from);
	for (size_t i = 0; modules[i] != NULL; i++) {
		from.numbers = s->module_numbers[i];
		for (const struct metric_family *f = modules[i]->metrics; f->name != NULL; f++)
			put_family(f, &from);
	}
	exposition_end(to, format);
	for (size_t k = 0; k < SNAPSHOT_WORKERS; k++) {
		for (size_t i = 0; i < from.items[k].count; i++) {
			free(from.items[k].items[i].labels);
			free(from.items[k].items[i].sum);
		}
		free(from.items[k].items);
	}
}

/* --- one sample after the other: parses the rendered text --- */

/* Returns the rest of line after `beginning`, or NULL if line does not begin with it. */
static char *
after_prefix(char *line, const char *beginning)
{
	size_t len = strlen(beginning);

	return strncmp(line, beginning, len) == 0 ? line + len : NULL;
}

/* Ends text at the first separator in it. Returns the text after the separator, or "" if there is none. */
static char *
split_at(char *text, char separator)
{
	char *at = strchr(text, separator);

	if (at == NULL)
		return text + strlen(text);
	*at = '\0';
	return at + 1;
}

static void
each_line(char *text, void (*row)(const struct metric_sample *sample, void *arg), void *arg)
{
	struct metric_sample sample = { 0 };

	for (char *line = text, *next; *line != '\0'; line = next) {
		char *rest, *last, *brace;
		size_t len;

		next = split_at(line, '\n');
		if ((rest = after_prefix(line, "# HELP ")) != NULL)
			sample.help = split_at(rest, ' ');
		else if ((rest = after_prefix(line, "# TYPE ")) != NULL)
			sample.type = split_at(rest, ' ');
		else {
			/* name{labels} value, or name value */
			last = strrchr(line, ' ');
			brace = strchr(line, '{');
			sample.value = last + 1;
			*last = '\0';
			sample.name = line;
			sample.labels = brace != NULL ? split_at(line, '{') : "";
			if (brace != NULL)
				last[-1] = '\0';
			len = strlen(sample.name);
			if (len < 8 || strcmp(sample.name + len - 7, "_bucket") != 0)
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
