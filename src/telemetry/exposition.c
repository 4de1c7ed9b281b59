/* src/telemetry/exposition.c - see metrics_state.h. Whole numbers throughout: no rounding, no locale. */
#include "telemetry/metrics_state.h"

#include "base/escape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define US_DECIMALS 6

void
labels_add(char labels[LABELS_MAX], const char *name, const char *value, size_t value_len)
{
	char escaped[LABELS_MAX];
	size_t len = strlen(labels);
	int n;

	escape_text(ESCAPE_LABEL, value, value_len, escaped, sizeof(escaped));
	n = snprintf(labels + len, LABELS_MAX - len, "%s%s=\"%s\"", len > 0 ? "," : "", name, escaped);
	if (n < 0 || (size_t)n >= LABELS_MAX - len)
		labels[len] = '\0';
}

/* Writes the shortest decimal form and returns its length. */
static size_t
decimal(uint64_t value, unsigned decimals, char out[32])
{
	uint64_t unit = 1;
	size_t n;

	for (unsigned i = 0; i < decimals; i++)
		unit *= 10;
	n = (size_t)snprintf(out, 32, "%" PRIu64, value / unit);
	if (value % unit == 0)
		return n;
	n += (size_t)snprintf(out + n, 32 - n, ".%0*" PRIu64, (int)decimals, value % unit);
	while (out[n - 1] == '0')
		n--;
	out[n] = '\0';
	return n;
}

static void
exposition_put(struct buf *to, const char *text)
{
	buf_put(to, text, strlen(text));
}

static void
put_number(struct buf *to, uint64_t value, unsigned decimals)
{
	char number[32];

	buf_put(to, number, decimal(value, decimals, number));
}

/* The line is not ended. */
static void
begin_sample(struct buf *to, const char *name, const char *suffix, const char *labels, uint64_t value,
	     unsigned decimals)
{
	exposition_put(to, name);
	exposition_put(to, suffix);
	if (labels[0] != '\0') {
		exposition_put(to, "{");
		exposition_put(to, labels);
		exposition_put(to, "}");
	}
	exposition_put(to, " ");
	put_number(to, value, decimals);
}

static void
put_sample(struct buf *to, const char *name, const char *suffix, const char *labels, uint64_t value, unsigned decimals)
{
	begin_sample(to, name, suffix, labels, value, decimals);
	exposition_put(to, "\n");
}

static size_t
ends_in(const char *name, size_t len, const char *ending)
{
	size_t n = strlen(ending);

	return len > n && memcmp(name + len - n, ending, n) == 0 ? n : 0;
}

static void
put_line(struct buf *to, const char *what, const char *name, size_t name_len, const char *text)
{
	exposition_put(to, what);
	buf_put(to, name, name_len);
	exposition_put(to, " ");
	exposition_put(to, text);
	exposition_put(to, "\n");
}

/* In OpenMetrics a counter is called without its _total, and the unit is told apart. */
static size_t
family_name_len(const char *name, enum exposition_format format)
{
	size_t len = strlen(name);

	return format == EXPOSITION_OPENMETRICS ? len - ends_in(name, len, "_total") : len;
}

void
exposition_head(struct buf *to, enum exposition_format format, const char *name, const char *type, const char *help)
{
	size_t len = family_name_len(name, format);

	put_line(to, "# HELP ", name, len, help);
	put_line(to, "# TYPE ", name, len, type);
	if (format != EXPOSITION_OPENMETRICS)
		return;
	if (ends_in(name, len, "_seconds"))
		put_line(to, "# UNIT ", name, len, "seconds");
	else if (ends_in(name, len, "_bytes"))
		put_line(to, "# UNIT ", name, len, "bytes");
}

void
exposition_end(struct buf *to, enum exposition_format format)
{
	if (format == EXPOSITION_OPENMETRICS)
		exposition_put(to, "# EOF\n");
}

void
exposition_sample(struct buf *to, const char *name, const char *labels, uint64_t value, unsigned decimals)
{
	put_sample(to, name, "", labels, value, decimals);
}

/* e may be NULL. */
static void
put_bucket(struct buf *to, const char *name, const char *labels, const char *le, uint64_t value,
	   const struct exemplar *e)
{
	char with_le[LABELS_MAX + 48];

	snprintf(with_le, sizeof(with_le), "%s%sle=\"%s\"", labels, labels[0] != '\0' ? "," : "", le);
	begin_sample(to, name, "_bucket", with_le, value, 0);
	if (e != NULL && e->trace_id[0] != '\0') {
		exposition_put(to, " # {trace_id=\"");
		exposition_put(to, e->trace_id);
		exposition_put(to, "\"} ");
		put_number(to, e->value_us, US_DECIMALS);
		exposition_put(to, " ");
		put_number(to, e->wall_us, US_DECIMALS);
	}
	exposition_put(to, "\n");
}

void
exposition_histogram(struct buf *to, const char *name, const char *labels, const struct histogram *h,
		     const struct histogram_bounds *bounds, const struct exemplars *exemplars)
{
	const struct exemplar *e = exemplars != NULL ? exemplars->of : NULL;
	uint64_t so_far = 0;
	char le[32];

	for (size_t i = 0; i < bounds->count; i++) {
		so_far += h->buckets[i];
		decimal(bounds->le_us[i], US_DECIMALS, le);
		put_bucket(to, name, labels, le, so_far, e != NULL ? &e[i] : NULL);
	}
	so_far += h->buckets[bounds->count];
	put_bucket(to, name, labels, "+Inf", so_far, e != NULL ? &e[bounds->count] : NULL);
	put_sample(to, name, "_sum", labels, h->sum_us, US_DECIMALS);
	put_sample(to, name, "_count", labels, so_far, 0);
}
