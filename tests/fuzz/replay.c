/*
 * tests/fuzz/replay.c - the main of each fuzz target where libFuzzer is not: it runs the inputs that are files, once
 * each and in the order of their names, so that what was found once is looked for by each `make check`, with any
 * compiler and under gdb.
 *
 *   fuzz_NAME               all of tests/fuzz/corpus/NAME, below $srcdir
 *   fuzz_NAME FILE|FOLDER ...
 *
 * Prints how many inputs were run. Fails if there is none, or one that can't be read or that the target refuses as an
 * input; a finding is an abort, below the name of its input.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define INPUT_MAX (1u << 20) /* bytes; a seed is never that long */
#define PATH_LEN 4096

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Targets with a mutator of their own call libFuzzer's. Nothing is mutated here. */
size_t
LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	(void)data;
	(void)max_size;
	return size;
}

static void
give_up(const char *path, const char *why)
{
	fprintf(stderr, "%s: %s\n", path, why);
	exit(1);
}

/* The input's own memory is exactly as long as it is, for the sanitizer's sake. */
static void
run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *read = malloc(INPUT_MAX), *data;
	size_t len;

	if (f == NULL || read == NULL)
		give_up(path, strerror(errno));
	len = fread(read, 1, INPUT_MAX, f);
	if (ferror(f) || len == INPUT_MAX)
		give_up(path, "can't be read, or is too long");
	fclose(f);
	data = malloc(len > 0 ? len : 1);
	if (data == NULL)
		give_up(path, strerror(errno));
	memcpy(data, read, len);
	free(read);
	if (LLVMFuzzerTestOneInput(data, len) != 0)
		give_up(path, "is not taken as an input");
	free(data);
}

static int
is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Returns how many files were run; nothing stands in a folder of a corpus but files. */
static unsigned
run_folder(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_visible, alphasort);
	char file[PATH_LEN];

	if (count < 0)
		give_up(path, strerror(errno));
	for (int i = 0; i < count; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		printf("%s\n", file);
		run_file(file);
		free(entries[i]);
	}
	free(entries);
	return (unsigned)count;
}

static unsigned
run_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		give_up(path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return run_folder(path);
	printf("%s\n", path);
	run_file(path);
	return 1;
}

/* The corpus that belongs to a program of this name. */
static unsigned
run_corpus(const char *program)
{
	const char *srcdir = getenv("srcdir"), *slash = strrchr(program, '/');
	const char *name = slash != NULL ? slash + 1 : program;
	char path[PATH_LEN];

	if (strncmp(name, "fuzz_", strlen("fuzz_")) != 0)
		give_up(program, "has no corpus by its name");
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".", name + strlen("fuzz_"));
	return run_path(path);
}

int
main(int argc, char **argv)
{
	unsigned count = 0;

	setvbuf(stdout, NULL, _IOLBF, 0); /* an abort must not take the name of its input with it */
	if (argc < 2)
		count = run_corpus(argv[0]);
	for (int i = 1; i < argc; i++)
		count += run_path(argv[i]);
	printf("%u inputs replayed\n", count);
	return count > 0 ? 0 : 1;
}
