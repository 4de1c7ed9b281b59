/*
 * tests/fuzz/session_mutate.c - how libFuzzer changes an input of lines: line by line mostly, so that most of what
 * it tries still means something; and byte by byte now and then.
 */
#include "session_mutate.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 256

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
				 size_t max_out, unsigned int seed);

struct lines {
	const uint8_t *at[LINES_MAX];
	size_t len[LINES_MAX], count;
};

static void
split(struct lines *l, const uint8_t *data, size_t size)
{
	l->count = 0;
	while (size > 0 && l->count < LINES_MAX) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end != NULL ? (size_t)(end - data) : size, used = len + (end != NULL);

		l->at[l->count] = data;
		l->len[l->count++] = len;
		data += used;
		size -= used;
	}
}

static size_t
join(const struct lines *l, uint8_t *out, size_t max)
{
	size_t at = 0;

	for (size_t i = 0; i < l->count && max - at > l->len[i]; i++) {
		memcpy(out + at, l->at[i], l->len[i]);
		at += l->len[i];
		out[at++] = '\n';
	}
	return at;
}

static void
insert(struct lines *l, size_t where, const uint8_t *at, size_t len)
{
	if (l->count == LINES_MAX)
		return;
	memmove(l->at + where + 1, l->at + where, (l->count - where) * sizeof(l->at[0]));
	memmove(l->len + where + 1, l->len + where, (l->count - where) * sizeof(l->len[0]));
	l->at[where] = at;
	l->len[where] = len;
	l->count++;
}

static void
drop(struct lines *l, size_t where)
{
	memmove(l->at + where, l->at + where + 1, (l->count - where - 1) * sizeof(l->at[0]));
	memmove(l->len + where, l->len + where + 1, (l->count - where - 1) * sizeof(l->len[0]));
	l->count--;
}

static unsigned
next(unsigned *state)
{
	*state = *state * 1103515245u + 12345u;
	return *state >> 8 & 0xffff;
}

/* The line's client or server becomes another, or it is done together with the next step, or no more. */
static size_t
change_line(const uint8_t *at, size_t len, uint8_t *out, size_t max, unsigned *state)
{
	if (len == 0 || len + 1 >= max)
		return 0;
	memcpy(out, at, len);
	if (next(state) % 2 == 0 && len > 3 && (out[0] == 'c' || out[0] == 's') && out[1] >= '0' && out[1] <= '3') {
		out[1] = (uint8_t)('0' + next(state) % 4);
		return len;
	}
	if (out[0] == '+') {
		memmove(out, out + 1, len - 1);
		return len - 1;
	}
	memmove(out + 1, out, len);
	out[0] = '+';
	return len + 1;
}

/* Returns where the n-th word begins, modulo; len: with the blank behind it. */
static size_t
word_at(const uint8_t *line, size_t line_len, unsigned n, size_t *len)
{
	size_t begins[LINES_MAX], count = 0, end;

	for (size_t i = 0; i < line_len && count < LINES_MAX; i++)
		if (line[i] != ' ' && (i == 0 || line[i - 1] == ' '))
			begins[count++] = i;
	*len = 0;
	if (count == 0)
		return 0;
	end = n % count + 1 < count ? begins[n % count + 1] : line_len;
	*len = end - begins[n % count];
	return begins[n % count];
}

/* The first line gets another word, or loses one. */
static size_t
change_words(const uint8_t *at, size_t len, uint8_t *out, size_t max, unsigned *state)
{
	size_t count = 0, where, n;
	const char *word;

	while (mutate_word(count) != NULL)
		count++;
	word = mutate_word(next(state) % count);
	if (len + strlen(word) + 1 >= max)
		return 0;
	if (next(state) % 3 == 0) {
		where = word_at(at, len, next(state), &n);
		memcpy(out, at, where);
		memcpy(out + where, at + where + n, len - where - n);
		return len - n;
	}
	memcpy(out, word, strlen(word));
	out[strlen(word)] = ' ';
	memcpy(out + strlen(word) + 1, at, len);
	return len + strlen(word) + 1;
}

static void
change_first(struct lines *l, uint8_t *line, size_t line_max, unsigned *state)
{
	size_t len = l->count == 0 ? 0 : change_words(l->at[0], l->len[0], line, line_max, state);

	if (len > 0) {
		l->at[0] = line;
		l->len[0] = len;
	}
}

static void
change(struct lines *l, uint8_t *line, size_t line_max, unsigned *state)
{
	size_t where = l->count > 1 ? 1 + next(state) % (l->count - 1) : 0, from, len;
	const char *made = mutate_lines[next(state) % mutate_line_count];

	switch (l->count < 2 ? 0 : next(state) % 9) {
	case 0:
	case 1:
	case 2:
		insert(l, l->count > 0 ? 1 + next(state) % l->count : 0, (const uint8_t *)made, strlen(made));
		break;
	case 3:
		drop(l, where);
		break;
	case 4:
		insert(l, where, l->at[where], l->len[where]);
		break;
	case 5:
		from = 1 + next(state) % (l->count - 1);
		insert(l, where, l->at[from], l->len[from]);
		break;
	case 6:
		change_first(l, line, line_max, state);
		break;
	default:
		len = change_line(l->at[where], l->len[where], line, line_max, state);
		if (len > 0) {
			l->at[where] = line;
			l->len[where] = len;
		}
		break;
	}
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	unsigned state = seed;
	struct lines l;
	uint8_t *old, *line;

	if (next(&state) % 6 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	old = malloc(size + 1);
	if (old == NULL)
		return size;
	memcpy(old, data, size);
	split(&l, old, size);
	for (unsigned i = 1 + next(&state) % 3; i > 0; i--) {
		line = malloc(1024); /* lives until the lines are joined */
		if (line != NULL)
			change(&l, line, 1024, &state);
		size = join(&l, data, max_size);
		free(old);
		free(line);
		old = malloc(size + 1);
		if (old == NULL)
			return size;
		memcpy(old, data, size);
		split(&l, old, size);
	}
	free(old);
	return size;
}

size_t
LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
			  size_t max_out, unsigned int seed)
{
	unsigned state = seed;
	struct lines a, b;

	split(&a, data1, size1);
	split(&b, data2, size2);
	if (a.count < 2 || b.count < 2)
		return 0;
	a.count = 1 + next(&state) % a.count;
	for (size_t i = 1 + next(&state) % (b.count - 1); i < b.count; i++)
		insert(&a, a.count, b.at[i], b.len[i]);
	return join(&a, out, max_out);
}
