/* src/auth/rule_regex.c - see rule_file.h. */
#include "auth/rule_file.h"
#include "base/alloc.h"

#include <ctype.h>
#include <regex.h>
#include <stdint.h>

#define BAD_REGEX "2201B" /* invalid_regular_expression */
#define REPEAT_MAX 255u /* the largest count in one {...}, as in PostgreSQL */
#define REPEAT_PRODUCT_MAX 1024u /* the largest product of all {...}: the C library copies the repeated part */

struct rule_regex {
	regex_t compiled;
};

/* p is after the [ of a bracket expression. Returns the end of the expression, or NULL with *why set if the expression
 * is not closed, or has a backslash. */
static const char *
skip_brackets(const char *p, struct fail *why)
{
	if (*p == '^')
		p++;
	if (*p == ']')
		p++;
	for (; *p != ']'; p++) {
		if (*p == '\0' || *p == '\\') {
			fail_set(why, BAD_REGEX,
				 *p == '\0' ? "a [ is not closed" : "a backslash within [ ] is not supported");
			return NULL;
		}
		if (*p == '[' && (p[1] == ':' || p[1] == '.' || p[1] == '=')) {
			const char *close = p + 2;

			while (*close != '\0' && (close[0] != p[1] || close[1] != ']'))
				close++;
			if (*close == '\0') {
				fail_set(why, BAD_REGEX, "a [%c is not closed", p[1]);
				return NULL;
			}
			p = close + 1;
		}
	}
	return p + 1;
}

/* p is after the { of {n}, {n,} or {n,m}. Returns the end of the bound, and multiplies *repeats by the bound's highest
 * count; or returns NULL with *why set. */
static const char *
skip_bound(const char *p, unsigned *repeats, struct fail *why)
{
	char *end;
	unsigned long least, most;

	if (!isdigit((unsigned char)*p)) {
		fail_set(why, BAD_REGEX, "a { must be followed by a number; write \\{ for the character");
		return NULL;
	}
	least = most = strtoul(p, &end, 10);
	if (*end == ',' && isdigit((unsigned char)end[1]))
		most = strtoul(end + 1, &end, 10);
	else if (*end == ',')
		end++;
	if (*end != '}' || least > most || most > REPEAT_MAX) {
		fail_set(why, BAD_REGEX, "repetitions are {n}, {n,} or {n,m}, up to %u", REPEAT_MAX);
		return NULL;
	}
	*repeats *= most > 1 ? (unsigned)most : 1;
	if (*repeats > REPEAT_PRODUCT_MAX) {
		fail_set(why, BAD_REGEX, "too many repetitions in braces");
		return NULL;
	}
	return end + 1;
}

/* Returns 0 if PostgreSQL and the C library's regcomp() give the pattern the same meaning, or -1 with *why set. */
static int
check_syntax(const char *pattern, struct fail *why)
{
	const char *p = pattern;
	unsigned repeats = 1;

	if (strncmp(p, "***", 3) == 0)
		return fail_set(why, BAD_REGEX, "*** at the beginning is not supported");
	while (*p != '\0') {
		bool is_repeated = false;

		if (*p == '\\') {
			if (p[1] == '\0' || isalnum((unsigned char)p[1]))
				return fail_set(why, BAD_REGEX,
						"a backslash before a letter or digit is not supported; write "
						"[0-9] for \\d, [[:alnum:]_] for \\w, [[:space:]] for \\s");
			p += 2;
		} else if (*p == '[') {
			if ((p = skip_brackets(p + 1, why)) == NULL)
				return -1;
		} else if (*p == '(' && p[1] == '?')
			return fail_set(why, BAD_REGEX, "(? is not supported");
		else if (*p == '{') {
			if ((p = skip_bound(p + 1, &repeats, why)) == NULL)
				return -1;
			is_repeated = true;
		} else
			is_repeated = strchr("*+?", *p++) != NULL;
		if (is_repeated && *p != '\0' && strchr("*+?{", *p) != NULL)
			return fail_set(why, BAD_REGEX, "%c after a repetition is not supported", *p);
	}
	return 0;
}

struct rule_regex *
rule_regex_new(const char *pattern, struct fail *why)
{
	struct rule_regex *re;
	char text[128];
	int error;

	if (strlen(pattern) > RULE_REGEX_BYTES_MAX) {
		fail_set(why, BAD_REGEX, "longer than %zu bytes", RULE_REGEX_BYTES_MAX);
		return NULL;
	}
	if (check_syntax(pattern, why) < 0)
		return NULL;
	re = xcalloc(1, sizeof(*re));
	error = regcomp(&re->compiled, pattern, REG_EXTENDED);
	if (error == 0)
		return re;
	regerror(error, &re->compiled, text, sizeof(text));
	fail_set(why, BAD_REGEX, "%s", text);
	free(re);
	return NULL;
}

void
rule_regex_free(struct rule_regex *re)
{
	if (re == NULL)
		return;
	regfree(&re->compiled);
	free(re);
}

bool
rule_regex_has_parentheses(const struct rule_regex *re)
{
	return re->compiled.re_nsub > 0;
}

bool
rule_regex_match(const struct rule_regex *re, const char *text, size_t *begin, size_t *end)
{
	regmatch_t found[2];

	if (regexec(&re->compiled, text, begin != NULL ? 2 : 0, found, 0) != 0)
		return false;
	if (begin != NULL) {
		*begin = found[1].rm_so < 0 ? SIZE_MAX : (size_t)found[1].rm_so;
		*end = found[1].rm_so < 0 ? SIZE_MAX : (size_t)found[1].rm_eo;
	}
	return true;
}
