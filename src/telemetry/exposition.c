/* src/telemetry/exposition.c - see metrics_state.h. Numbers are exact and independent of the locale. */
#include "telemetry/metrics_state.h"
#include "base/escape.h"

#include <string.h>

#define US_DECIMALS 6

void
exposition_labels_add(char labels[LABELS_MAX], const char *name, const char *value, size_t value_len)
{
	char escaped[LABELS_MAX];
	size_t len = strlen(labels);
	int n;

	escape_text(ESCAPE_LABEL, value, value_len, escaped, sizeof(escaped));
	n = snprintf(labels + len, LABELS_MAX - len, "%s%s=\"%s\"", len > 0 ? "," : "", name, escaped);
	if (n < 0 || (size_t)n >= LABELS_MAX - len)
		labels[len] = '\0';
}

/* --- numbers: the shortest decimal form --- */

#define NUMBER_MAX 32

/* Writes value with at least `least` digits. Returns the end of the text. */
static char *
put_digits(char *at, uint64_t value, unsigned least)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	for (; n < least; n++)
		digits[n] = '0';
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

/* Writes at most NUMBER_MAX bytes, without a terminator. */
static char *
put_number(char *at, uint64_t value, unsigned decimals)
{
	uint64_t unit = 1;

	if (decimals == 0 || value == 0)
		return put_digits(at, value, 1);
	for (unsigned i = 0; i < decimals; i++)
		unit *= 10;
	at = put_digits(at, value / unit, 1);
	if (value % unit == 0)
		return at;
	*at++ = '.';
	at = put_digits(at, value % unit, decimals);
	while (at[-1] == '0')
		at--;
	return at;
}

static void
append_number(struct buf *to, uint64_t value, unsigned decimals)
{
	char number[NUMBER_MAX];

	buf_put(to, number, (size_t)(put_number(number, value, decimals) - number));
}

/* --- parts of lines --- */

static char *
copy_bytes(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

struct exposition_series
exposition_make_series(const char *name, const char *labels)
{
	return (struct exposition_series){
		.name = name, .labels = labels, .name_len = strlen(name), .labels_len = strlen(labels)
	};
}

void
exposition_label_set(struct exposition_label *w, const char *label, const char *value)
{
	size_t label_len = strlen(label), value_len = strlen(value);
	char *at = w->text;

	w->len = 0;
	if (label_len + value_len + 3 > sizeof(w->text))
		return;
	at = copy_bytes(at, label, label_len);
	at = copy_bytes(at, "=\"", 2);
	at = copy_bytes(at, value, value_len);
	*at++ = '"';
	w->len = (size_t)(at - w->text);
}

void
exposition_bounds_set(struct exposition_bounds *b, const struct histogram_bounds *bounds)
{
	char number[NUMBER_MAX];

	for (b->count = 0; b->count < bounds->count; b->count++) {
		*put_number(number, bounds->le_us[b->count], US_DECIMALS) = '\0';
		exposition_label_set(&b->le[b->count], "le", number);
	}
	exposition_label_set(&b->le[b->count++], "le", "+Inf");
}

/* --- lines --- */

#define SUFFIX_MAX 8
#define SAMPLE_MAX (SUFFIX_MAX + 2 * (LABEL_MAX + 1) + NUMBER_MAX + 4) /* bytes of a sample without its series */

/* Writes the label at `at`, after a comma if other labels precede it. Returns the end of the text. */
static char *
put_label(char *at, char *labels_begin, const struct exposition_label *label)
{
	if (label == NULL || label->len == 0)
		return at;
	if (at != labels_begin)
		*at++ = ',';
	return copy_bytes(at, label->text, label->len);
}

/* Appends a sample without the end of its line. suffix has at most SUFFIX_MAX bytes. */
static void
begin_sample(struct buf *to, const struct exposition_series *s, const char *suffix, size_t suffix_len,
	     const struct exposition_label *one, const struct exposition_label *two, uint64_t value, unsigned decimals)
{
	char *begin = (char *)buf_room(to, s->name_len + s->labels_len + SAMPLE_MAX), *at = begin, *labels_begin;

	if (begin == NULL)
		return;
	at = copy_bytes(at, s->name, s->name_len);
	at = copy_bytes(at, suffix, suffix_len);
	*at++ = '{';
	labels_begin = at;
	at = copy_bytes(at, s->labels, s->labels_len);
	at = put_label(at, labels_begin, one);
	at = put_label(at, labels_begin, two);
	if (at == labels_begin)
		at--; /* takes back the brace, because there are no labels */
	else
		*at++ = '}';
	*at++ = ' ';
	at = put_number(at, value, decimals);
	to->len += (size_t)(at - begin);
}

void
exposition_sample(struct buf *to, const struct exposition_series *series, const struct exposition_label *one,
		  const struct exposition_label *two, uint64_t value, unsigned decimals)
{
	begin_sample(to, series, "", 0, one, two, value, decimals);
	buf_put_u8(to, '\n');
}

static size_t
ending_len(const char *name, size_t len, const char *ending)
{
	size_t n = strlen(ending);

	return len > n && memcmp(name + len - n, ending, n) == 0 ? n : 0;
}

static void
put_line(struct buf *to, const char *what, const char *name, size_t name_len, const char *text)
{
	buf_printf(to, "# %s %.*s %s\n", what, (int)name_len, name, text);
}

void
exposition_head(struct buf *to, enum exposition_format format, const char *name, const char *type, const char *help)
{
	size_t len = strlen(name);

	/* In OpenMetrics a counter's family has the name without _total, and the unit has a line of its own. */
	if (format == EXPOSITION_OPENMETRICS)
		len -= ending_len(name, len, "_total");
	put_line(to, "HELP", name, len, help);
	put_line(to, "TYPE", name, len, type);
	if (format != EXPOSITION_OPENMETRICS)
		return;
	if (ending_len(name, len, "_seconds"))
		put_line(to, "UNIT", name, len, "seconds");
	else if (ending_len(name, len, "_bytes"))
		put_line(to, "UNIT", name, len, "bytes");
}

void
exposition_end(struct buf *to, enum exposition_format format)
{
	if (format == EXPOSITION_OPENMETRICS)
		buf_printf(to, "# EOF\n");
}

void
exposition_histogram(struct buf *to, const struct exposition_series *series, const struct exposition_label *label,
		     const struct histogram *h, const struct exposition_bounds *bounds,
		     const struct exemplars *exemplars)
{
	uint64_t so_far = 0;

	for (size_t i = 0; i < bounds->count; i++) {
		so_far += h->buckets[i];
		begin_sample(to, series, "_bucket", 7, label == NULL ? &bounds->le[i] : label,
			     label == NULL ? NULL : &bounds->le[i], so_far, 0);
		if (exemplars != NULL && exemplars->of[i].trace_id[0] != '\0') {
			const struct exemplar *e = &exemplars->of[i];

			buf_printf(to, " # {trace_id=\"%s\"} ", e->trace_id);
			append_number(to, e->value_us, US_DECIMALS);
			buf_put_u8(to, ' ');
			append_number(to, e->wall_us, US_DECIMALS);
		}
		buf_put_u8(to, '\n');
	}
	begin_sample(to, series, "_sum", 4, label, NULL, histogram_sum_us(h), US_DECIMALS);
	buf_put_u8(to, '\n');
	begin_sample(to, series, "_count", 6, label, NULL, so_far, 0);
	buf_put_u8(to, '\n');
}
