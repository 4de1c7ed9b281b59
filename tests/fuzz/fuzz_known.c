/*
 * tests/fuzz/fuzz_known.c - any SQL: which statements are known?
 *
 * The first byte is the options. Besides memory safety it checks: names and values are terminated; white space,
 * comments and semicolons around change nothing; a setting that was found is found again when it is written for
 * set_config(); the scanner suspects every statement that is known to change the session. So it does with those
 * behind others.
 */
#include "sql/known.h"
#include "sql/scan.h"
#include "fuzz.h"

#include <stdio.h>

static void
parse(struct known_text *text, unsigned options, const char *before, const uint8_t *data, size_t size,
      const char *after)
{
	size_t before_len = strlen(before), after_len = strlen(after), len = before_len + size + after_len;
	char *sql = malloc(len > 0 ? len : 1);
	bool is_known;

	must(sql != NULL);
	memcpy(sql, before, before_len);
	if (size > 0)
		memcpy(sql + before_len, data, size);
	memcpy(sql + before_len + size, after, after_len);
	memset(text, 'x', sizeof(*text));
	is_known = known_parse(text, options, sql, len);
	must(is_known == (text->count > 0) && text->count <= KNOWN_STATEMENTS_MAX && (is_known || !text->is_certain));
	free(sql);
}

static void
must_equal(const struct known_text *a, const struct known_text *b)
{
	must(a->count == b->count && a->is_certain == b->is_certain);
	for (unsigned i = 0; i < a->count; i++) {
		const struct known_statement *k = &a->statements[i], *l = &b->statements[i];

		must(k->kind == l->kind && strcmp(k->name, l->name) == 0 && strcmp(k->value, l->value) == 0);
		must(k->name_param == l->name_param && k->value_param == l->value_param &&
		     k->local_param == l->local_param);
	}
}

static size_t
put_quoted(char *into, const char *text)
{
	size_t len = 0;

	into[len++] = '\'';
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			into[len++] = '\'';
		into[len++] = *text;
	}
	into[len++] = '\'';
	return len;
}

/* Options apply to the client's text; here both are off. */
static void
check_setting(const struct known_statement *k)
{
	char sql[2 * KNOWN_NAME_MAX + 2 * KNOWN_VALUE_MAX + 64] = "SELECT set_config(";
	size_t len = strlen(sql);
	struct known_text again;

	if (k->kind != KNOWN_SET)
		return;
	len += put_quoted(sql + len, k->name);
	sql[len++] = ',';
	len += put_quoted(sql + len, k->value);
	len += (size_t)snprintf(sql + len, sizeof(sql) - len, ",false)");
	parse(&again, 0, "", (const uint8_t *)sql, len, "");
	must(again.count == 1 && again.is_certain && again.statements[0].kind == KNOWN_SET);
	must(strcmp(again.statements[0].name, k->name) == 0 && strcmp(again.statements[0].value, k->value) == 0);
}

static uint32_t
suspicion_of(uint8_t kind)
{
	switch ((enum known_kind)kind) {
	case KNOWN_SET:
	case KNOWN_SET_PARAMS:
	case KNOWN_RESET:
	case KNOWN_RESET_USER:
	case KNOWN_RESET_ALL:
	case KNOWN_DISCARD_ALL:
	case KNOWN_DISCARD_PART:
		return SCAN_SETTING;
	case KNOWN_LISTEN:
	case KNOWN_UNLISTEN:
	case KNOWN_UNLISTEN_ALL:
		return SCAN_LISTEN;
	case KNOWN_UNLOCK_ALL:
		return SCAN_LOCK;
	case KNOWN_PREPARE:
	case KNOWN_DEALLOCATE:
	case KNOWN_DEALLOCATE_ALL:
		return SCAN_PREPARE;
	case KNOWN_EXECUTE:
	case KNOWN_EXECUTE_ANY:
		return SCAN_EXECUTE;
	case KNOWN_CLOSE_ALL:
		return SCAN_UNDO;
	case KNOWN_DROP_DATABASE:
	case KNOWN_CREATE_DATABASE:
	case KNOWN_RENAME_DATABASE:
		return SCAN_DATABASE;
	case KNOWN_SAVEPOINT:
	case KNOWN_RELEASE:
	case KNOWN_ROLLBACK_TO:
		return SCAN_SAVEPOINT;
	default:
		return 0;
	}
}

static void
check_suspicion(const struct known_text *text, unsigned options, const uint8_t *data, size_t size)
{
	struct scan s;
	uint32_t flags = scan_text(&s, options, (const char *)data, size);

	for (unsigned i = 0; i < text->count; i++) {
		uint32_t want = suspicion_of(text->statements[i].kind);

		must((flags & want) == want);
	}
}

/* Statement by statement, also behind some that are not known. */
static void
check_steps(unsigned options, const uint8_t *data, size_t size)
{
	char *sql = malloc(size > 0 ? size : 1);
	struct known_reader r;
	struct known_statement k;
	uint32_t flags;
	struct scan s;

	must(sql != NULL);
	if (size > 0)
		memcpy(sql, data, size);
	flags = scan_text(&s, options, sql, size);
	for (known_begin(&r, options, sql, size); known_next_statement(&r, &k);) {
		uint32_t want = suspicion_of(k.kind);

		must(memchr(k.name, '\0', sizeof(k.name)) != NULL);
		must((flags & want) == want);
	}
	must(!known_next_statement(&r, &k) && k.kind == KNOWN_NOT);
	free(sql);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct known_text text, again;
	const uint8_t *zero;
	unsigned options;

	if (size == 0)
		return 0;
	options = *data++ & 7u;
	size--;
	parse(&text, options, "", data, size, "");
	for (unsigned i = 0; i < text.count; i++) {
		const struct known_statement *k = &text.statements[i];

		must(memchr(k->name, '\0', sizeof(k->name)) != NULL &&
		     memchr(k->value, '\0', sizeof(k->value)) != NULL);
		check_setting(k);
	}
	zero = size > 0 ? memchr(data, 0, size) : NULL;
	if (zero != NULL)
		return 0; /* texts end there */
	check_steps(options, data, size);
	parse(&again, options, " /* /* */ */ ; --x\n\t", data, size, "");
	must_equal(&text, &again);
	if (text.count > 0) {
		parse(&again, options, "", data, size, "\n; /**/ ;");
		must_equal(&text, &again);
		check_suspicion(&text, options, data, size);
	}
	return 0;
}
