/*
 * src/telemetry/metrics.c - see snapshot.h. It walks the table (metrics_table.c), whose rows suffice for most families;
 * the few that need code of their own have it here.
 */

#include "build.h"
#include "telemetry/metrics_state.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <string.h>

static const char *const type_names[] = { "counter", "gauge", "histogram" };

struct sources {
	const struct snapshot *snapshot;
	struct metrics_process system;
	struct metrics_view view;
	enum exposition_format format;
	struct buf *to;
};

/* A family on its way out: what is the same in each of its lines, made once. */
struct rendering {
	const struct metric_family *f;
	const struct sources *from;
	struct exposition_series series; /* its name; the labels are those of one member of its scope */
	struct exposition_word words[WORDS_MAX], more_words[WORDS_MAX];
	struct exposition_bounds bounds;
};

static void
set_words(struct exposition_word *to, const struct metric_words *words)
{
	for (size_t i = 0; words != NULL && i < words->count; i++)
		if (words->names[i] != NULL)
			exposition_word_set(&to[i], words->label, words->names[i]);
}

/* --- rows that are plain numbers --- */

static void
put_value(const struct rendering *r, const struct exposition_word *one, const struct exposition_word *two,
	  uint64_t value)
{
	if ((value != 0 || !r->f->skips_zeros) && value != SNAPSHOT_UNKNOWN)
		exposition_sample(r->from->to, &r->series, one, two, value, r->f->decimals);
}

static void
put_array(const struct rendering *r, const uint64_t *values)
{
	const struct metric_words *words = r->f->words, *more = r->f->more_words;

	for (size_t i = 0; i < words->count; i++) {
		if (more == NULL)
			put_value(r, &r->words[i], NULL, *values++);
		for (size_t k = 0; more != NULL && k < more->count; k++, values++)
			if (more->names[k] != NULL)
				put_value(r, &r->words[i], &r->more_words[k], *values);
	}
}

/* Writes the samples of one member of the family's scope; data: the struct that has its numbers. */
static void
put_one(const struct rendering *r, const void *data)
{
	const void *at = (const char *)data + r->f->at;

	if (r->f->type == METRIC_HISTOGRAM)
		exposition_histogram(r->from->to, &r->series, at, &r->bounds,
				     r->f->has_exemplars && r->from->format == EXPOSITION_OPENMETRICS
					 ? ((const struct snapshot_database *)data)->exemplars
					 : NULL);
	else if (r->f->words != NULL)
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
put_loops(const struct rendering *r)
{
	const struct snapshot *s = r->from->snapshot;

	for (size_t i = 0; i < s->worker_count; i++) {
		struct rendering one = *r;
		char labels[32];

		snprintf(labels, sizeof(labels), "worker=\"%u\"", s->workers[i].number);
		one.series = exposition_series(r->series.name, labels);
		put_one(&one, &s->workers[i]);
	}
}

/* --- rows with code of their own --- */

static void
put_build_info(struct rendering *r)
{
	struct exposition_word libevent, openssl;
	char labels[LABELS_MAX] = "";

	exposition_labels_add(labels, "version", PGWEIR_VERSION, strlen(PGWEIR_VERSION));
	r->series = exposition_series(r->f->name, labels);
	exposition_word_set(&libevent, "libevent", event_get_version());
	exposition_word_set(&openssl, "openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
	exposition_sample(r->from->to, &r->series, &libevent, &openssl, 1, 0);
}

static void
put_special(struct rendering *r)
{
	const struct metrics_items *pools = &r->from->view.pools, *backends = &r->from->view.backends;

	switch (r->f->special) {
	case SPECIAL_BUILD_INFO:
		put_build_info(r);
		break;
	case SPECIAL_STATE:
		for (size_t i = 0; i < r->f->words->count; i++)
			put_value(r, &r->words[i], NULL, i == (size_t)r->from->snapshot->state);
		break;
	case SPECIAL_RELOAD_OK:
		put_value(r, NULL, NULL, r->from->snapshot->last_reload_ok);
		break;
	case SPECIAL_CLIENTS:
		/* Adds the clients that log in or cancel, which belong to no pool yet. */
		put_value(r, &r->words[CLIENTS_LOGIN], NULL, r->from->snapshot->login_clients);
		put_value(r, &r->words[CLIENTS_CANCEL], NULL, r->from->snapshot->cancel_clients);
		for (size_t i = 0; i < pools->count; i++) {
			set_labels(r, &pools->items[i]);
			put_array(r, ((const struct snapshot_pool *)pools->items[i].data)->clients);
		}
		break;
	case SPECIAL_BACKEND_UP:
		/* A backend that was never tried is neither up nor down, and left out. */
		for (size_t i = 0; i < backends->count; i++) {
			const struct snapshot_backend *b = backends->items[i].data;
			struct exposition_word role;

			if (b->counters.is_up < 0)
				continue;
			exposition_word_set(&role, "role", b->role);
			set_labels(r, &backends->items[i]);
			put_value(r, &role, NULL, b->counters.is_up > 0);
		}
		break;
	case NOT_SPECIAL:
		break;
	}
}

static void
put_family(const struct metric_family *f, const struct sources *from)
{
	const struct metrics_items *const items[] = { [OF_POOL] = &from->view.pools,
						      [OF_DATABASE] = &from->view.databases,
						      [OF_BACKEND] = &from->view.backends,
						      [OF_BUDGET] = &from->view.budgets,
						      [OF_SYSTEM] = NULL };
	struct rendering r;
	bool is_renamed = from->format == EXPOSITION_OPENMETRICS && f->openmetrics_name != NULL;

	if (f->scope == OF_BUDGET && from->snapshot->budget_count == 0)
		return;
	r.f = f;
	r.from = from;
	r.series = exposition_series(is_renamed ? f->openmetrics_name : f->name, "");
	set_words(r.words, f->words);
	set_words(r.more_words, f->more_words);
	if (f->type == METRIC_HISTOGRAM)
		exposition_bounds_set(&r.bounds, f->bounds);
	exposition_head(from->to, from->format, r.series.name, type_names[f->type], f->help);
	if (f->special != NOT_SPECIAL)
		put_special(&r);
	else if (f->scope == OF_LOOP)
		put_loops(&r);
	else if (items[f->scope] != NULL)
		put_items(&r, items[f->scope]);
	else
		put_one(&r, f->scope == OF_SYSTEM ? (const void *)&from->system : from->snapshot);
}

void
metrics_render(const struct snapshot *s, enum exposition_format format, struct buf *to)
{
	struct sources from = { .snapshot = s, .format = format, .to = to };

	metrics_process_read(&from.system);
	to->is_broken |= metrics_view_init(&from.view, s) < 0;
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

static void
each_line(char *text, void (*row)(const struct metric_sample *sample, void *arg), void *arg)
{
	struct metric_sample sample = { 0 };

	for (char *line = text, *next; *line != '\0'; line = next) {
		char *rest, *last, *brace;
		size_t len;

		next = cut(line, '\n');
		if ((rest = behind(line, "# HELP ")) != NULL)
			sample.help = cut(rest, ' ');
		else if ((rest = behind(line, "# TYPE ")) != NULL)
			sample.type = cut(rest, ' ');
		else {
			/* name{labels} value, or name value */
			last = strrchr(line, ' ');
			brace = strchr(line, '{');
			sample.value = last + 1;
			*last = '\0';
			sample.name = line;
			sample.labels = brace != NULL ? cut(line, '{') : "";
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
