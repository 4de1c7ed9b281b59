/*
 * tests/unit/test_watch_sql.c - what hosts are asked, and rows of their answers, well-formed and not. That PostgreSQL
 * takes it: tests/integration/reads/test_hosts.py.
 */
#include "dedicated/watch_state.h"
#include "unit.h"

#define NONE ((const char *)-1) /* no further column */

/* Reads a DataRow of these columns; NULL is NULL. */
static void
read_row(struct watch_answer *a, const char *const *columns)
{
	struct buf b = { 0 };
	uint16_t count = 0;

	while (columns[count] != NONE)
		count++;
	buf_put_u16(&b, count);
	for (size_t i = 0; i < count; i++) {
		buf_put_u32(&b, columns[i] == NULL ? UINT32_MAX : (uint32_t)strlen(columns[i]));
		if (columns[i] != NULL)
			buf_put(&b, columns[i], strlen(columns[i]));
	}
	cr_assert(buf_ok(&b));
	watch_read_row(a, b.bytes, b.len);
	/* Cut anywhere, it is read without harm. */
	for (size_t len = 0; len < b.len; len++)
		watch_read_row(&(struct watch_answer){ 0 }, b.bytes, len);
	buf_fini(&b);
}
#define READ(a, ...) read_row(a, (const char *const[]){ __VA_ARGS__, NONE })

Test(watch_sql, reads_who_it_is)
{
	struct watch_answer a = { 0 };

	READ(&a, "7312", "1700000000000000", "0/3000060", "0/3000000", NULL, "t", NULL, NULL);
	cr_expect(a.kind == TOLD_MARK);
	cr_expect_eq(a.mark.system_id, 7312);
	cr_expect_eq(a.mark.replayed, 0x3000060);
	cr_expect(a.mark.is_standby);
	a = (struct watch_answer){ 0 };
	READ(&a, "7312", "1700000000000000", NULL, NULL, NULL, "f", NULL, NULL);
	cr_expect(a.kind != TOLD_MARK, "a primary has a timeline");
}

Test(watch_sql, settings_differ_by_value)
{
	struct watch_answer a = { 0 }, b = { 0 };

	READ(&a, "s", "TimeZone", "UTC");
	READ(&b, "s", "TimeZone", "Etc/UTC");
	READ(&a, "s", "DateStyle", "ISO, MDY");
	READ(&b, "s", "DateStyle", "ISO, MDY");
	READ(&b, "s", "unknown", "x");
	READ(&a, "s", "wal_block_size", "8192");
	READ(&a, "s", "wal_segment_size", "16777216");
	cr_expect_eq(memcmp(a.settings, b.settings, sizeof(a.settings[0])), 0);
	cr_expect_neq(memcmp(a.settings, b.settings, sizeof(a.settings)), 0);
	cr_expect_eq(a.block_len, 8192);
	cr_expect_eq(a.segment_len, 16777216);
}

