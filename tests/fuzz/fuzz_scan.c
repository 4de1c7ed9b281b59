/*
 * tests/fuzz/fuzz_scan.c - any SQL, cut anywhere: what may it leave behind?
 *
 * The first byte is the options, the second says how the text is cut. Besides memory safety it checks: flags
 * and names are those of the whole text; names are words with a dot; a statement before or after it adds its own flags
 * and removes none; of SQL that is taken for one that was scanned before, the flags, hints and fingerprint are the
 * same; and what the setting refuse is about is found ahead of it, if it ends properly.
 */
#include "sql/forbidden.h"
#include "sql/scan_cache.h"
#include "telemetry/fingerprint.h"
#include "fuzz.h"

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

/*
 * Other SQL, which is mostly of the same kind: its digits are others, and some of what stands in quotes, and some of
 * what stands between commas comes twice, or three times. to: room for 4 * len.
 */
static size_t
vary(char *to, const char *text, size_t len, unsigned seed)
{
	static const char others[] = "15 ab_'\\\"$-/*;\np";
	size_t to_len = 0, element = 0;
	bool is_quoted = false;

	for (size_t i = 0; i < len; i++) {
		bool is_digit = text[i] >= '0' && text[i] <= '9';

		seed = seed * 1103515245u + 12345u;
		is_quoted = is_quoted != (text[i] == '\'');
		if ((is_digit || (is_quoted && text[i] != '\'')) && (seed >> 16) % 4 == 0)
			to[to_len++] = is_digit && (seed >> 18) % 8 > 0 ? (char)('0' + (seed >> 24) % 10)
									: others[(seed >> 24) % (sizeof(others) - 1)];
		if (!is_digit || (seed >> 20) % 4 > 0)
			to[to_len++] = text[i];
		if (text[i] != ',')
			continue;
		for (unsigned again = (seed >> 22) % 4; again > 2; again--) {
			size_t element_len = to_len - element;

			if (element == 0 || to_len + element_len + 2 * (len - i) > 4 * len)
				break;
			memcpy(to + to_len, to + element, element_len);
			element = to_len;
			to_len += element_len;
		}
		element = to_len;
	}
	return to_len;
}

/* What is remembered of SQL is true of it: what it does and, where strings are PostgreSQL's own, its fingerprint. */
static void
check_remembered(struct scan_cache *m, unsigned options, const char *text, size_t len)
{
	struct scanned_sql *kept;
	struct fingerprint fp;
	struct scan s, want;
	char shown[64];

	scan_text(&want, options, text, len);
	kept = scan_text_cached(m, &s, options, text, len);
	must(s.flags == want.flags && s.hints == want.hints && s.first == want.first);
	must(s.name_count == want.name_count);
	if (kept == NULL || options != 0)
		return;
	fingerprint_sql(text, len, options, false, shown, sizeof(shown), &fp);
	if (kept->fingerprint == 0)
		kept->fingerprint = fp.hash;
	must(kept->fingerprint == fp.hash);
}

static void
check_like(unsigned options, const char *text, size_t len, unsigned seed)
{
	static struct scan_cache m;
	char *like = malloc(4 * len + 1);

	must(like != NULL);
	scan_cache_fini(&m);
	check_remembered(&m, options, text, len);
	check_remembered(&m, options, text, len);
	for (unsigned i = 0; i < 8; i++)
		check_remembered(&m, options, like, vary(like, text, len, seed + i));
	free(like);
}

static void
check_forbidden(unsigned options, const char *text, size_t len)
{
	static const char ahead[] = "SELECT 1; DELETE FROM a; ";
	char *all = malloc(sizeof(ahead) - 1 + len);
	enum forbidden found;

	must(all != NULL);
	memcpy(all, ahead, sizeof(ahead) - 1);
	if (len > 0)
		memcpy(all + sizeof(ahead) - 1, text, len);
	found = forbidden_find(FORBIDDEN_BIT(FORBIDDEN_DELETE), options, all, sizeof(ahead) - 1 + len);
	must(found == FORBIDDEN_DELETE || found == FORBIDDEN_NOTHING);
	must((found == FORBIDDEN_DELETE) == (forbidden_find(FORBIDDEN_BIT(FORBIDDEN_MULTI), options, all,
							    sizeof(ahead) - 1 + len) == FORBIDDEN_MULTI));
	free(all);
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
	check_forbidden(options, text, size - 2);
	check_like(options, text, size - 2, data[1] * 2654435761u);
	free(text);
	return 0;
}
