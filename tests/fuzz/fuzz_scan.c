/*
 * tests/fuzz/fuzz_scan.c - any SQL, cut anywhere: what may it leave behind?
 *
 * The first byte is the options, the second says how the text is cut. Besides memory safety it checks: flags
 * and names are those of the whole text; names are words with a dot; a statement before or after it adds its own flags
 * and removes none.
 */
#include "sql/scan.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* Each piece is memory of its own. */
static void
feed(struct scan *s, const uint8_t *text, size_t len)
{
	char *piece = malloc(len > 0 ? len : 1);

	must(piece != NULL);
	if (len > 0)
		memcpy(piece, text, len);
	scan_feed(s, piece, len);
	free(piece);
}

static void
check_cut(const struct scan *whole, unsigned options, const uint8_t *text, size_t len, unsigned seed)
{
	struct scan s;

	scan_init(&s, options);
	for (size_t at = 0; at < len;) {
		size_t step = 1 + (seed >> 16) % 9 * ((seed >> 8) % 5);

		step = step < len - at ? step : len - at;
		feed(&s, text + at, step);
		at += step;
		seed = seed * 1103515245u + 12345u;
	}
	must(scan_end(&s) == whole->flags);
	must(s.name_count == whole->name_count);
	for (uint32_t i = 0; i < s.name_count; i++)
		must(strcmp(s.names[i], whole->names[i]) == 0);
}

static void
check_names(const struct scan *s)
{
	must((s->flags & ~SCAN_ALL) == 0 && s->name_count <= SCAN_NAMES_MAX);
	for (uint32_t i = 0; i < s->name_count; i++) {
		must(memchr(s->names[i], '\0', SCAN_WORD_MAX) != NULL && strchr(s->names[i], '.') != NULL);
		for (uint32_t j = 0; j < i; j++)
			must(strcmp(s->names[i], s->names[j]) != 0);
	}
}

static void
check_more(const struct scan *whole, unsigned options, const uint8_t *text, size_t len)
{
	static const char more[] = "\nLISTEN a;\n";
	struct scan s;

	scan_init(&s, options);
	feed(&s, (const uint8_t *)more, sizeof(more) - 1);
	feed(&s, text, len);
	must(scan_end(&s) == (whole->flags | SCAN_LISTEN));
	if (whole->flags == SCAN_ALL)
		return;
	scan_init(&s, options);
	feed(&s, text, len);
	feed(&s, (const uint8_t *)"\n;", 2); /* a comment may be the last */
	feed(&s, (const uint8_t *)more, sizeof(more) - 1);
	must((scan_end(&s) & (whole->flags | SCAN_LISTEN)) == (whole->flags | SCAN_LISTEN));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned options;
	struct scan whole;
	char *text;

	if (size < 2)
		return 0;
	options = data[0] & 7u;
	text = malloc(size - 2 > 0 ? size - 2 : 1);
	must(text != NULL);
	memcpy(text, data + 2, size - 2);
	scan_text(&whole, options, text, size - 2);
	check_names(&whole);
	check_cut(&whole, options, data + 2, size - 2, data[1] * 2654435761u);
	check_cut(&whole, options, data + 2, size - 2, 0);
	check_more(&whole, options, data + 2, size - 2);
	free(text);
	return 0;
}
