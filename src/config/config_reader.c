/* src/config/config_reader.c - see config_state.h. */
#include "base/alloc.h"
#include "base/text.h"
#include "config/config_state.h"

struct reader {
	unsigned line;
	const struct reader_calls *calls;
	const struct problem_sink *sink;
};

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

/* "[name]", after which only a comment may follow. */
static void
read_section(struct reader *r, const char *text, size_t len)
{
	char head[READER_HEAD_MAX + 1];
	const char *close = memchr(text, ']', len);
	size_t head_len;

	if (close == NULL) {
		problem_error(r->sink, r->line, "a section's name must end with ]");
		return;
	}
	len = len_without_comment(text, len);
	if (close + 1 < text + len) {
		problem_error(r->sink, r->line,
			      "there is text after the section's ]; write a setting on a line of its own");
		return;
	}
	head_len = (size_t)(close - text) - 1;
	text++;
	trim_blanks(&text, &head_len);
	if (head_len > READER_HEAD_MAX) {
		problem_error(r->sink, r->line, "a section's name must have at most %d bytes", READER_HEAD_MAX);
		return;
	}
	memcpy(head, text, head_len);
	head[head_len] = '\0';
	r->calls->on_section(r->calls->arg, r->line, head);
}

/* "name = value", without the blanks around either. Complaints don't repeat the line: the value may be a secret. */
static void
read_setting(struct reader *r, const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len_without_comment(text, len));
	const char *colon = memchr(text, ':', equals != NULL ? (size_t)(equals - text) : len);
	const char *from = equals != NULL ? equals + 1 : text;
	size_t name_len = (size_t)(from - text), value_len;
	char *name, *value;

	if (equals == NULL || colon != NULL || equals == text) {
		if (equals != NULL && colon == NULL)
			problem_error(r->sink, r->line, "the name before the = is missing");
		else
			problem_error(r->sink, r->line, "this is not a setting; write name = value%s",
				      colon != NULL ? ", with = instead of :" : "");
		return;
	}
	name_len--;
	value_len = len_without_comment(from, len - name_len - 1);
	trim_blanks(&text, &name_len);
	trim_blanks(&from, &value_len);
	name = xstrndup(text, name_len);
	value = xstrndup(from, value_len);
	r->calls->on_setting(r->calls->arg, r->line, name, value);
	secret_free(value);
	free(name);
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

static void
read_line(struct reader *r, const char *text, size_t len)
{
	size_t control;

	if (memchr(text, '\0', len) != NULL) {
		problem_error(r->sink, r->line, "there is a zero byte in this line");
		return;
	}
	if (len > 0 && text[len - 1] == '\r')
		len--;
	trim_blanks(&text, &len);
	if (len == 0 || *text == ';' || *text == '#')
		return;
	if ((control = find_control(text, len)) < len)
		problem_error(r->sink, r->line, "there is a control character (0x%02x) in this line",
			      (unsigned)(unsigned char)text[control]);
	else if (*text == '[')
		read_section(r, text, len);
	else
		read_setting(r, text, len);
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

void
config_read(const char *text, size_t len, const struct reader_calls *calls, const struct problem_sink *sink)
{
	struct reader r = { .calls = calls, .sink = sink };
	const char *end = text + len, *newline;

	/* Bytes some editors put before the first line. In UTF-16 every other byte is zero: no use in going on. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		problem_error(sink, 1, "the file begins with a byte-order mark (BOM); save it as UTF-8 without one");
		text += 3;
	} else if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
		problem_error(sink, 1, "the file is UTF-16; save it as UTF-8");
		return;
	}
	for (; text < end; text = newline + 1) {
		if ((newline = memchr(text, '\n', (size_t)(end - text))) == NULL)
			newline = end;
		r.line++;
		read_line(&r, text, (size_t)(newline - text));
	}
}

bool
reader_can_hold(const char *value)
{
	size_t len = strlen(value);

	return find_control(value, len) == len && (len == 0 || !is_blank(value[0])) &&
	       len_without_comment(value, len) == len;
}
