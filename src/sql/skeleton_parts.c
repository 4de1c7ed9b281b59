/* src/sql/skeleton_parts.c - cuts SQL into the parts between its literals, and finds lists. See skeleton.h. */
#include "sql/skeleton.h"
#include "sql/sql_class.h"

#include <stdlib.h>

#define ROW_MAX 256 /* the most literals that a row may have */

bool
skeleton_may_separate_values(const char *sql, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (sql[i] != ',' && sql[i] != ' ' && sql[i] != '\'' && sql[i] != '(' && sql[i] != ')' &&
		    sql[i] != '\n' && sql[i] != '\t' && sql[i] != '\r')
			return false;
	return true;
}

static size_t
part_begin(const struct scan_literals *l, size_t i)
{
	return i == 0 ? 0 : l->at[i - 1].end;
}

/* Returns true if the same bytes stand before literals i and j. */
static bool
is_same_part(const struct scan_literals *l, size_t i, size_t j)
{
	size_t len = l->at[i].begin - part_begin(l, i);

	return l->at[j].begin - part_begin(l, j) == len &&
	       memcmp(l->sql + part_begin(l, i), l->sql + part_begin(l, j), len) == 0;
}

enum list_kind { LIST_NONE, LIST_VALUES, LIST_ROWS };

/* Returns which kind of list begins at literal i: LIST_VALUES after "IN (" or "ARRAY[", LIST_ROWS after "VALUES (". The
 * literal's opening quote may stand in between. */
static enum list_kind
kind_of_list_at(const struct scan_literals *l, size_t i)
{
	static const char words[][8] = { "in", "values", "array" };
	const char *begin = l->sql + part_begin(l, i), *end = l->sql + l->at[i].begin;
	char bracket;

	while (end > begin && (end[-1] == '\'' || sql_is(end[-1], SPACE)))
		end--;
	if (end == begin || (end[-1] != '(' && end[-1] != '['))
		return LIST_NONE;
	bracket = *--end;
	while (end > begin && sql_is(end[-1], SPACE))
		end--;
	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
		size_t len = strlen(words[w]);

		if ((size_t)(end - begin) > len && strncasecmp(end - len, words[w], len) == 0 &&
		    (sql_is(end[-(ptrdiff_t)len - 1], SPACE) || end[-(ptrdiff_t)len - 1] == '('))
			return (words[w][0] == 'a') != (bracket == '[') ? LIST_NONE
			       : words[w][0] == 'v'			? LIST_ROWS
									: LIST_VALUES;
	}
	return LIST_NONE;
}

/* Returns true if the bytes between literal i - 1 and literal i may stand between two values of a list. may_end_row:
 * the bytes may also end one row and begin the next. */
static bool
is_between_values(const struct scan_literals *l, size_t i, bool may_end_row)
{
	const char *part = l->sql + part_begin(l, i);
	size_t len = l->at[i].begin - part_begin(l, i), opened = 0, closed = 0;

	for (size_t at = 0; at < len; at++) {
		closed += part[at] == ')';
		opened += part[at] == '(';
	}
	return len > 0 && skeleton_may_separate_values(part, len) && opened == closed && opened <= may_end_row &&
	       (opened == 0 || memchr(part, ')', len) < memchr(part, '(', len));
}

/* Returns true if a closing bracket follows literal i (and its closing quote, if it has one). */
static bool
is_closed_after(const struct scan_literals *l, size_t i, const char *end)
{
	const char *p = l->sql + l->at[i].end;

	p += p < end && *p == '\'';
	while (p < end && sql_is(*p, SPACE))
		p++;
	return p < end && (*p == ')' || *p == ']');
}

/* Returns how many literals, from `first` on, form rows of `width` literals each that look alike; 0 unless three or
 * more such rows end the list. (The scan is in the same state after the second row as after any later row.) */
static size_t
count_listed(const struct scan_literals *l, size_t first, size_t width, bool has_brackets, const char *end)
{
	size_t at = first + width + 1;

	if (width == 0 || width > ROW_MAX || at >= l->count)
		return 0;
	for (size_t i = first + 1; i < at; i++)
		if (!is_between_values(l, i, has_brackets && i == first + width))
			return 0;
	while (at < l->count && is_same_part(l, at - width, at))
		at++;
	at -= first;
	return at % width == 0 && at >= 3 * width && is_closed_after(l, first + at - 1, end) ? at : 0;
}

/* Returns how many literals, from `first` on, stand before the next closing parenthesis; at most ROW_MAX + 1. */
static size_t
row_width(const struct scan_literals *l, size_t first)
{
	size_t i = first + 1;

	while (i < l->count && i <= first + ROW_MAX &&
	       memchr(l->sql + part_begin(l, i), ')', l->at[i].begin - part_begin(l, i)) == NULL)
		i++;
	return i - first;
}

static void
put_part(struct skeleton_parts *to, const struct scan_literals *l, size_t i, size_t len, size_t row_literals)
{
	size_t begin = part_begin(l, i), part_len = (i < l->count ? l->at[i].begin : len) - begin;

	to->at[to->count].begin = (uint32_t)begin;
	to->at[to->count].len = (uint16_t)part_len;
	to->at[to->count++].row_literals = (uint16_t)row_literals;
	to->len += part_len;
}

void
skeleton_take_apart(struct skeleton_parts *to, const struct scan_literals *l, size_t len)
{
	size_t i = 0, width = 0;

	to->count = to->len = 0;
	for (;;) {
		size_t listed = 0;
		enum list_kind list;

		put_part(to, l, i, len, width);
		if (i == l->count)
			return;
		list = kind_of_list_at(l, i);
		width = list == LIST_ROWS ? row_width(l, i) : 0;
		if (width > 0)
			listed = count_listed(l, i, width, true, l->sql + len);
		if (listed == 0 && list != LIST_NONE)
			listed = count_listed(l, i, width = 1, false, l->sql + len);
		if (listed == 0)
			width = 0;
		for (size_t second = i + 2 * width; i + 1 < second;)
			put_part(to, l, ++i, len, 0);
		i = listed == 0 ? i + 1 : i + 1 + listed - 2 * width;
	}
}

bool
skeleton_make(struct skeleton *k, const struct skeleton_parts *parts, const char *sql)
{
	size_t size = parts->count * sizeof(*k->parts) + parts->len + SKELETON_READABLE;
	char *to;

	*k = (struct skeleton){ .parts = malloc(size) };
	if (k->parts == NULL)
		return false;
	to = k->sql = (char *)&k->parts[parts->count];
	for (size_t i = 0; i < parts->count; i++) {
		k->parts[i] = (struct sql_part){ parts->at[i].len, parts->at[i].row_literals };
		memcpy(to, sql + parts->at[i].begin, parts->at[i].len);
		to += parts->at[i].len;
	}
	memset(to, 0, SKELETON_READABLE);
	k->literal_count = (uint16_t)(parts->count - 1);
	k->size = (uint32_t)size;
	return true;
}
