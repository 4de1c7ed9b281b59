#include "config/config_origin.h"
#include "base/alloc.h"

#define LINE_BITS 20 /* enough, because a file has at most 1 MiB */
#define LINE_MASK ((1u << LINE_BITS) - 1)

struct config_source *
source_new(const struct problem_words *words)
{
	struct config_source *source = xcalloc(1, sizeof(*source));

	source->words = words;
	return source;
}

void
source_free(struct config_source *source)
{
	if (source == NULL)
		return;
	for (size_t i = 0; i < source->file_count; i++)
		free(source->files[i]);
	for (size_t i = 0; i < source->name_count; i++)
		free(source->names[i].name);
	for (size_t i = 0; i < source->value_count; i++)
		free(source->values[i]);
	free(source->values);
	free(source->files);
	free(source->names);
	free(source);
}

void
source_set_value(struct config_source *source, size_t row, const char *value)
{
	while (source->value_count <= row) {
		source->values = xreallocarray(source->values, source->value_count + 1, sizeof(*source->values));
		source->values[source->value_count++] = NULL;
	}
	free(source->values[row]);
	source->values[row] = xstrdup(value);
}

unsigned
source_add_file(struct config_source *source, const char *path)
{
	source->files = xreallocarray(source->files, source->file_count + 1, sizeof(*source->files));
	source->files[source->file_count] = xstrdup(path);
	return (unsigned)source->file_count++;
}

unsigned
source_pack_line(unsigned file, unsigned line_in_file)
{
	return file << LINE_BITS | (line_in_file < LINE_MASK ? line_in_file : LINE_MASK);
}

void
source_add_name(struct config_source *source, unsigned line, const char *name)
{
	source->names = xwith_room(source->names, source->name_count, sizeof(*source->names));
	source->names[source->name_count++] = (struct source_name){ .line = line, .name = xstrdup(name) };
}

const char *
source_name_of(const struct config_source *source, unsigned line)
{
	for (size_t i = 0; source != NULL && i < source->name_count; i++)
		if (source->names[i].line == line)
			return source->names[i].name;
	return NULL;
}

void
source_put_location(const struct config_source *source, const char *file, unsigned line, char *out, size_t size)
{
	unsigned file_index = line >> LINE_BITS;

	if (line == LINE_DEFAULT)
		snprintf(out, size, "default");
	else if (line == LINE_COMMAND)
		snprintf(out, size, "command line");
	else if (line == LINE_PGBOUNCER_DEFAULT)
		snprintf(out, size, "PgBouncer's default");
	else if (line == LINE_SET)
		snprintf(out, size, "SET");
	else if (line == LINE_ENVIRONMENT)
		snprintf(out, size, "environment");
	else if (source != NULL && file_index < source->file_count)
		snprintf(out, size, "%.400s:%u", source->files[file_index], line & LINE_MASK);
	else
		snprintf(out, size, "%.400s:%u", file, line);
}
