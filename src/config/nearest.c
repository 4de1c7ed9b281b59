#include "config/config_value.h"

#include <string.h>
#include <strings.h>

#define ABBREVIATED_PART_MIN 2 /* letters */

static unsigned
min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Uses the usual algorithm, but keeps only three rows of the table of distances between prefixes of a and b. */
unsigned
nearest_distance(const char *a, const char *b, unsigned limit)
{
	size_t a_len = strlen(a), b_len = strlen(b);
	unsigned rows[3][SUGGEST_WORD_MAX + 1];
	unsigned *two_up = rows[0], *up = rows[1], *row = rows[2], *spare;

	if (a_len > SUGGEST_WORD_MAX || b_len > SUGGEST_WORD_MAX || a_len > b_len + limit || b_len > a_len + limit)
		return limit + 1;
	for (unsigned j = 0; j <= b_len; j++)
		up[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = min2(min2(up[j], row[j - 1]) + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min2(row[j], two_up[j - 2] + 1);
		}
		spare = two_up;
		two_up = up;
		up = row;
		row = spare;
	}
	return min2(up[b_len], limit + 1);
}

/* Returns the length of the first part of text. */
static size_t
part_len(const char *text)
{
	return strcspn(text, "_-");
}

/* Returns true if `part`, which has len bytes, is at least ABBREVIATED_PART_MIN letters from the beginning of the first
 * part of `of`, or is that whole part and an s. */
static bool
is_abbreviated_part(const char *part, size_t len, const char *of)
{
	size_t of_len = part_len(of);

	if (len == of_len + 1 && (part[len - 1] == 's' || part[len - 1] == 'S'))
		len--;
	return len >= ABBREVIATED_PART_MIN && len <= of_len && strncasecmp(part, of, len) == 0;
}

bool
nearest_is_abbreviation(const char *word, const char *of)
{
	if (strchr(of, ' ') != NULL) /* `of` is a command, whose first word says little */
		return false;
	while (*word != '\0') {
		size_t len = part_len(word);

		while (*of != '\0' && !is_abbreviated_part(word, len, of)) {
			of += part_len(of);
			of += *of != '\0';
		}
		if (*of == '\0')
			return false;
		of += part_len(of);
		of += *of != '\0';
		word += len;
		word += *word != '\0';
	}
	return true;
}

struct nearest
nearest_to(const char *word)
{
	size_t len = strlen(word);
	struct nearest nearest = { .word = word };

	/* The search begins with the smallest distance that is too large; nearest_try() keeps only nearer words. */
	nearest.distance = len < 2 ? 1 : len < 5 ? 2 : 3;
	return nearest;
}

void
nearest_try(struct nearest *nearest, const char *candidate, const void *what)
{
	unsigned distance;

	if (nearest->distance == 0)
		return;
	distance = nearest_distance(nearest->word, candidate, nearest->distance - 1);
	if (distance > 1 && *nearest->word != '\0' && nearest_is_abbreviation(nearest->word, candidate))
		distance = 1;
	if (distance < nearest->distance) {
		nearest->distance = distance;
		nearest->name = candidate;
		nearest->what = what;
	}
}

const char *
nearest_word(const char *text, const char *const *words)
{
	struct nearest nearest = nearest_to(text);
	unsigned abbreviation_count = 0;

	/* Text that begins with a digit is a version. Versions differ in few characters without being mistyped. */
	if (*text == '\0' || (*text >= '0' && *text <= '9'))
		return NULL;
	for (; *words != NULL; words++) {
		nearest_try(&nearest, *words, NULL);
		abbreviation_count += nearest_is_abbreviation(text, *words);
	}
	return abbreviation_count > 1 ? NULL : nearest.name;
}
