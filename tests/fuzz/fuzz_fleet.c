/*
 * tests/fuzz/fuzz_fleet.c - any bytes as the rows that a fleet connection gets (dedicated/fleet_sql.c): each with its
 * length in front, two bytes. Anybody who may log in to budget_database says what he likes in a member's row.
 *
 * Besides memory safety it checks: each name ends, the numbers of all members add up to one, and a row changes nothing
 * of the members before it.
 */
#include "dedicated/fleet_state.h"
#include "wire/frame.h"
#include "fuzz.h"

static void
check_members(const struct fleet_answer *a)
{
	uint32_t budget = 0, used = 0, waiting = 0;

	must(a->member_count <= FLEET_MEMBERS_MAX && a->stranger_count <= FLEET_STRANGERS_MAX);
	for (size_t i = 0; i < a->stranger_count; i++)
		must(memchr(a->strangers[i].user, 0, FLEET_TEXT_MAX) != NULL &&
		     memchr(a->strangers[i].application, 0, FLEET_TEXT_MAX) != NULL);
	for (size_t i = 0; i < a->member_count; i++) {
		const struct fleet_member *m = &a->members[i];

		must(memchr(m->name, 0, sizeof(m->name)) != NULL);
		budget += m->budget;
		used += m->used;
		waiting += m->short_count;
		must(budget >= m->budget && used >= m->used && waiting >= m->short_count);
		must(!m->is_own && !m->is_silent && m->heard_us == 0);
	}
}

/* The row is in memory of its exact size: an overrun is seen. */
static void
read_one(struct fleet_answer *a, const uint8_t *bytes, size_t len)
{
	size_t before = a->member_count;
	struct fleet_member last = a->members[before > 0 ? before - 1 : 0];
	uint8_t *body = malloc(len + 1);

	must(body != NULL);
	memcpy(body + 1, bytes, len);
	fleet_read_row(a, body + 1, len);
	free(body);
	must(a->member_count == before || a->member_count == before + 1);
	must(before == 0 || memcmp(&last, &a->members[before - 1], sizeof(last)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fleet_answer *a = calloc(1, sizeof(*a));

	must(a != NULL);
	while (size >= 2) {
		size_t len = wire_u16(data);

		if (len > size - 2)
			len = size - 2;
		read_one(a, data + 2, len);
		data += 2 + len;
		size -= 2 + len;
	}
	check_members(a);
	must(a->listed < UINT32_MAX / 2 && a->granted < UINT32_MAX / 2 && a->unreserved_slots < UINT32_MAX / 2);
	free(a);
	return 0;
}
