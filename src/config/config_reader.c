/* src/config/config_reader.c - see config_state.h. */
#include "base/text.h"
#include "config/config_state.h"

#include <ini.h>

struct reader {
	const char *at, *end;
	unsigned line;
	const struct reader_calls *calls;
	const struct problem_sink *sink;
};

/* The kind of a line: a section, a setting, or PASS_NOTHING for a line that inih does not get to see. */
enum passed { PASS_NOTHING, PASS_SECTION, PASS_SETTING };

/* Returns the length of text without an inline comment (a semicolon after a blank) and without blanks at the end. */
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
reader_skip_blanks(const char **text, size_t *len)
{
	while (*len > 0 && is_blank(**text)) {
		++*text;
		--*len;
	}
}

/* Checks a line "[name]", in which only a comment is allowed after the bracket, and passes the name to on_section(). */
static enum passed
read_section(struct reader *r, const char *text, size_t len)
{
	char head[READER_HEAD_MAX + 1];
	const char *close = memchr(text, ']', len);
	size_t head_len;

	if (close == NULL) {
		problem_error(r->sink, r->line, "a section's name must end with ]");
		return PASS_NOTHING;
	}
	len = len_without_comment(text, len);
	if (close + 1 < text + len) {
		problem_error(r->sink, r->line,
			      "there is text after the section's ]; write a setting on a line of its own");
		return PASS_NOTHING;
	}
	head_len = (size_t)(close - text) - 1;
	text++;
	trim_blanks(&text, &head_len);
	if (head_len > READER_HEAD_MAX) {
		problem_error(r->sink, r->line, "a section's name must have at most %d bytes", READER_HEAD_MAX);
		return PASS_NOTHING;
	}
	memcpy(head, text, head_len);
	head[head_len] = '\0';
	r->calls->on_section(r->calls->arg, r->line, head);
	return PASS_SECTION;
}

/* Checks a line "name = value". Messages don't repeat the line, because the value may be a secret. */
static enum passed
check_setting(struct reader *r, const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len_without_comment(text, len));
	const char *colon = memchr(text, ':', equals != NULL ? (size_t)(equals - text) : len);

	if (equals == NULL || colon != NULL)
		problem_error(r->sink, r->line, "this is not a setting; write name = value%s",
			      colon != NULL ? ", with = instead of :" : "");
	else if (equals == text)
		problem_error(r->sink, r->line, "the name before the = is missing");
	else
		return PASS_SETTING;
	return PASS_NOTHING;
}

/* Returns the index of the first control character other than a tab, or len. */
static size_t
find_control(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
			break;
	return i;
}

static enum passed
read_line(struct reader *r, const char *text, size_t len)
{
	size_t whole_len = len, control;

	if (memchr(text, '\0', len) != NULL) {
		problem_error(r->sink, r->line, "there is a zero byte in this line");
		return PASS_NOTHING;
	}
	reader_skip_blanks(&text, &len);
	if (len == 0 || *text == ';' || *text == '#')
		return PASS_NOTHING;
	if ((control = find_control(text, len)) < len) {
		problem_error(r->sink, r->line, "there is a control character (0x%02x) in this line",
			      (unsigned)(unsigned char)text[control]);
		return PASS_NOTHING;
	}
	if (whole_len > READER_LINE_MAX) {
		problem_error(r->sink, r->line,
			      "line is %zu bytes long, the limit is %zu: move the value to a file and use ${file:…}",
			      whole_len, READER_LINE_MAX);
		return PASS_NOTHING;
	}
	return *text == '[' ? read_section(r, text, len) : check_setting(r, text, len);
}

/* Gives inih the next line, or NULL at the end. Each line must fit with its newline, because inih would ask for the
 * rest of a longer line. inih gets "[s]" for each section, and an empty line for other lines that are not settings. */
