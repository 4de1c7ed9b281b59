/* src/auth/saslprep.c - see encoding.h. */
#include "auth/encoding.h"
#include "build.h"
#include "base/text.h"

#ifdef HAVE_LIBIDN
#include <stringprep.h>

/* U+FDFA, which has three bytes, becomes 18 characters of 33 bytes; no other character grows more */
#define GROWTH_MAX 11
#define STEPS_MAX 32 /* steps of a profile; SASLprep has 18 */

/* Unicode 3.2 maps these characters wrongly (Corrigendum #4). libidn still does so; PostgreSQL does not. */
static const Stringprep_table_element corrected[] = {
	{ 0x2f868, 0x2f868, { 0x36fc } }, { 0x2f874, 0x2f874, { 0x5f53 } }, { 0x2f91f, 0x2f91f, { 0x243ab } },
	{ 0x2f95f, 0x2f95f, { 0x7aee } }, { 0x2f9bf, 0x2f9bf, { 0x45d7 } },
};

/* Takes RFC 4013's steps, but in PostgreSQL's order: looks for characters that are prohibited, or not assigned in
 * Unicode 3.2, before it normalises the text. The profile's own order would accept U+0340, because normalising turns
 * U+0340 into another character. */
static int
prepare(char *text, size_t cap)
{
	Stringprep_profile steps[STEPS_MAX + 1] = { 0 }, normalise = { 0 };
	size_t count = 0;

	for (const Stringprep_profile *step = stringprep_saslprep; step->operation != 0; step++) {
		if (count + 2 >= STEPS_MAX)
			return STRINGPREP_PROFILE_ERROR;
		if (step->operation == STRINGPREP_NFKC)
			normalise = *step;
		else
			steps[count++] = *step;
	}
	steps[count].operation = STRINGPREP_MAP_TABLE;
	steps[count].table = corrected;
	steps[count++].table_size = sizeof(corrected) / sizeof(corrected[0]);
	steps[count] = normalise;
	return stringprep(text, cap, STRINGPREP_NO_UNASSIGNED, steps);
}

/* libidn does not wipe the copies of the password that it makes, and we can't wipe them either. */
int
saslprep(const char *password, char **prepared)
{
	size_t len = strlen(password), cap = len * GROWTH_MAX + 1;
	char *text;
	int result;

	*prepared = NULL;
	if (text_is_ascii(password, len) || len > SASLPREP_MAX)
		return 0;
	text = malloc(cap);
	if (text == NULL)
		return -1;
	memcpy(text, password, len + 1);
	result = prepare(text, cap);
	if (result == STRINGPREP_OK &&
	    text[0] != '\0') { /* a password of invisible characters only is used unchanged */
		*prepared = text;
		return 0;
	}
	OPENSSL_cleanse(text, cap);
	free(text);
	return result == STRINGPREP_MALLOC_ERROR ? -1 : 0;
}
#else
int
saslprep(const char *password, char **prepared)
{
	(void)password;
	*prepared = NULL;
	return 0;
}
#endif
