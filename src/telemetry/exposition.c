/* src/telemetry/exposition.c - see metrics_state.h. Whole numbers throughout: no rounding, no locale. */
#include "telemetry/metrics_state.h"

#include "base/escape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_DECIMALS 9
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

/* The shortest decimal form; returns its length. */
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
put(struct buf *to, const char *text)
{
	buf_put(to, text, strlen(text));
}

static void
put_sample(struct buf *to, const char *name, const char *suffix, const char *labels, uint64_t value, unsigned decimals)
{
	char number[32];
	size_t len = decimal(value, decimals, number);

	put(to, name);
	put(to, suffix);
	if (labels[0] != '\0') {
		put(to, "{");
		put(to, labels);
		put(to, "}");
	}
	put(to, " ");
	buf_put(to, number, len);
	put(to, "\n");
}

void
exposition_head(struct buf *to, const char *name, const char *type, const char *help)
{
	put(to, "# HELP ");
	put(to, name);
	put(to, " ");
	put(to, help);
	put(to, "\n# TYPE ");
	put(to, name);
	put(to, " ");
	put(to, type);
	put(to, "\n");
}

void
exposition_sample(struct buf *to, const char *name, const char *labels, uint64_t value, unsigned decimals)
{
	put_sample(to, name, "", labels, value, decimals);
}

static void
put_bucket(struct buf *to, const char *name, const char *labels, const char *le, uint64_t value)
{
	char with_le[LABELS_MAX + 48];

	snprintf(with_le, sizeof(with_le), "%s%sle=\"%s\"", labels, labels[0] != '\0' ? "," : "", le);
	put_sample(to, name, "_bucket", with_le, value, 0);
}

void
exposition_histogram(struct buf *to, const char *name, const char *labels, const struct histogram *h,
		     const struct histogram_bounds *bounds)
{
	uint64_t so_far = 0;
	char le[32];

	for (size_t i = 0; i < bounds->count; i++) {
		so_far += h->buckets[i];
		decimal(bounds->le_ns[i], NS_DECIMALS, le);
		put_bucket(to, name, labels, le, so_far);
	}
	so_far += h->buckets[bounds->count];
	put_bucket(to, name, labels, "+Inf", so_far);
	put_sample(to, name, "_sum", labels, h->sum_us, US_DECIMALS);
	put_sample(to, name, "_count", labels, so_far, 0);
}
