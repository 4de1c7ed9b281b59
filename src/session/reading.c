/* src/session/reading.c - see image.h. */
#include "session/reading.h"
#include "session/image.h"
#include "session/image_settings.h"

#include "wire/messages.h"

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
