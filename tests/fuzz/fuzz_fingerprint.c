/*
 * tests/fuzz/fuzz_fingerprint.c - any bytes through the SQL scanner.
 *
 * It checks: the text is valid UTF-8, has the length that is returned, and has no comment and no quoted string; the
 * hash depends neither on the room for the text nor on whether literals are kept; of unsafe SQL only one word is left.
 */
#include "base/escape.h"
#include "sql/scan.h"
#include "telemetry/fingerprint.h"
#include "fuzz.h"

static void
check_text(const char *text, const struct fingerprint *fp, size_t cap)
{
	size_t n;

	must(fp->text_len < cap && text[fp->text_len] == '\0' && strlen(text) == fp->text_len);
	for (size_t i = 0; i < fp->text_len; i += n) {
		n = escape_utf8_len(text + i, fp->text_len - i);
		must(n > 0);
	}
	if (fp->is_unsafe)
		must(fp->text_len <= 12 && strchr(text, ' ') == NULL);
}

/* Outside of quoted identifiers there is no quote that began a literal, and no comment. */
static void
check_nothing_leaks(const char *text)
{
	int is_quoted = 0;

	for (const char *at = text; *at != '\0'; at++) {
		if (*at == '"')
			is_quoted = !is_quoted;
		if (!is_quoted)
			must(*at != '\'' && !(at[0] == '/' && at[1] == '*'));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *sql = (const char *)data;
	size_t cap = len > 0 ? 1 + data[0] % 64u : 1, large_cap = 3 * len + 64;
	char small[64], *large = malloc(large_cap), *full = malloc(large_cap);
	unsigned options = len > 0 ? (data[0] / 64u) & (SCAN_BACKSLASH_STRINGS | SCAN_ASCII_TRAIL) : 0;
	struct fingerprint fp, fp_small, fp_full;

	fingerprint_sql(sql, len, options, false, large, large_cap, &fp);
	fingerprint_sql(sql, len, options, false, small, cap, &fp_small);
	fingerprint_sql(sql, len, options, true, full, large_cap, &fp_full);
	check_text(large, &fp, large_cap);
	check_text(small, &fp_small, cap);
	check_text(full, &fp_full, large_cap);
	check_nothing_leaks(large);
	must(fp.hash == fp_small.hash && fp.hash == fp_full.hash);
	must(fp.traceparent[0] == '\0' || strlen(fp.traceparent) == 55);
	free(large);
	free(full);
	return 0;
}
