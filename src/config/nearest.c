#include "config/nearest.h"

#include <string.h>

static unsigned
min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* The usual table, three rows of it at a time: each cell is the distance between the beginnings of a and b. */
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

struct nearest
nearest_to(const char *word)
{
	size_t len = strlen(word);
	struct nearest nearest = { .word = word };

	/* The first distance that is too far: only something nearer is kept. */
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

	if (*text >= '0' && *text <= '9') /* versions differ in a letter, and are not mistyped */
		return NULL;
	for (; *words != NULL; words++)
		nearest_try(&nearest, *words, NULL);
	return nearest.name;
}
