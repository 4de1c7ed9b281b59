/* src/config/config_reader.c - see config_state.h. */
#include "base/blank.h"
#include "config/config_state.h"

#include <ini.h>
#include <string.h>

struct reader {
	const char *at, *end;
	unsigned line;
	const struct reader_calls *calls;
	const struct problem_sink *sink;
};

/* What inih gets to see of a line. */
enum verdict { SHOW_NOTHING, SHOW_SECTION, SHOW_SETTING };

/* The length of what stands before an inline comment (a semicolon after a blank), blanks at its end not counted. */
static size_t
len_without_comment(const char *text, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (text[i] == ';' && is_blank(text[i - 1]))
			len = i;
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	return len;
}

static void
skip_blanks(const char **text, size_t *len)
{
	while (*len > 0 && is_blank(**text)) {
		++*text;
		--*len;
	}
}

/* "[name]" and nothing but a comment behind it. */
static enum verdict
judge_section(struct reader *r, const char *text, size_t len)
{
	char head[READER_LINE_MAX + 1];
	const char *close = memchr(text, ']', len);
	size_t head_len;

	if (close == NULL) {
		problem_error(r->sink, r->line, "a section's name ends with ]");
		return SHOW_NOTHING;
	}
	len = len_without_comment(text, len);
	if (close + 1 < text + len) {
		problem_error(r->sink, r->line,
			      "there is text after the section's ]; write a setting on a line of its own");
		return SHOW_NOTHING;
	}
	head_len = (size_t)(close - text) - 1;
	text++;
	trim_blanks(&text, &head_len);
	memcpy(head, text, head_len);
	head[head_len] = '\0';
	r->calls->on_section(r->calls->arg, r->line, head);
	return SHOW_SECTION;
}

/* "name = value". The value is not looked at: it may be a secret, so complaints don't repeat the line. */
static enum verdict
judge_setting(struct reader *r, const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len_without_comment(text, len));
	const char *colon = memchr(text, ':', equals != NULL ? (size_t)(equals - text) : len);

	if (equals == NULL || colon != NULL) {
		problem_error(r->sink, r->line, "this is not a setting; write name = value%s",
			      colon != NULL ? ", with = instead of :" : "");
		return SHOW_NOTHING;
	}
	if (equals == text) {
		problem_error(r->sink, r->line, "the name before the = is missing");
		return SHOW_NOTHING;
	}
	return SHOW_SETTING;
}

/* A control character other than a tab; its index, or len. */
static size_t
find_control(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
			break;
	return i;
}

static enum verdict
judge_line(struct reader *r, const char *text, size_t len)
{
	size_t whole_len = len, control;

	if (memchr(text, '\0', len) != NULL) {
		problem_error(r->sink, r->line, "there is a zero byte in this line");
		return SHOW_NOTHING;
	}
	skip_blanks(&text, &len);
	if (len == 0 || *text == ';' || *text == '#')
		return SHOW_NOTHING;
	if ((control = find_control(text, len)) < len) {
		problem_error(r->sink, r->line, "there is a control character (0x%02x) in this line",
			      (unsigned)(unsigned char)text[control]);
		return SHOW_NOTHING;
	}
	if (whole_len > READER_LINE_MAX) {
		problem_error(r->sink, r->line,
			      "line is %zu bytes long, the limit is %d: move the value to a file and use ${file:…}",
			      whole_len, READER_LINE_MAX);
		return SHOW_NOTHING;
	}
	return *text == '[' ? judge_section(r, text, len) : judge_setting(r, text, len);
}

/* Bytes some editors put before the first line. In UTF-16 every other byte is zero: there is no use in going on. */
static void
skip_byte_order_mark(struct reader *r)
{
	size_t len = (size_t)(r->end - r->at);

	if (len >= 3 && memcmp(r->at, "\xef\xbb\xbf", 3) == 0) {
		problem_error(r->sink, 1, "the file begins with a byte-order mark (BOM); save it as UTF-8 without one");
		r->at += 3;
	} else if (len >= 2 && (memcmp(r->at, "\xff\xfe", 2) == 0 || memcmp(r->at, "\xfe\xff", 2) == 0)) {
		problem_error(r->sink, 1, "the file is UTF-16; save it as UTF-8");
		r->at = r->end;
	}
}

/*
 * inih's reader: the next line, or NULL. inih asks for the rest of a line that did not fit, so each must fit, with its
 * newline; what is not for inih becomes an empty line.
 */
static char *
next_line(char *to, int size, void *stream)
{
	struct reader *r = stream;
	const char *text = r->at, *newline;
	size_t len;
	enum verdict verdict;

	if (r->at == r->end || size < 8)
		return NULL;
	newline = memchr(text, '\n', (size_t)(r->end - text));
	len = (size_t)((newline != NULL ? newline : r->end) - text);
	r->at = newline != NULL ? newline + 1 : r->end;
	r->line++;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	verdict = judge_line(r, text, len);
	if (verdict == SHOW_SETTING) {
		skip_blanks(&text, &len); /* inih takes an indented line for more of the value above */
		if (len + 2 <= (size_t)size) {
			memcpy(to, text, len);
			memcpy(to + len, "\n", 2);
			return to;
		}
		problem_error(r->sink, r->line, "line is %zu bytes long, inih has room for %d", len, size - 2);
	}
	memcpy(to, verdict == SHOW_SECTION ? "[s]\n" : "\n", verdict == SHOW_SECTION ? 5 : 2);
	return to;
}

static int
on_inih_setting(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;

	(void)section; /* cut at 49 bytes: on_section had the whole */
	r->calls->on_setting(r->calls->arg, r->line, name, value);
	return 1;
}

int
config_read(const char *text, size_t len, const struct reader_calls *calls, const struct problem_sink *sink)
{
	struct reader r = { .at = text, .end = text + len, .calls = calls, .sink = sink };
	size_t errors_before;
	int rc;

	skip_byte_order_mark(&r);
	errors_before = sink->problems->error_count;
	rc = ini_parse_stream(next_line, &r, on_inih_setting, &r);
	if (rc < 0) {
		problem_error(sink, 0, "no memory");
		return -1;
	}
	/* A line that we let through and inih did not take: none is known, but it must not be lost. */
	if (rc > 0 && sink->problems->error_count == errors_before)
		problem_error(sink, (unsigned)rc, "this is not a setting; write name = value");
	return 0;
}

bool
reader_can_hold(const char *key, const char *value)
{
	size_t len = strlen(value);

	if (strlen(key) + 3 + len > READER_LINE_MAX || find_control(value, len) < len)
		return false;
	if (len > 0 && (is_blank(value[0]) || is_blank(value[len - 1])))
		return false;
	for (size_t i = 1; i < len; i++)
		if (value[i] == ';' && is_blank(value[i - 1]))
			return false;
	return true;
}
