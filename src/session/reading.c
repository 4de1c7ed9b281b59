/* src/session/reading.c - see image.h. */
#include "session/reading.h"
#include "session/image.h"
#include "session/image_settings.h"

#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

#define KEPT "'pgweir.reading_%zu'"

/* PostgreSQL computes the expressions of a select list one after the other. */
static void
put_sql(struct buf *out, bool is_end)
{
	for (size_t i = 0; i < IMAGE_READING_NAMES; i++) {
		const char *name = image_reading_name(i);

		buf_printf(out, i == 0 ? MESSAGE_OURS "SELECT " : ",");
		if (is_end)
			buf_printf(out, "pg_catalog.set_config('%s',pg_catalog.current_setting(" KEPT "),true)", name,
				   i);
		else
			buf_printf(out,
				   "pg_catalog.set_config(" KEPT ",pg_catalog.current_setting('%s'),true),"
				   "pg_catalog.set_config('%s',$%zu,true)",
				   i, name, name, i + 1);
	}
	buf_put_u8(out, 0);
}

static void
put_bind(struct buf *out, const char *name, const struct image *reading)
{
	size_t begun = message_begin(out, 'B');

	buf_put_str(out, name);
	buf_put_str(out, name);
	buf_put_u16(out, 0);
	buf_put_u16(out, reading == NULL ? 0 : IMAGE_READING_NAMES);
	for (size_t i = 0; reading != NULL && i < IMAGE_READING_NAMES; i++) {
		const char *value = image_get(reading, image_reading_name(i));

		buf_put_u32(out, value == NULL ? UINT32_MAX : (uint32_t)strlen(value)); /* NULL: to its default */
		buf_put(out, value, value == NULL ? 0 : strlen(value));
	}
	buf_put_u16(out, 0);
	message_end(out, begun);
}

void
reading_put(struct buf *out, const char *name, const struct image *reading)
{
	struct buf sql = { 0 };

	put_sql(&sql, reading == NULL);
	buf_put_u16(&sql, 0);
	message_close_statement(out, name);
	message_named(out, 'P', "", name, sql.bytes, buf_ok(&sql) ? sql.len : 0);
	put_bind(out, name, reading);
	message_named(out, 'E', "", name, "\0\0\0\0", 4);
	message_named(out, 'C', "P", name, NULL, 0);
	buf_fini(&sql);
}

/* In the text, for each name: nothing, or SET_TO and the value; then NEXT. */
#define SET_TO '\2'
#define NEXT '\1'

char *
reading_text(const struct image *img)
{
	struct buf b = { 0 };
	char *text;

	for (size_t i = 0; i < IMAGE_READING_NAMES; i++) {
		const char *value = image_get(img, image_reading_name(i));

		if (value != NULL)
			buf_put_u8(&b, SET_TO);
		for (; value != NULL && *value != '\0'; value++) {
			b.is_broken |= *value == NEXT;
			buf_put_u8(&b, (uint8_t)*value);
		}
		buf_put_u8(&b, NEXT);
	}
	buf_put_u8(&b, 0);
	text = buf_ok(&b) ? strdup((const char *)b.bytes) : NULL;
	buf_fini(&b);
	return text;
}

struct image *
reading_image(struct image_store *store, const char *text)
{
	struct image_setting settings[IMAGE_READING_NAMES];
	struct image *empty = image_empty(store), *made = NULL;
	char *copy = strdup(text), *at = copy, *end;
	size_t count = 0;

	for (size_t i = 0; i < IMAGE_READING_NAMES && at != NULL && (end = strchr(at, NEXT)) != NULL; i++) {
		*end = '\0';
		if (*at == SET_TO)
			settings[count++] = (struct image_setting){ image_reading_name(i), at + 1, IMAGE_OTHER, NULL };
		at = end + 1;
	}
	if (empty != NULL && copy != NULL)
		made = image_replace(empty, IMAGE_OTHER, settings, count);
	free(copy);
	image_unref(empty);
	return made;
}