Test(watch_sql, reads_a_primary)
{
	struct watch_answer a = { 0 };
	char many[2000] = "700:999:";

	READ(&a, "p", "50331744", "50331648", "700:705:700,703");
	cr_expect(a.kind == TOLD_READING && !a.is_standby);
	cr_expect_eq(a.reading.position, 50331744);
	cr_expect_eq(a.flushed, 50331648);
	cr_expect_eq(a.reading.xmax, 705);
	cr_expect_eq(a.reading.open_count, 2);
	cr_expect(a.reading.open[0] == 700 && a.reading.open[1] == 703);
	cr_expect_eq(a.reading.next_xid, 0, "it is not told");
	READ(&a, "p", "50331744", "50331648", "705:705:", "704");
	cr_expect_eq(a.reading.open_count, 0);
	cr_expect_eq(a.reading.next_xid, 707);
	READ(&a, "p", "50331744", "50331648", "8589934587:8589934587:", "-2");
	cr_expect_eq(a.reading.next_xid, 8589934593, "in the next epoch");

	for (int i = 0; i < 33; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s%d", i > 0 ? "," : "", 800 + i);
	READ(&a, "p", "50331744", "50331648", many);
	cr_expect(a.kind == TOLD_READING);
	cr_expect_eq(a.reading.open_count, UINT32_MAX, "more than fit");
	/* PostgreSQL has cut the last number: it must not be taken for another one. */
	memset(many + 8, '1', 892);
	many[900] = '\0';
	READ(&a, "p", "50331744", "50331648", many);
	cr_expect_eq(a.reading.open_count, UINT32_MAX);
}

Test(watch_sql, refuses_what_is_no_reading_of_a_primary)
{
	static const char *const snapshots[] = { "", "700", "700:", "x", ":", NULL };
	struct watch_answer a = { 0 };

	for (size_t i = 0; i < COUNT(snapshots); i++) {
		READ(&a, "p", "50331744", "50331648", snapshots[i]);
		cr_expect(a.kind != TOLD_READING, "%s", snapshots[i]);
	}
	READ(&a, "p", NULL, NULL, "700:705:");
	cr_expect(a.kind != TOLD_READING);
}

Test(watch_sql, reads_a_standby)
{
	struct watch_answer a = { 0 };

	READ(&a, "q", "50331744");
	READ(&a, "r", "t", "705", "2", "700,703");
	cr_expect(a.kind == TOLD_READING && a.is_standby);
	cr_expect_eq(a.reading.position, 50331744);
	cr_expect_eq(a.reading.xmax, 705);
	cr_expect_eq(a.timeline, 2);
	cr_expect_eq(a.reading.open_count, 2);
	a = (struct watch_answer){ 0 };
	READ(&a, "q", "50331744");
	READ(&a, "r", "t", "705", NULL, NULL);
	cr_expect(a.kind == TOLD_READING && a.timeline == 0 && a.reading.open_count == 0);
	a = (struct watch_answer){ 0 };
	READ(&a, "r", "f", "705", NULL, NULL);
	cr_expect(a.kind == TOLD_READING && !a.is_standby, "it was promoted");
	a = (struct watch_answer){ 0 };
	READ(&a, "q", NULL);
	READ(&a, "r", "t", "705", NULL, NULL);
	cr_expect(a.kind != TOLD_READING);
}

Test(watch_sql, tells_a_standby_what_was_open)
{
	struct reading r = { .open_count = 2, .open = { 700, 703 } };
	struct watch_answer met = { .mark.is_standby = true }, sees = met, primary = { 0 };
	struct buf b = { 0 };

	READ(&met, "s", "sees_timeline", "false");
	READ(&sees, "s", "sees_timeline", "true");
	watch_put_read(&b, &met, &r);
	watch_put_read(&b, &sees, &r);
	r.open_count = UINT32_MAX;
	watch_put_read(&b, &met, &r);
	watch_put_read(&b, &sees, &r);
	watch_put_read(&b, &met, NULL);
	watch_put_read(&b, &primary, &r);
	buf_put_u8(&b, 0);
	cr_expect_str_eq((char *)b.bytes,
			 "EXECUTE /* pgweir */ pgweir_replayed;EXECUTE /* pgweir */ pgweir_standby_all('{700,703}')"
			 "EXECUTE /* pgweir */ pgweir_replayed;EXECUTE /* pgweir */ pgweir_standby_all('{700,703}')"
			 "EXECUTE /* pgweir */ pgweir_replayed;EXECUTE /* pgweir */ pgweir_standby"
			 "EXECUTE /* pgweir */ pgweir_replayed;EXECUTE /* pgweir */ pgweir_standby_all('{}')"
			 "EXECUTE /* pgweir */ pgweir_replayed;EXECUTE /* pgweir */ pgweir_standby"
			 "EXECUTE /* pgweir */ pgweir_primary");
	buf_fini(&b);
}

Test(watch_sql, a_trial_has_random_ends)
{
	struct watch_answer a = { 0 };
	struct buf b = { 0 };
	size_t commits = 0;
	char xid[16];

	watch_put_try(&b, 5);
	buf_put_u8(&b, 0);
	for (const char *at = (char *)b.bytes; (at = strstr(at, ";COMMIT;")) != NULL; at++)
		commits++;
	cr_expect_eq(commits, 2);
	buf_fini(&b);
	for (int i = 0; i < TRIAL_COUNT + 1; i++) {
		snprintf(xid, sizeof(xid), "%d", 700 + i);
		READ(&a, "t", xid);
	}
	READ(&a, "l", "50331744", "0/3000060");
	cr_expect_eq(a.xid_count, TRIAL_COUNT, "more rows than were asked for are none of ours");
	cr_expect_eq(a.trial.xids[TRIAL_COUNT - 1], 700 + TRIAL_COUNT - 1);
	cr_expect_eq(a.trial.position, 50331744);
}

/* The last transaction is the first digit. */
Test(watch_sql, reads_how_they_have_ended)
{
	static const struct {
		const char *text;
		uint32_t bits;
	} rows[] = { { "000000000000000000000101", 5 },		 { "100000000000000000000000", 1u << 23 },
		     { "00000000000000000000010", UINT32_MAX },	 { "0000000000000000000001010", UINT32_MAX },
		     { "00000000000000000000?101", UINT32_MAX }, { NULL, UINT32_MAX } };

	EACH(row, rows) {
		struct watch_answer a = { 0 };

		READ(&a, "c", row->text);
		cr_expect(a.kind == TOLD_BITS);
		cr_expect_eq(a.bits, row->bits, "%s", row->text);
	}
}

Test(watch_sql, takes_off_the_header_of_an_empty_page)
{
	static const struct {
		uint64_t position, want;
	} rows[] = { { 0x9004018, 0x9004000 }, { 0x9004020, 0x9004020 }, { 0x9004000, 0x9004000 },
		     { 0x9000028, 0x9000000 }, { 0x9000018, 0x9000018 }, { 0x9004028, 0x9004028 } };
	const struct watch_answer a = { .block_len = 8192, .segment_len = 16 * 1024 * 1024 }, unknown = { 0 };

	for (size_t i = 0; i < COUNT(rows); i++)
		cr_expect_eq(watch_exclude_header(&a, rows[i].position), rows[i].want, "%zu", i);
	cr_expect_eq(watch_exclude_header(&unknown, 0x9004018), 0x9004018);
}

Test(watch_sql, other_rows_are_none)
{
	struct watch_answer a = { 0 }, none = { 0 };

	READ(&a, "0");
	READ(&a, "local");
	READ(&a, NULL);
	READ(&a, "z", "1");
	read_row(&a, (const char *const[]){ NONE });
	cr_expect_eq(memcmp(&a, &none, sizeof(a)), 0);
}