static char *
next_line(char *to, int size, void *stream)
{
	struct reader *r = stream;
	const char *text = r->at, *newline;
	size_t len;
	enum passed verdict;

	if (r->at == r->end || size < 8) {
		/* inih frees this buffer, in which the last line may have left a password. */
		OPENSSL_cleanse(to, (size_t)size);
		return NULL;
	}
	newline = memchr(text, '\n', (size_t)(r->end - text));
	len = (size_t)((newline != NULL ? newline : r->end) - text);
	r->at = newline != NULL ? newline + 1 : r->end;
	r->line++;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	verdict = read_line(r, text, len);
	if (verdict == PASS_SETTING) {
		/* inih would take an indented line for a continuation of the value above */
		reader_skip_blanks(&text, &len);
		if (len + 2 <= (size_t)size) {
			memcpy(to, text, len);
			memcpy(to + len, "\n", 2);
			return to;
		}
		problem_error(r->sink, r->line, "line is %zu bytes long, inih has room for %d", len, size - 2);
	}
	memcpy(to, verdict == PASS_SECTION ? "[s]\n" : "\n", verdict == PASS_SECTION ? 5 : 2);
	return to;
}

/* Ignores `section`, which is "s" in all sections (see next_line()); on_section() got the real name. */
static int
on_inih_setting(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;

	r->calls->on_setting(r->calls->arg, r->line, name, value);
	return 1;
}

#ifdef HAVE_INI_MAX_LINE
/* Returns the length of the longest line, including the newline. */
static size_t
longest_line(const char *text, size_t len)
{
	size_t longest = 0, line_len;

	for (; len > 0; text += line_len, len -= line_len) {
		const char *newline = memchr(text, '\n', len);

		line_len = newline != NULL ? (size_t)(newline - text) + 1 : len;
		longest = line_len > longest ? line_len : longest;
	}
	return longest;
}

#endif

/* Runs inih with a buffer for the longest line, and then restores inih's global settings, for other users of the
 * library. */
static int
parse_lines(struct reader *r)
{
#ifdef HAVE_INI_MAX_LINE
	bool used_stack = ini_use_stack;
	int old_max_line = ini_max_line, old_initial_alloc = ini_initial_alloc, rc;
	size_t longest = longest_line(r->at, (size_t)(r->end - r->at));

	ini_use_stack = false;
	ini_max_line = ini_initial_alloc = (int)(longest < READER_LINE_MAX ? longest : READER_LINE_MAX) + 8;
	rc = ini_parse_stream(next_line, r, on_inih_setting, r);
	ini_use_stack = used_stack;
	ini_max_line = old_max_line;
	ini_initial_alloc = old_initial_alloc;
	return rc;
#else
	return ini_parse_stream(next_line, r, on_inih_setting, r);
#endif
}

char
reader_quote_of(const char *value)
{
	size_t len = strlen(value);
	char quote = value[0];

	if (len < 2 || (quote != '"' && quote != '\'') || value[len - 1] != quote ||
	    memchr(value + 1, quote, len - 2) != NULL)
		return 0;
	return quote;
}

int
config_read(const char *text, size_t len, const struct reader_calls *calls, const struct problem_sink *sink)
{
	struct reader r = { .at = text, .end = text + len, .calls = calls, .sink = sink };
	size_t errors_before;
	int rc;

	/* Some editors put a byte-order mark before the first line. A file in UTF-16 is not read further, because about
	 * every other byte is zero. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		problem_error(sink, 1, "the file begins with a byte-order mark (BOM); save it as UTF-8 without one");
		r.at += 3;
	} else if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
		problem_error(sink, 1, "the file is UTF-16; save it as UTF-8");
		r.at = r.end;
	}
	errors_before = sink->problems->error_count;
	rc = parse_lines(&r);
	if (rc < 0) {
		problem_error(sink, 0, "out of memory");
		return -1;
	}
	/* inih has refused a line that was passed on. No such line is known, but no setting may be lost silently. */
	if (rc > 0 && sink->problems->error_count == errors_before)
		problem_error(sink, (unsigned)rc, "this is not a setting; write name = value");
	return 0;
}

bool
reader_can_hold(const char *key, const char *value)
{
	size_t len = strlen(value);

	return strlen(key) + 3 + len <= READER_LINE_MAX && find_control(value, len) == len &&
	       (len == 0 || !is_blank(value[0])) && len_without_comment(value, len) == len;
}
